"""Whether a host's network fits: free ports, an address of its own, cluster networks that collide with none. Pure.

Ports: Kubernetes "Ports and protocols", etcd's clients and peers, kprov's own proxies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_interface

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.roles.network import BRIDGE, TUNNEL
from kprov.values.addresses import bare
from kprov.values.component import Component, Port
from kprov.values.components import COMPONENTS
from kprov.values.model import Cluster, ClusterFacts, Facts, Host, Interface, Listener

_ALIVE = frozenset({"active", "activating", "reloading", "deactivating"})
_EVERYWHERE = frozenset({"*", "0.0.0.0", "[::]", "::"})  # noqa: S104 - compared with, never bound to
_COMM = 15  # characters of a program's name that the kernel keeps


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A port that a component will listen on at a host."""

    port: Port
    component: Component


def ports(cluster: Cluster, host: Host) -> tuple[Wanted, ...]:
    """The ports that kprov's units listen on at this host."""
    return tuple(
        Wanted(port=port, component=component)
        for component in COMPONENTS
        if component.runs_on(cluster, host)
        for port in component.open_ports(cluster)
    )


def check(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    yield from _ports(cluster, host, seen)
    yield from _address(host, seen.facts)
    yield from _collisions(cluster, host, seen)
    yield from _routes(cluster, host, seen)
    yield from _endpoint(cluster, host, seen)


def _ports(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    for wanted in ports(cluster, host):
        port, unit = wanted.port, wanted.component.unit
        takers = [
            listener
            for listener in seen.facts.listeners
            if listener.port == port.number
            and _in_the_way(port, listener)
            and not _ours(wanted.component, listener, seen)
        ]
        if takers:
            taken = ", ".join(
                f"{taker.process or 'a program that the host does not name'} on {taker.address}" for taker in takers
            )
            yield Problem(
                name=f"Port-{port.number}",
                host=host.name,
                what=f"port {port.number} is taken, and {unit} needs it",
                found=taken,
                needed=f"nobody but {unit} on port {port.number}",
                todo=f"stop and disable that program (ss -ltnp 'sport = :{port.number}')",
            )


def _in_the_way(port: Port, listener: Listener) -> bool:
    return not port.loopback or listener.address in _EVERYWHERE or listener.address == "127.0.0.1"


def _ours(component: Component, listener: Listener, seen: Observation) -> bool:
    """Our unit must be recorded, alive and, as far as the host tells, the program that listens."""
    state = seen.units.get(component.unit)
    recorded = ("unit", component.unit) in seen.records or (
        "file",
        f"/etc/systemd/system/{component.unit}",
    ) in seen.records
    program = listener.process.split(" ")[0]
    return recorded and state is not None and state.active in _ALIVE and program in ("", component.listener[:_COMM])


def _address(host: Host, facts: Facts) -> Iterable[Problem]:
    owned = _addresses(facts)
    if host.node_ip is not None and str(host.node_ip) not in owned:
        yield Problem(
            name="NodeIP",
            host=host.name,
            what="the host does not have the node_ip of the inventory",
            found=", ".join(address for address in owned if not address.startswith("127.")) or "no address",
            needed=str(host.node_ip),
            todo="correct node_ip, or give the address to an interface of the host",
        )
    try:
        ClusterFacts({host.name: facts}).node_ip(host)
    except ValueError:
        yield Problem(
            name="DefaultRoute",
            host=host.name,
            what="nothing tells which address other hosts know this one by",
            found=f"no default route, no node_ip, and {host.connection.address} is not an address of the host",
            needed="a node address",
            todo="set node_ip for this host in the inventory, or give it a default route",
        )


def _endpoint(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    """The API servers' name, as this host resolves it: without an address, its kubelet would lose the cluster."""
    for name, addresses in seen.resolved.items():
        if not addresses:
            yield Problem(
                name="ApiEndpoint",
                host=host.name,
                what=f"the host cannot resolve {name}, the name in api_endpoint",
                found="no address in its hosts file or from its name servers",
                needed="the address of what leads to the API servers",
                todo=f"make `getent ahostsv4 {name}` work there, or write the address into api_endpoint",
                key="cluster.api_endpoint",
            )
        elif any(ip_address(address).is_loopback for address in addresses):
            yield Problem(
                name="ApiEndpoint",
                host=host.name,
                what=f"the host resolves {name}, the name in api_endpoint, to itself",
                found=", ".join(addresses),
                needed="an address that leads every host to the API servers",
                todo=f"remove {name} from the host's /etc/hosts, or write the address into api_endpoint",
                key="cluster.api_endpoint",
            )


def _addresses(facts: Facts) -> tuple[str, ...]:
    return tuple(bare(address) for interface in facts.interfaces for address in interface.addresses)


def _collisions(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    for setting, network in (("pod_cidr", cluster.pod_cidr), ("service_cidr", cluster.service_cidr)):
        for interface in seen.facts.interfaces:
            if seen.records and _of_pods(cluster, host, seen.facts, setting, interface):
                continue
            for address in _overlapping(interface, network):
                yield Problem(
                    name="CIDR",
                    host=host.name,
                    what=f"the cluster's {setting} overlaps a network of this host",
                    found=f"{address} on {interface.name}, {setting} {network}",
                    needed=f"a {setting} that no host uses",
                    todo=f"choose another {setting}"
                    + (
                        f", or remove what another cluster left (ip link delete {interface.name})"
                        if interface.name in (BRIDGE, TUNNEL)
                        else ""
                    ),
                )


def _routes(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    """Where routes lead that somebody set: one into the cluster's networks is stronger than kprov's, or replaced by it.

    Whose pod network is their own may have set these for it.
    """
    if not host.is_node or not cluster.network.built_in:
        return
    linked = {(row.name, own) for row in seen.facts.interfaces for _, own in _networks(row)}
    for setting, network in (("pod_cidr", cluster.pod_cidr), ("service_cidr", cluster.service_cidr)):
        for route in seen.facts.settings.routes:
            # What an address brings along is told with it; half of the world is a VPN's default route.
            if (route.link, route.network) in linked or route.network.prefixlen < 2:
                continue
            if not route.network.overlaps(network):
                continue
            inside = route.network.subnet_of(network)
            yield Problem(
                name="CIDR",
                host=host.name,
                what=f"a route of this host leads into the cluster's {setting}"
                if inside
                else f"a route of this host covers the cluster's {setting}, which hides that part of it from the host",
                found=f"{route.network} through {route.link}, {setting} {network}",
                needed=f"a {setting} that no host has a way to",
                todo=f"choose another {setting}, or take the route away (ip route show {route.network})",
                severity="error" if inside else "warning",
            )


def _networks(interface: Interface) -> Iterable[tuple[str, IPv4Network]]:
    """Each address with its network; a host's word that is no address is left out."""
    for address in interface.addresses:
        try:
            own = ip_interface(address).network
        except ValueError:
            continue
        if isinstance(own, IPv4Network):
            yield address, own


def _of_pods(cluster: Cluster, host: Host, facts: Facts, setting: str, interface: Interface) -> bool:
    """Whether an interface of a host that has been set up belongs to the pod network, kprov's or the user's own."""
    if cluster.network.built_in:
        return interface.name in (BRIDGE, TUNNEL)
    try:
        own = ClusterFacts({host.name: facts}).node_ip(host)
    except ValueError:
        return False
    return setting == "pod_cidr" and own not in (bare(address) for address in interface.addresses)


def _overlapping(interface: Interface, network: IPv4Network) -> Iterable[str]:
    for address, own in _networks(interface):
        if own.overlaps(network):
            yield address


def compare(cluster: Cluster, observations: Mapping[str, Observation]) -> Iterable[Problem]:
    """The largest packet must be the same between nodes: what is too large gets lost on the way."""
    if cluster.network.mtu is not None:
        return  # then it is the same for all pods, whatever the links carry
    sizes = {
        host.name: size
        for host in cluster.nodes
        if host.name in observations and (size := _mtu(host, observations[host.name].facts))
    }
    if len(set(sizes.values())) < 2:
        return
    usual = max(sorted(set(sizes.values())), key=list(sizes.values()).count)
    for name, size in sizes.items():
        if size != usual:
            yield Problem(
                name="MTU",
                host=name,
                what="the MTU differs from that of the other nodes",
                found=f"{size}; others have {usual}",
                needed="one MTU on all nodes",
                todo=f"set it to {usual} on the interface of the node address, or on all others to {size}",
                severity="warning",
            )


def _mtu(host: Host, facts: Facts) -> int:
    try:
        own = ClusterFacts({host.name: facts}).node_ip(host)
    except ValueError:
        return 0
    carriers = (i for i in facts.interfaces if own in (bare(address) for address in i.addresses))
    return next((interface.mtu for interface in carriers), 0)
