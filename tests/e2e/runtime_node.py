"""What tests of runtimes ask of the node w1: which runtime it shall have, what is left of one, what pods and Docker say."""

from __future__ import annotations

import json
from typing import Any

from lab_cluster import HOST_PORT, LabCluster


def choose(cluster: LabCluster, runtime: str | None, *, drain: bool = True) -> None:
    def change(document: dict[str, Any]) -> None:
        document["hosts"]["w1"].pop("runtime", None)
        if runtime:
            document["hosts"]["w1"]["runtime"] = runtime
        document["cluster"]["upgrade"] = {"drain": drain}

    cluster.edit(change)


def answers(cluster: LabCluster) -> str:
    """What the DaemonSet's pod on w1 says on its host port: runtime, pod network and port mapping at once."""
    address = next(machine.address for machine in cluster.lab.machines if machine.name == "w1")
    return cluster.sh("cp1", f"curl -fsS --max-time 3 http://{address}:{HOST_PORT}/hostname")


def leases(cluster: LabCluster) -> set[str]:
    """Addresses that the CNI plugins on w1 hold for pods."""
    return set(cluster.sh("w1", "cd /var/lib/cni/networks/kprov && ls -d [0-9]* || true").split())


def addresses(cluster: LabCluster) -> set[str]:
    """Addresses of the pods on w1, those of the host's own network left out."""
    pods = cluster.get("pods", "-A", "--field-selector=spec.nodeName=w1,status.phase=Running")["items"]
    return {pod["status"]["podIP"] for pod in pods if not pod["spec"].get("hostNetwork")}


def traces(cluster: LabCluster, unit: str, *names: str) -> str:
    """What is left of a runtime on w1: units, files, records, processes. Empty when nothing is."""
    script = f"""
    find {" ".join(names)} 2> /dev/null
    ls -d /etc/systemd/system/{unit} /etc/systemd/system/*.wants/{unit} 2> /dev/null
    grep -e {unit} {" ".join(f"-e {name}" for name in names)} /var/lib/kprov/ledger
    systemctl list-unit-files --no-legend {unit}
    pgrep -a -f -e '-address {names[0]}/'
    true"""
    return cluster.sh("w1", script).strip()


def docker(cluster: LabCluster, method: str, path: str, body: Any = None) -> str:
    data = f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'" if body else ""
    return cluster.sh("w1", f"curl -fsS --unix-socket /run/docker.sock -X {method} {data} 'http://docker{path}'")


def is_open(cluster: LabCluster) -> bool:
    return not cluster.get("node", "w1")["spec"].get("unschedulable", False)
