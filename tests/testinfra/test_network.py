"""Packets: service addresses, names, and the way from each node to the pods of every other one."""

from __future__ import annotations

import re
import secrets
import time
from ipaddress import IPv4Address, IPv4Network

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import dns, wire
from kprov.testinfra.fleet import API_NAME, Fleet
from kprov.values.model import Cluster, Host

DEADLINE = 60.0  # seconds that pods may still need to start after `kprov up`
BRIDGE = re.compile(r"\binet (?P<address>[0-9.]+)/")
TUNNEL = "kprov-vxlan"


def require_mode(cluster: Cluster, *modes: str) -> None:
    if cluster.network.mode not in modes:
        pytest.skip(f"the pod network is {cluster.network.mode}")


def gateway(fleet: Fleet, name: str) -> str:
    """The first address of a node's pod network: the node's own in it."""
    return str(IPv4Network(fleet.nodes[name]["spec"]["podCIDR"])[1])


def test_coredns_is_available(cluster: Cluster, fleet: Fleet) -> None:
    path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    ends = time.monotonic() + DEADLINE
    while True:
        deployment = fleet.objects(path, fresh=True)
        available = deployment.get("status", {}).get("availableReplicas", 0)
        if available == deployment["spec"]["replicas"]:
            break
        assert time.monotonic() < ends, f"{available} of {deployment['spec']['replicas']} are available"
        time.sleep(1)
    assert available == int(cluster.coredns.get("replicas", 2))
    service = fleet.objects("/api/v1/namespaces/kube-system/services/kube-dns")
    assert service["spec"]["clusterIP"] == str(cluster.dns_ip)


def test_each_networkpolicy_is_enforced(cluster: Cluster, fleet: Fleet) -> None:
    """The API takes a NetworkPolicy whether or not the pod network looks at it. Add-ons bring theirs for those that do."""
    if cluster.network.enforces:
        pytest.skip("each node's kprov-policies is asked beside the other units")
    if cluster.network.mode not in ("routed", "vxlan", "flannel"):
        pytest.skip(f"the pod network is {cluster.network.mode}")
    theirs = "?labelSelector=app.kubernetes.io%2Fmanaged-by%21%3Dkprov"
    policies = fleet.objects(f"/apis/networking.k8s.io/v1/networkpolicies{theirs}", fresh=True)["items"]
    named = sorted(f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in policies)
    assert not named, f"{len(named)} NetworkPolicies that the network {cluster.network.mode} does not enforce: {named}"


@pytest.mark.on("node")
def test_cluster_dns_answers_on_this_node(host: Machine, fleet: Fleet, cluster: Cluster) -> None:
    """A question over UDP to the service address: kube-proxy, the pod network and CoreDNS, all at once."""
    identity = secrets.randbelow(2**16)
    query = dns.question(f"kubernetes.default.svc.{cluster.domain}", identity)
    answer = wire.ask_udp(fleet.session(host.backend.hostname), str(cluster.dns_ip), 53, query)
    assert dns.addresses(answer, identity) == (cluster.service_ip,)


@pytest.mark.on("node")
def test_unknown_names_are_unknown(host: Machine, fleet: Fleet, cluster: Cluster) -> None:
    """The answer above is not one that the server gives for everything."""
    identity = secrets.randbelow(2**16)
    query = dns.question(f"no-such-service.default.svc.{cluster.domain}", identity)
    answer = wire.ask_udp(fleet.session(host.backend.hostname), str(cluster.dns_ip), 53, query)
    with pytest.raises(dns.DnsError, match="code 3"):
        dns.addresses(answer, identity)


@pytest.mark.on("node")
def test_service_address_of_the_api(host: Machine, fleet: Fleet, cluster: Cluster) -> None:
    session = fleet.session(host.backend.hostname)
    address = str(cluster.service_ip)
    answer = wire.get_tls(session, address, 443, "/readyz", fleet.trusting("kubernetes"), API_NAME)
    assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.on("node")
