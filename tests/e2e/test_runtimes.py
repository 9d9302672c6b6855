"""A node's runtime is swapped for another and back: the first half cut off in the middle, the second not drained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_cluster import HOST_PORT, LabCluster, probe_pods, until

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane", "worker"], "w1": ["worker"]}
FIRST, SECOND = "containerd.service", "second.service"
PROGRAM = Path(__file__).parent / "second_runtime.py"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """With a pod of a DaemonSet on each node, which no drain takes away, and two that move."""
    made = LabCluster("rt-runtimes", tmp_path_factory.mktemp("runtimes"), HOSTS)
    made.command = (sys.executable, PROGRAM)
    try:
        made.kprov("up", "--yes")
        made.kubectl("apply", "-f", "-", stdin=probe_pods(made.load_agnhost()))
        made.kubectl("rollout", "status", "daemonset/each", "--timeout=90s", timeout=100)
        yield made
    finally:
        made.destroy()


def choose(cluster: LabCluster, runtime: str | None, *, drain: bool = True) -> None:
    def change(document: dict[str, Any]) -> None:
        document["hosts"]["w1"].pop("runtime", None)
        if runtime:
            document["hosts"]["w1"]["runtime"] = runtime
        document["cluster"]["upgrade"] = {"drain": drain}

    cluster.edit(change)


def load_agnhost(cluster: LabCluster, socket: str) -> None:
    """The test image is nobody's but the test's: a swap takes it away with the runtime's other images."""
    cluster.load_agnhost(["w1"], socket)


def is_open(cluster: LabCluster) -> bool:
    return not cluster.get("node", "w1")["spec"].get("unschedulable", False)


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
    ls -d {" ".join(names)} /etc/systemd/system/{unit} /etc/systemd/system/*.wants/{unit} 2> /dev/null
    grep -e {unit} {" ".join(f"-e {name}" for name in names)} /var/lib/kprov/manifest
    systemctl list-unit-files --no-legend {unit}
    pgrep -a -f -e '-address {names[0]}/'
    true"""
    return cluster.sh("w1", script).strip()


def test_plan_says_that_the_runtime_is_swapped(cluster: LabCluster) -> None:
    choose(cluster, "second")
    planned = cluster.kprov("plan", status=2).text
    assert "runtime of w1: containerd → second" in planned
    assert "drained before they are changed, opened again afterwards: w1" in planned
    values = json.loads(cluster.kprov("plan", "--json", status=2).stdout)
    assert values["runtimes"] == {"w1": {"from": ["containerd"], "to": "second"}}


def test_a_swap_that_is_cut_off_is_finished_by_the_next_run(cluster: LabCluster) -> None:
    with subprocess.Popen(
        [*cluster.command, "up", str(cluster.inventory), "--yes"], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        try:
            gone = f"! systemctl is-active -q {FIRST} && echo gone || true"
            until(lambda: cluster.sh("w1", gone), seconds=240, what="the old runtime is stopped")
        finally:
            os.killpg(run.pid, signal.SIGKILL)
    cluster.sh("w1", "flock -w 60 /var/lib/kprov/apply.lock true")
    assert cluster.sh("w1", "systemctl is-active kubelet.service || true").strip() == "inactive"
    assert not is_open(cluster)
    cluster.kprov("up", "--yes")
    assert is_open(cluster)


def test_nothing_of_the_old_runtime_is_left_and_pods_run_in_the_new_one(cluster: LabCluster) -> None:
    assert traces(cluster, FIRST, "/run/containerd/containerd.sock", "/etc/containerd") == ""
    assert cluster.sh("w1", "ls -A /var/lib/containerd") == ""
    load_agnhost(cluster, "/run/second/containerd.sock")
    until(lambda: answers(cluster), seconds=60, what="the pod that no drain took away answers from the new runtime")
    assert cluster.nodes() == {"cp1": True, "w1": True}
    assert leases(cluster) == addresses(cluster) != set()
    assert "kubepods" in cluster.sh("w1", "cat /proc/$(pgrep -o agnhost)/cgroup")
    assert cluster.kprov("plan").status == 0


def test_without_a_drain_the_swap_takes_the_pods_along(cluster: LabCluster) -> None:
    choose(cluster, None, drain=False)
    assert "runtime of w1: second → containerd; not drained" in cluster.kprov("plan", status=2).text
    cluster.kprov("up", "--yes")
    assert traces(cluster, SECOND, "/run/second", "/etc/second") == ""
    load_agnhost(cluster, "/run/containerd/containerd.sock")
    until(lambda: answers(cluster), seconds=60, what="the pod answers from the first runtime again")
    assert leases(cluster) == addresses(cluster) != set()
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0
