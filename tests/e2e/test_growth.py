"""A cluster that grows and shrinks by edits of its inventory: nobody is special, and nobody is touched without need."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pytest
from conftest import Make
from lab_cluster import LabCluster, probe_pods, until
from traffic import connects, pods_on

from kprov.lab import machines

pytestmark = pytest.mark.lab

HOSTS = {
    "cp1": ["control_plane"],
    "w1": ["worker"],
    "cp2": ["control_plane"],
    "cp3": ["control_plane"],
    "w2": ["worker"],
}


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("e2e-grow", HOSTS)
    whole = made.inventory.read_text()
    made.edit(lambda document: keep(document, "cp1", "w1"))
    made.kprov("up", "--yes")
    (made.folder / "whole.yaml").write_text(whole)
    return made


def keep(document: dict[str, Any], *names: str) -> None:
    document["hosts"] = {name: host for name, host in document["hosts"].items() if name in names}


def with_hosts(cluster: LabCluster, *names: str) -> None:
    cluster.inventory.write_text((cluster.folder / "whole.yaml").read_text())
    cluster.edit(lambda document: keep(document, *names))


def members(cluster: LabCluster, host: str) -> set[str]:
    """Names of etcd's members, learners left out."""
    listed = cluster.sh(
        host,
        "/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
        " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key member list -w json",
    )
    return {member["name"] for member in json.loads(listed)["members"] if not member.get("isLearner")}


def pod_cidrs(cluster: LabCluster) -> dict[str, str]:
    return {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in cluster.get("nodes")["items"]}


def pods_talk(cluster: LabCluster, *nodes: str) -> None:
    """From a pod on each of these nodes to the one on every other, over the hosts' routes."""
    running = pods_on(cluster, *nodes)
    for pod, _ in running.values():
        for _, address in running.values():
            connects(cluster, pod, f"{address}:8080")


def test_a_new_worker_disturbs_nobody(cluster: LabCluster) -> None:
    before, networks = cluster.main_pids("cp1"), pod_cidrs(cluster)
    with_hosts(cluster, "cp1", "w1", "w2")
    cluster.kprov("up", "--yes")
    after = cluster.main_pids("cp1")
    assert {unit for unit in before if before[unit] != after[unit]} <= {"kprov-network.service"}
    assert cluster.nodes() == {"cp1": True, "w1": True, "w2": True}
    assert {name: cidr for name, cidr in pod_cidrs(cluster).items() if name in networks} == networks
    new = pod_cidrs(cluster)["w2"]
    assert all(new in cluster.run(host, "ip", "route") for host in ("cp1", "w1"))
    cluster.kubectl("apply", "-f", "-", stdin=probe_pods(cluster.load_agnhost("cp1", "w1", "w2")))
    pods_talk(cluster, "cp1", "w1", "w2")


Edit = Callable[[dict[str, Any]], None]


def setting(**values: Any) -> Edit:
    return lambda document: document["cluster"].update(values)


def of_host(name: str, **values: Any) -> Edit:
    return lambda document: document["hosts"][name].update(values)


def renamed(document: dict[str, Any]) -> None:
    document["hosts"]["other"] = document["hosts"].pop("w1")


def lost(document: dict[str, Any]) -> None:
    del document["hosts"]["w2"]


def moved(document: dict[str, Any]) -> None:
    document["hosts"]["cp1"]["groups"] = ["worker"]
    document["hosts"]["w1"]["groups"] = ["control_plane"]


FIXED: Mapping[str, tuple[Edit, str, str]] = {
    "service_cidr": (setting(service_cidr="10.97.0.0/16"), "cluster.service_cidr", "10.96.0.0/16"),
    "dns_ip": (setting(dns_ip="10.96.0.53"), "cluster.dns_ip", "10.96.0.10"),
    "domain": (setting(domain="example.org"), "cluster.domain", "cluster.local"),
    "pod_cidr": (setting(pod_cidr="10.64.0.0/16"), "cluster.pod_cidr", "w1 has 10.244."),
    "a node's pod_cidr": (of_host("w1", pod_cidr="10.244.77.0/24"), "hosts.w1.pod_cidr", "Node object"),
    "another node's pod_cidr": (of_host("w1", pod_cidr="10.244.0.0/23"), "hosts.w1.pod_cidr", "Node object"),
    "a member's node_ip": (of_host("cp1", node_ip="203.0.113.7"), "hosts.cp1.node_ip", "the member list of etcd"),
    "a host's name": (renamed, "hosts.other", "w1 (the certificate that it has)"),
    "a lost line": (lost, "kprov down --limit w2", "w2: Ready"),
    "the whole control plane": (moved, "hosts.w1.groups", "API servers on cp1"),
    "the whole of etcd": (
        of_host("w1", groups=["etcd", "worker"]),
        "let cp1 stay in the group etcd",
        "data on cp1, and",
    ),
    "groups": (of_host("w1", groups=["etcd"]), "hosts.w1.groups", "w1 is a node"),
    "a flag": (setting(extra_args={"kubelet": {"root-dir": "/srv"}}), "extra_args.kubelet.root-dir", "not set"),
    "name": (setting(name="another"), "i.yaml:", "e2e-grow"),
}