def test_kube_proxy_is_healthy_and_in_its_mode(host: Machine, fleet: Fleet, cluster: Cluster) -> None:
    session = fleet.session(host.backend.hostname)
    mode = wire.get(session, "127.0.0.1", 10249, "/proxyMode").body.decode()
    desired = ("nftables", "iptables") if cluster.kube_proxy_mode == "auto" else (cluster.kube_proxy_mode,)
    assert mode in desired
    rules = "nft list table ip kube-proxy" if mode == "nftables" else "iptables-save -t nat"
    assert str(cluster.dns_ip) in host.check_output(rules), "the kernel has no rule for the address of cluster DNS"
    assert wire.get(session, fleet.node_ip(host.backend.hostname), 10256, "/healthz").status == 200


@pytest.mark.on("node")
def test_routes_to_the_pods_of_all_other_nodes(host: Machine, fleet: Fleet, cluster: Cluster, spec: Host) -> None:
    require_mode(cluster, "routed", "vxlan")
    table = host.check_output("ip -4 route show").splitlines()
    routes = {words[0]: words[2] for words in map(str.split, table) if len(words) > 2 and words[1] == "via"}
    way = fleet.node_ip if cluster.network.mode == "routed" else lambda name: gateway(fleet, name)
    desired = {node["spec"]["podCIDR"]: way(name) for name, node in fleet.nodes.items() if name != spec.name}
    assert {network: routes.get(network) for network in desired} == desired


@pytest.mark.on("node")
def test_the_tunnel_knows_all_other_nodes_and_nobody_else(
    host: Machine, fleet: Fleet, cluster: Cluster, spec: Host
) -> None:
    require_mode(cluster, "vxlan")
    others = {fleet.node_ip(name) for name in fleet.nodes if name != spec.name}
    shown = host.check_output(f"bridge fdb show dev {TUNNEL}").splitlines()
    assert {words[2] for words in map(str.split, shown) if words[1] == "dst"} == others
    assert {words[-1] for words in map(str.split, shown)} <= {"permanent"}, "an entry was learned"
    device = host.check_output(f"ip -d -o link show dev {TUNNEL}")
    assert f" vxlan id {cluster.network.vni} " in device
    assert f" dstport {cluster.network.port} nolearning " in device


@pytest.mark.on("node")
def test_pod_gateways_of_all_other_nodes_answer(host: Machine, fleet: Fleet, cluster: Cluster, spec: Host) -> None:
    """A request over the pod network to every node's own address in it: there and back again."""
    require_mode(cluster, "routed", "vxlan")
    for other in cluster.nodes:
        # Without a tunnel the address comes with the first pod on a node.
        device = TUNNEL if cluster.network.mode == "vxlan" else "cni0"
        shown = fleet.host(other.name).run(f"ip -o -4 addr show dev {device} up")
        match = BRIDGE.search(shown.stdout)
        if shown.rc != 0 or match is None:
            assert device != TUNNEL, shown.stderr
            continue
        answer = wire.get(fleet.session(spec.name), match["address"], 10256, "/healthz")
        assert answer.status in (200, 503), f"{spec.name} → {other.name}: status {answer.status}"


@pytest.mark.on("node")
def test_pods_get_addresses_of_their_nodes_network(host: Machine, fleet: Fleet, cluster: Cluster, spec: Host) -> None:
    """Pods that have an address of their own; those of the host's network have the host's."""
    require_mode(cluster, "routed", "vxlan")
    own = IPv4Network(fleet.nodes[spec.name]["spec"]["podCIDR"])
    for pod in fleet.objects("/api/v1/pods")["items"]:
        address = pod["status"].get("podIP")
        if pod["spec"].get("nodeName") == spec.name and address and not pod["spec"].get("hostNetwork"):
            assert IPv4Address(address) in own, pod["metadata"]["name"]
