"""The DNS cache of a node: pods ask it first, and names that were known are answered while cluster DNS is away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab_cluster import LabCluster, until

pytestmark = pytest.mark.lab

HOSTS = {"one": ["control_plane", "worker"]}
ADDRESS = "169.254.20.10"
NAME = "kubernetes.default.svc.cluster.local:443"
CACHED = 31  # seconds after which what cluster DNS said has to be asked for again


def addons(cache: bool) -> dict[str, Any]:
    return {"addons": {"metrics-server": False, "node-local-dns": cache}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    name = "cld-dns"
    keys = {**addons(True), "kube_proxy_mode": "iptables"}
    made = LabCluster(name, tmp_path_factory.mktemp(name), HOSTS, keys=keys)
    try:
        made.kprov("up", "--yes")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "asks"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {"name": "asks", "image": made.load_agnhost(), "imagePullPolicy": "Never", "args": ["pause"]}
                ],
            },
        }
        made.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        made.kubectl("wait", "--for=condition=Ready", "pod/asks", "--timeout=90s", timeout=100)
        yield made
    finally:
        made.destroy()


def connects(cluster: LabCluster, name: str = NAME) -> bool:
    """Whether a pod that is given this name finds who it is of, and reaches that; nothing is printed then."""
    return cluster.kubectl("exec", "asks", "--", "/agnhost", "connect", "--timeout=8s", name) == ""


def test_services_pass_by_iptables_rules_where_those_are_chosen(cluster: LabCluster) -> None:
    """As where the kernel or nft is too old for the other mode; here with the cache's own listeners beside them."""
    address = cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    assert connects(cluster, f"{address}:443")
    rules = cluster.sh("one", "iptables-save -t nat; nft list tables")
    assert f"-d {address}/32" in rules
    assert "table ip kube-proxy" not in rules


def scale(cluster: LabCluster, replicas: int) -> None:
    cluster.kubectl("-n", "kube-system", "scale", "deployment/coredns", f"--replicas={replicas}")


def running(cluster: LabCluster) -> int:
    return len(cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"])


def test_pods_are_told_of_the_cache_and_it_answers(cluster: LabCluster) -> None:
    told = cluster.kubectl("exec", "asks", "--", "/agnhost", "mounttest", "--file_content=/etc/resolv.conf")
    assert [line.split()[1] for line in told.splitlines() if line.startswith("nameserver")] == [ADDRESS, "10.96.0.10"]
    assert connects(cluster)
    assert cluster.kprov("plan").status == 0


def test_lookups_go_on_while_cluster_dns_is_away(cluster: LabCluster) -> None:
    assert connects(cluster)
    scale(cluster, 0)
    try:
        until(lambda: running(cluster) == 0, seconds=60, what="cluster DNS is away")
        assert "CoreDNS: no pod is ready" in cluster.kprov("status", status=1).text
        assert connects(cluster)
        time.sleep(CACHED)
        assert connects(cluster)
        with pytest.raises(AssertionError, match="DNS"):
            connects(cluster, "kube-dns.kube-system.svc.cluster.local:53")  # a name that nobody asked for before
    finally:
        scale(cluster, 2)
    until(lambda: connects(cluster, "kube-dns.kube-system.svc.cluster.local:53"), seconds=60, what="DNS is back")


def test_lookups_go_on_while_the_cache_is_away(cluster: LabCluster) -> None:
    desired_on(cluster, "nowhere")
    try:
        until(lambda: not caches(cluster), seconds=60, what="the cache is away")
        assert connects(cluster)
    finally:
        desired_on(cluster, None)
    until(lambda: caches(cluster) == 1, seconds=60, what="the cache is back")


def desired_on(cluster: LabCluster, node: str | None) -> None:
    """Only on nodes with this label, or on all."""
    patch = {"spec": {"template": {"spec": {"nodeSelector": {"only": node}}}}}
    cluster.kubectl("-n", "kube-system", "patch", "daemonset/node-local-dns", "-p", json.dumps(patch))


def caches(cluster: LabCluster) -> int:
    return len(cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=node-local-dns")["items"])


def test_switched_off_nothing_is_left_of_it(cluster: LabCluster) -> None:
    cluster.edit(lambda document: document["cluster"].update(addons(False)))
    cluster.kprov("up", "--yes")
    assert not cluster.kubectl("-n", "kube-system", "get", "daemonset/node-local-dns", "--ignore-not-found")
    assert ADDRESS not in cluster.sh("one", "ip address; cat /var/lib/kubelet/config.yaml")
    assert "kprov-node-dns" not in cluster.sh("one", "ls /etc/systemd/system; systemctl list-units --all")
    assert cluster.kprov("plan").status == 0