@pytest.mark.parametrize("case", FIXED)
def test_what_cannot_change_is_refused_by_what_the_cluster_lives_with(cluster: LabCluster, case: str) -> None:
    change, place, lived = FIXED[case]
    written = cluster.inventory.read_text()
    before = {host: cluster.main_pids(host) for host in ("cp1", "w1", "w2")}
    generations = [cluster.sh(host, "cat /var/lib/kprov/generation") for host in before]
    cluster.edit(change)
    try:
        told = cluster.kprov("up", "--yes", "--limit", "w2", status=1).text if case == "domain" else ""
        told += cluster.kprov("plan", status=1).text
    finally:
        cluster.inventory.write_text(written)
    assert place.replace("i.yaml", str(cluster.inventory)) in told, told
    assert lived in told
    assert "nothing was touched" in told
    assert "do:" in told
    assert {host: cluster.main_pids(host) for host in before} == before
    assert [cluster.sh(host, "cat /var/lib/kprov/generation") for host in before] == generations


def test_a_refused_change_that_is_taken_back_leaves_nothing_to_do(cluster: LabCluster) -> None:
    assert cluster.kprov("plan").status == 0
    pods_talk(cluster, "cp1", "w1", "w2")


def test_a_worker_gets_another_address_in_place(cluster: LabCluster) -> None:
    """Kubelet tells the new one, and the others' routes lead there. SSH goes on by the old one."""
    other = str(cluster.lab.network[201])
    cluster.sh("w2", f"ip address add {other}/{cluster.lab.network.prefixlen} dev host0")
    cluster.edit(of_host("w2", node_ip=other))
    cluster.kprov("up", "--yes")
    addresses = {row["type"]: row["address"] for row in cluster.get("node", "w2")["status"]["addresses"]}
    assert addresses["InternalIP"] == other
    assert f"via {other} " in cluster.run("w1", "ip", "route")
    pods_talk(cluster, "cp1", "w1", "w2")
    assert cluster.kprov("plan").status == 0
    with_hosts(cluster, "cp1", "w1", "w2")
    cluster.kprov("up", "--yes")
    cluster.sh("w2", f"ip address del {other}/{cluster.lab.network.prefixlen} dev host0")
    pods_talk(cluster, "cp1", "w1", "w2")


def policies(cluster: LabCluster, *hosts: str) -> set[str]:
    """The CPU policies in kubelets' own state files."""
    state = "/var/lib/kubelet/cpu_manager_state"
    return {json.loads(cluster.sh(host, f"cat {state}"))["policyName"] for host in hosts}


@pytest.mark.parametrize(("before", "after"), [("none", "static"), ("static", "none")])
def test_another_cpu_policy_begins_on_an_empty_node_with_a_new_state(
    cluster: LabCluster, before: str, after: str
) -> None:
    """Over the old state file kubelet would end at each start."""
    assert policies(cluster, "w1", "w2") == {before}

    def change(document: dict[str, Any]) -> None:
        group = document.setdefault("groups", {}).setdefault("worker", {})
        group["kubelet"] = {"cpuManagerPolicy": after, "kubeReserved": {"cpu": "100m"}}

    cluster.edit(change)
    planned = cluster.kprov("plan", status=2).text
    assert f"it is of cpuManagerPolicy {before}, and {after} is next" in planned
    assert "w1, w2: drained before they are changed" in planned
    cluster.kprov("up", "--yes")
    assert policies(cluster, "w1", "w2") == {after}
    assert set(cluster.nodes().values()) == {True}
    assert not [node for node in cluster.get("nodes")["items"] if node["spec"].get("unschedulable")]
    assert cluster.kprov("plan").status == 0


