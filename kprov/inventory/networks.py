"""What must hold between addresses and networks of an inventory. Each check notes mistakes in its review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.inventory.schema import HostKeys
from kprov.values.model import NETWORK_ADDONS, NetworkMode, pods_of

_SERVICE_PREFIXES = range(12, 29)  # kube-apiserver takes at most 20 bits of host part
_NODE_BITS = 16  # kube-controller-manager and Kubernetes' allocator: at most 2^16 node networks
_PODS = 110  # kubelet's default maxPods
_NODE_PORTS = range(30000, 32768)  # kube-apiserver's default --service-node-port-range
_KEYS_OF_MODE: Mapping[NetworkMode, frozenset[str]] = {
    "routed": frozenset({"mtu", "hosts", "policies"}),
    "vxlan": frozenset({"vni", "port", "mtu", "hosts", "policies"}),
    **dict.fromkeys((*NETWORK_ADDONS, "none"), frozenset()),
}


def addresses(review: Review) -> None:
    seen: dict[tuple[str, int], str] = {}
    node_ips: dict[IPv4Address, str] = {}
    default_port = review.inventory.cluster.port or 22
    ports = {group: variables.port for group, variables in review.inventory.groups.items() if variables.port}
    for name, entry in review.inventory.hosts.items():
        port = entry.port or next((ports[group] for group in review.groups[name] if group in ports), default_port)
        other = seen.setdefault((entry.address, port), name)
        if other != name:
            review.fault(
                ("hosts", name, "address"),
                f"the same address and port as host {other}",
                found=f"{entry.address} port {port}",
                needed="one host for each machine",
                todo="give it its own address, or its own port",
            )
        if entry.node_ip is not None:
            other = node_ips.setdefault(entry.node_ip, name)
            if other != name:
                review.fault(("hosts", name, "node_ip"), f"the same node_ip as host {other}", needed="its own address")


def _own_addresses(entry: HostKeys) -> Iterator[tuple[str, IPv4Address]]:
    if _is_ipv4(entry.address):
        yield "address", IPv4Address(entry.address)
    if entry.node_ip is not None:
        yield "node_ip", entry.node_ip


def _is_ipv4(text: str) -> bool:
    return text.replace(".", "").isdigit()


def networks(review: Review) -> None:
    cluster = review.inventory.cluster
    networks = {
        key: net
        for key, net in (("pod_cidr", cluster.pod_cidr), ("service_cidr", cluster.service_cidr))
        if review.sound("cluster", key)
    }
    if len(networks) == 2 and cluster.pod_cidr.overlaps(cluster.service_cidr):
        key = "service_cidr" if "service_cidr" in cluster.model_fields_set else "pod_cidr"
        review.fault(
            ("cluster", key),
            "pod_cidr and service_cidr overlap",
            found=f"{cluster.pod_cidr} for pods, {cluster.service_cidr} for services",
            needed="two networks without a common address",
        )
    for name, entry in review.inventory.hosts.items():
        for field, address in _own_addresses(entry):
            _outside(review, ("hosts", name, field), address, networks)
    _not_loopback(review)
    if cluster.api_endpoint and _is_ipv4(host := cluster.api_endpoint.partition(":")[0]):
        _outside(review, ("cluster", "api_endpoint"), IPv4Address(host), networks)


def _not_loopback(review: Review) -> None:
    """An endpoint that leads every host to itself."""
    host = (review.inventory.cluster.api_endpoint or "").partition(":")[0]
    local = IPv4Address(host).is_loopback if _is_ipv4(host) else host == "localhost" or host.endswith(".localhost")
    if local and review.sound("cluster", "api_endpoint"):
        review.fault(
            ("cluster", "api_endpoint"),
            "this leads every host to itself",
            needed="a load balancer or virtual IP that all hosts reach",
            todo="remove it: without it, a proxy on each host leads to the API servers",
        )


def _outside(review: Review, path: Path, address: IPv4Address, networks: Mapping[str, IPv4Network]) -> None:
    for key, net in networks.items():
        if address in net:
            review.fault(
                path,
                f"an address of hosts lies in the cluster's {key}",
                found=f"{address}, and {key} is {net}",
                needed="networks of pods and services that no host uses",
                todo=f"choose another {key} under `cluster`",
            )


def services(review: Review) -> None:
    cluster = review.inventory.cluster
    net, dns = cluster.service_cidr, cluster.dns_ip
    if not review.sound("cluster", "service_cidr"):
        return
    if net.prefixlen not in _SERVICE_PREFIXES:
        review.fault(
            ("cluster", "service_cidr"),
            "a network of a size that cannot be used for services",
            needed=f"a prefix from /{_SERVICE_PREFIXES[0]} (kube-apiserver takes 20 bits at most) "
            f"to /{_SERVICE_PREFIXES[-1]}",
        )
    elif dns is not None and (dns not in net or dns in (net.network_address, net.broadcast_address)):
        review.fault(
            ("cluster", "dns_ip"),
            "not a service address",
            needed=f"an address in service_cidr, {net}",
            todo=f"write {net[10]}",
        )
    elif dns == net[1]:
        review.fault(
            ("cluster", "dns_ip"), "this is the API server's own service address", needed=f"another address in {net}",
            todo=f"write {net[10]}",
        )  # fmt: skip


def pod_network(review: Review) -> None:
    """Keys of cluster.network that mean nothing in its mode, and a VXLAN port that Services may take."""
    network = review.inventory.cluster.network
    if not review.sound("cluster", "network"):
        return
    for key in sorted(network.model_fields_set - {"mode"} - _KEYS_OF_MODE[network.mode]):
        modes = [mode for mode, keys in _KEYS_OF_MODE.items() if key in keys]
        review.fault(
            ("cluster", "network", key),
            f"means nothing for mode {network.mode}",
            needed=f"`{key}` only with mode {' or '.join(modes)}",
            todo="remove it, or choose another mode",
        )
    if network.mode == "vxlan" and network.port in _NODE_PORTS:
        review.caution(
            ("cluster", "network", "port"),
            f"{network.port} lies among the ports that Services of type NodePort are given",
            f"choose one outside {_NODE_PORTS[0]}-{_NODE_PORTS[-1]}",
        )


def pods(review: Review) -> None:
    cluster = review.inventory.cluster
    net, prefix = cluster.pod_cidr, cluster.pod_cidr_node_prefix
    if not (review.sound("cluster", "pod_cidr") and review.sound("cluster", "pod_cidr_node_prefix")):
        return
    key = "pod_cidr_node_prefix" if "pod_cidr_node_prefix" in cluster.model_fields_set else "pod_cidr"
    nodes = sum(bool(groups & {"control_plane", "worker"}) for groups in review.groups.values())
    if not 0 <= prefix - net.prefixlen <= _NODE_BITS:
        review.fault(
            ("cluster", key),
            "node networks do not fit into the pod network",
            found=f"/{prefix} for each node in {net}",
            needed=f"a node prefix from /{net.prefixlen} to /{min(net.prefixlen + _NODE_BITS, 28)}",
        )
    elif 2 ** (prefix - net.prefixlen) < nodes:
        review.fault(
            ("cluster", key),
            "the pod network is too small for the number of nodes",
            found=f"{nodes} nodes, and {net} holds {2 ** (prefix - net.prefixlen)} networks of /{prefix}",
            needed=f"a network for each node: /{prefix - (nodes - 1).bit_length()} or larger",
        )
    elif pods_of(prefix) < _PODS and "kubelet" not in cluster.model_fields_set:
        review.caution(
            ("cluster", key),
            f"a node network of /{prefix} holds {pods_of(prefix)} pods, fewer than the kubelet's {_PODS}",
            "set `kubelet: {maxPods: …}`, or choose a smaller pod_cidr_node_prefix",
        )


def node_networks(review: Review) -> None:
    whole = review.inventory.cluster.pod_cidr if review.sound("cluster", "pod_cidr") else IPv4Network("0.0.0.0/0")
    placed = [(entry.pod_cidr, name) for name, entry in review.inventory.hosts.items() if entry.pod_cidr is not None]
    for net, name in placed:
        path = ("hosts", name, "pod_cidr")
        if review.groups[name] == {"etcd"}:
            review.fault(path, "a host that is only in the group etcd runs no pods", needed="no pod_cidr here")
        elif not net.subnet_of(whole):
            review.fault(path, "outside the cluster's pod_cidr", needed=f"a network within {whole}")
    last: tuple[IPv4Network, str] | None = None
    for net, name in sorted(placed, key=lambda pair: (pair[0].network_address, pair[0].prefixlen)):
        if last is not None and last[0].overlaps(net):
            path = ("hosts", name, "pod_cidr")
            review.fault(path, f"overlaps the pod_cidr of host {last[1]}", needed="its own network")
        else:
            last = (net, name)
