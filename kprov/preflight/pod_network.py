"""Whether hosts can carry the pod network that the inventory asks for, and whether a living one may change to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from kprov.observe.observation import Observation, printable
from kprov.plan.network_change import between, networks, others
from kprov.preflight.problem import Problem
from kprov.roles.network import TUNNEL, mtu, neighbourhood
from kprov.roles.pod_network import identity
from kprov.values.model import Cluster, ClusterFacts, Facts, Host
from kprov.values.paths import NETWORK_MODE

_SHOWN = 5  # hosts named in a message


def check(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    if not host.is_node or not cluster.network.built_in:
        return
    yield from _size(cluster, host, seen.facts)
    if cluster.network.mode == "vxlan":
        yield from _port(cluster.network.port, host, seen)
        yield from _program(host, seen.facts)


def _size(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    desired, overhead = cluster.network.mtu, cluster.network.overhead
    try:
        room = mtu(facts, ClusterFacts({host.name: facts}).node_ip(host)) - overhead
    except ValueError:
        return  # a host without a node address is told elsewhere
    if desired is not None and desired > room:
        yield Problem(
            name="MTU",
            host=host.name,
            what="pods' largest packets do not fit through this host's link",
            found=f"network.mtu {desired}; the link with the node's address leaves room for {room}",
            needed=f"at most {room}" + (f": its MTU less {overhead} for the tunnel" if overhead else ""),
            todo="write a smaller network.mtu, or leave it out for the largest that fits",
        )


def _port(port: int, host: Host, seen: Observation) -> Iterable[Problem]:
    takers = [listener for listener in seen.facts.udp_listeners if listener.port == port]
    if takers and not _is_ours(port, seen):
        taken = ", ".join(f"{taker.process or 'the kernel (another tunnel)'} on {taker.address}" for taker in takers)
        yield Problem(
            name=f"Port-{port}",
            host=host.name,
            what=f"UDP port {port} is taken, and the tunnel between nodes needs it",
            found=taken,
            needed=f"nobody but kprov's own tunnel on UDP port {port}",
            todo="choose another `port` under cluster.network, or end what uses it (ss -lunp; ip -d link show type vxlan)",
        )


def _is_ours(port: int, seen: Observation) -> bool:
    """Whether our own tunnel, of an earlier run, has the port. A record that was lost takes nothing away."""
    there = bool(seen.records) and any(interface.name == TUNNEL for interface in seen.facts.interfaces)
    recorded = seen.texts.get(NETWORK_MODE, b"").decode(errors="replace").split()  # vxlan VNI PORT
    return there and (len(recorded) != 3 or recorded[2] == str(port))


def _program(host: Host, facts: Facts) -> Iterable[Problem]:
    if "bridge" not in facts.commands:
        yield Problem(
            name="FileExisting-bridge",
            host=host.name,
            what="the program bridge is missing",
            found="no bridge on root's PATH",
            needed="bridge, which tells the tunnel where its peers are",
            todo="install the package that holds it (iproute2; iproute in the RHEL family)",
        )


def compare(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None
) -> Iterable[Problem]:
    yield from _apart(cluster, observations)
    yield from _change(cluster, observations, limit)


def _apart(cluster: Cluster, observations: Mapping[str, Observation]) -> Iterable[Problem]:
    """Host routes need a next hop on the same link: the kernel takes no other."""
    if cluster.network.mode != "routed":
        return
    facts = ClusterFacts({name: seen.facts for name, seen in observations.items()})
    addresses = {
        host.name: address for host in cluster.nodes if host.name in facts and (address := _address(host, facts))
    }
    beyond: dict[frozenset[IPv4Network], frozenset[str]] = {}  # hosts of one network are looked at once
    for name in addresses:
        links = neighbourhood(facts[name])
        if links not in beyond:
            beyond[links] = frozenset(
                other for other, address in addresses.items() if not any(address in link for link in links)
            )
        if far := [other for other in addresses if other in beyond[links] - {name}]:
            yield Problem(
                name="HostsApart",
                host=name,
                what="pods of other nodes cannot be reached by routes from here",
                found=f"{_names(far)} in no network of this host ({', '.join(sorted(map(str, links))) or 'none'})",
                needed="all nodes' addresses in one network",
                todo="write `network: vxlan`, a tunnel for hosts apart, or give the nodes a common network and node_ip in it",
            )


def _address(host: Host, facts: ClusterFacts) -> IPv4Address | None:
    try:
        return IPv4Address(facts.node_ip(host))
    except ValueError:
        return None


def _change(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None
) -> Iterable[Problem]:
    """What runs on nodes now against what is desired: pods keep the interfaces that they were made with."""
    desired = identity(cluster.network)
    before = others(cluster, observations)
    if not before:
        return
    told = next((name for name in before if limit is None or name in limit), None) or min(limit or before)
    found = "; ".join(
        f"{printable(mode)} on {_names([name for name in before if before[name] == mode])}"
        for mode in dict.fromkeys(before.values())
    )
    modes = {network.split(" ")[0] for record in before.values() for network in networks(record)}
    if not cluster.network.built_in or modes - {"routed", "vxlan"}:
        yield Problem(
            name="NetworkMode",
            host=told,
            what="the pod network of a living cluster cannot be changed to this one",
            found=found,
            needed=f"{desired} from the first day on: every pod's interface belongs to the network that made it",
            todo="write the old network into the inventory again; to change it, build a second cluster and move there, or "
            "take this one down and up again (docs/networks.md)",
        )
    elif limit is not None and {host.name for host in cluster.nodes} - limit:
        yield Problem(
            name="NetworkMode",
            host=told,
            what="a pod network changes on all nodes in one run, and this one is limited to some",
            found=found,
            needed=f"{desired} on every node: a node that is left behind would not be reached by the others' pods",
            todo="run it without --limit",
        )
    else:
        stepwise = "the pod network changes node by node; while it does, every node takes packets both ways"
        at_once = (
            "the tunnel changes on all nodes at once; connections between pods of different nodes stall for seconds"
        )
        yield Problem(
            name="NetworkMode",
            host=told,
            what=stepwise if between(cluster.network, before.values()) else at_once,
            found=found,
            needed=desired,
            todo="nothing, if that may be now; pods go on, and keep the MTU that they were made with",
            severity="warning",
        )


def _names(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
