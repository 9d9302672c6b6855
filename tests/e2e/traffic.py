"""Packets of a test cluster's own pods: who runs where, and who reaches whom. See lab_cluster.probe_pods."""

from __future__ import annotations

import json
import socket
from urllib.parse import quote

import yaml
from lab_cluster import HOST_PORT, NODE_PORT, CommandFailed, LabCluster, until

LARGE = "x" * 60_000  # some forty of the largest packets of an ordinary link


def pods(cluster: LabCluster, app: str = "each") -> dict[str, tuple[str, str]]:
    """Node → pod name and address, of running pods."""
    return {
        pod["spec"]["nodeName"]: (pod["metadata"]["name"], pod["status"]["podIP"])
        for pod in cluster.get("pods", "-l", f"app={app}")["items"]
        if pod["status"]["phase"] == "Running"
        and all(container.get("ready") for container in pod["status"].get("containerStatuses", ()))
    }


def pods_on(cluster: LabCluster, *nodes: str) -> dict[str, tuple[str, str]]:
    """As `pods`, once there is one on each of these nodes and on no other."""

    def there() -> dict[str, tuple[str, str]]:
        found = pods(cluster)
        assert found.keys() == set(nodes), [
            (pod["metadata"]["name"], pod["spec"].get("nodeName"), pod["status"])
            for pod in cluster.get("pods", "-l", "app=each")["items"]
        ]
        return found

    return until(there, seconds=180, what=f"a pod runs on each of {', '.join(nodes)}")


def connects(cluster: LabCluster, pod: str, target: str) -> None:
    """From inside a pod; asked again for a while, as a Service is known to a node's kube-proxy a moment after the API."""

    def tried() -> bool:
        cluster.kubectl("exec", pod, "--", "/agnhost", "connect", "--timeout=5s", target)
        return True

    until(tried, seconds=20, what=f"{pod} reaches {target}")


def reaches(cluster: LabCluster, pod: str, target: str) -> bool:
    """Whether a connection opens from inside a pod, asked once."""
    try:
        cluster.kubectl("exec", pod, "--", "/agnhost", "connect", "--timeout=1s", target)
    except CommandFailed as failed:
        if "TIMEOUT" not in str(failed):
            raise
        return False
    return True


def beside(word: str) -> str:
    """Words of a shell that run a command in the network of one of a node's pods: of one without that word in its name."""
    given = f'grep -LE \'"K8S_POD_NAME","[^"]*{word}\' /var/lib/cni/results/kprov-*-eth0 | head -n 1'
    return f'nsenter --net=$(sed \'s/.*"netns":"\\([^"]*\\)".*/\\1/\' $({given}))'


def fetch(address: str, port: int, path: str = "/hostname") -> str:
    with socket.create_connection((address, port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return connection.makefile("rb").read().decode().rpartition("\r\n\r\n")[2]


def dialled(machine: str, address: str, request: str) -> str:
    """What a pod's web server says to another node's pod, which is asked to ask."""
    path = f"/dial?host={address}&port=8080&protocol=http&tries=1&request={quote(request, safe='')}"
    return "".join(json.loads(fetch(machine, HOST_PORT, path))["responses"])


def fits(cluster: LabCluster, node: str, address: str, mtu: int) -> None:
    """A packet of the pods' MTU passes whole, and one more byte does not even leave."""
    ping = "ping -c 1 -W 3 -M do -s {} " + address
    until(lambda: "1 received" in cluster.sh(node, ping.format(mtu - 28)), seconds=20, what=f"{mtu} bytes pass")
    assert "1 received" not in cluster.sh(node, ping.format(mtu - 27) + " 2>&1", check=False)


def own_services(*nodes: str) -> str:
    """A Service in front of each pod of the DaemonSet alone, to see one reach itself through it."""
    return yaml.safe_dump_all(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"on-{node}"},
            "spec": {"selector": {"on": node}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        for node in nodes
    )


def packets_pass(cluster: LabCluster, *nodes: str, mtu: int) -> None:
    """Everything that pods do with a network, from every node to every other one and to itself."""
    running = pods_on(cluster, *nodes)
    for node, (pod, _) in running.items():
        cluster.kubectl("label", "pod", pod, f"on={node}", "--overwrite")
    service = cluster.get("service", "each")["spec"]["clusterIP"]
    for node, (pod, _) in running.items():
        machine = cluster.lab.machine(node).address
        for other, (_, address) in running.items():
            connects(cluster, pod, f"{address}:8080")
            if other != node:
                fits(cluster, node, address, mtu)
        connects(cluster, pod, f"on-{node}.default.svc.cluster.local:80")  # itself, through its own Service
        connects(cluster, pod, f"{service}:80")
        names = {name for name, _ in running.values()}
        assert until(lambda m=machine: fetch(m, NODE_PORT), seconds=20, what="NodePort") in names
        other = next(address for name, (_, address) in running.items() if name != node)
        assert dialled(machine, other, f"echo?msg={LARGE}") == LARGE