def test_control_planes_join_as_learners_and_vote(cluster: LabCluster) -> None:
    """They get pieces of another size out of a larger network, which overlap none of those that nodes have."""
    networks = pod_cidrs(cluster)
    with_hosts(cluster, *HOSTS)
    cluster.edit(setting(pod_cidr="10.244.0.0/15", pod_cidr_node_prefix=23))
    cluster.kprov("up", "--yes")
    cluster.load_agnhost("cp2", "cp3")
    pieces = [IPv4Network(piece) for piece in pod_cidrs(cluster).values()]
    assert {name: piece for name, piece in pod_cidrs(cluster).items() if name in networks} == networks
    assert [piece.prefixlen for piece in pieces].count(23) == 2
    assert not any(one.overlaps(other) for one, other in combinations(pieces, 2))
    assert all("pods 10.244.0.0/15" in cluster.sh(host, "cat /etc/kprov/network.conf") for host in HOSTS)
    pods_talk(cluster, "cp1", "w1", "w2")
    assert members(cluster, "cp2") == {"cp1", "cp2", "cp3"}
    assert cluster.nodes() == dict.fromkeys(HOSTS, True)
    assert cluster.kprov("plan").status == 0


def test_a_run_for_some_hosts_goes_on_beside_a_control_plane_that_is_silent(cluster: LabCluster) -> None:
    """It keeps its place in what others are told: nothing is taken from them because it does not answer."""
    before = {host: cluster.main_pids(host) for host in ("cp1", "w1", "w2")}
    machines.stop(cluster.lab.machine("cp3"))
    try:
        assert "nothing was changed" in cluster.kprov("up", "--yes", "--limit", "cp1,cp2,w1,w2").text
        assert "cp3" in cluster.kprov("up", "--yes", status=None).text
    finally:
        machines.start(cluster.lab.machine("cp3"))
    until(lambda: set(cluster.nodes().values()) == {True}, seconds=60, what="all nodes Ready")
    assert {host: cluster.main_pids(host) for host in before} == before
    assert cluster.kprov("plan").status == 0


def test_the_first_control_plane_leaves_and_the_cluster_stays(cluster: LabCluster) -> None:
    networks = pod_cidrs(cluster)
    cluster.kprov("down", "--limit", "cp1", "--yes")
    assert members(cluster, "cp3") == {"cp2", "cp3"}
    with_hosts(cluster, "w1", "cp2", "cp3", "w2")
    cluster.kubeconfig.unlink()
    cluster.kprov("up", "--yes")
    until(
        lambda: cluster.nodes() == dict.fromkeys(("w1", "cp2", "cp3", "w2"), True), seconds=60, what="four nodes Ready"
    )
    assert "6443" not in cluster.sh("cp1", "ss -Hltn")
    assert all(networks["cp1"] not in cluster.run(host, "ip", "route") for host in ("w1", "cp2"))
    assert {name: cidr for name, cidr in networks.items() if name != "cp1"} == pod_cidrs(cluster)
    pods_talk(cluster, "w1", "cp2", "cp3", "w2")
    assert cluster.kprov("plan").status == 0
    left = (
        "ls -d /etc/kubernetes /var/lib/kprov* /opt/kprov 2> /dev/null;"
        " ls /etc/systemd/system | grep ^kprov- | grep -v ^kprov-lab-"
    )
    assert cluster.sh("cp1", f"{left}; getent passwd | grep kprov-; true") == ""


def test_a_load_balancer_takes_the_place_of_the_local_proxies_and_gives_it_back(cluster: LabCluster) -> None:
    """The host that left serves as the load balancer: systemd's own TCP proxy before one API server."""
    balancer, server = (cluster.lab.machine(name).address for name in ("cp1", "cp2"))
    endpoint = f"{balancer}:7443"
    cluster.sh(
        "cp1",
        f"systemd-run -q --unit=balancer --socket-property=ListenStream={endpoint}"
        f" /lib/systemd/systemd-socket-proxyd {server}:6443",
    )
    with_hosts(cluster, "w1", "cp2", "cp3", "w2")
    cluster.edit(lambda document: document["cluster"].update(api_endpoint=endpoint))
    cluster.kprov("up", "--yes")
    until(lambda: set(cluster.nodes().values()) == {True}, seconds=60, what="all nodes Ready through the load balancer")
    for host in ("w1", "cp3"):
        assert endpoint in cluster.sh(host, "ss -Htnp state established | grep kubelet")
        assert (
            cluster.sh(host, "systemctl list-unit-files --no-legend kube-api-proxy.service; command -v haproxy; true")
            == ""
        )
    assert cluster.kprov("plan").status == 0
    with_hosts(cluster, "w1", "cp2", "cp3", "w2")
    cluster.kprov("up", "--yes")
    cluster.sh("cp1", "systemctl stop balancer.socket balancer.service")
    until(lambda: set(cluster.nodes().values()) == {True}, seconds=60, what="all nodes Ready through their own proxies")
    assert endpoint not in cluster.sh("w1", "ss -Htnp state established | grep kubelet")
    assert cluster.kprov("plan").status == 0
