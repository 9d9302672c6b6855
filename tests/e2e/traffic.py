"""Packets of a test cluster's own pods: who runs where, and who reaches whom. See lab_cluster.probe_pods."""

from __future__ import annotations

import json
import socket
from urllib.parse import quote

from lab_cluster import HOST_PORT, LabCluster, until

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
    return until(
        lambda: found if (found := pods(cluster)).keys() == set(nodes) else None,
        seconds=90,
        what=f"a pod runs on each of {', '.join(nodes)}",
    )


def connects(cluster: LabCluster, pod: str, target: str) -> None:
    """From inside a pod; asked again for a while, as a Service is known to a node's kube-proxy a moment after the API."""

    def tried() -> bool:
        cluster.kubectl("exec", pod, "--", "/agnhost", "connect", "--timeout=5s", target)
        return True

    until(tried, seconds=20, what=f"{pod} reaches {target}")


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
