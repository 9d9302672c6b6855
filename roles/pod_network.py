"""Which host has which pod network, and of which kind: decided once, recorded on every node, kept. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Network
from itertools import pairwise
from types import MappingProxyType

from kprov.observe.living import parse_table
from kprov.values.errors import PreflightError
from kprov.values.model import Cluster, NetworkSettings
from kprov.values.paths import NETWORK_MODE, POD_CIDRS
from kprov.values.resources import File

_NONE: Mapping[str, IPv4Network] = MappingProxyType({})


def identity(network: NetworkSettings) -> str:
    """What all nodes must agree on, as it is recorded: the mode, for vxlan with its identifier and port."""
    return f"vxlan {network.vni} {network.port}" if network.mode == "vxlan" else network.mode


def mode_file(network: NetworkSettings) -> File:
    """The record that every node keeps of what it has now, read before the next change."""
    return File(path=NETWORK_MODE, content=f"{identity(network)}\n".encode())


def table_file(pod_cidrs: Mapping[str, IPv4Network]) -> File:
    """The record that every node keeps: `HOST CIDR` lines."""
    return File(
        path=POD_CIDRS,
        content="".join(f"{name} {cidr_text(cidr)}\n" for name, cidr in sorted(pod_cidrs.items())).encode(),
    )


@lru_cache(maxsize=4096)
def cidr_text(cidr: IPv4Network) -> str:
    """Return the network as text. Every host's files name every other host's network: each is written out once."""
    return str(cidr)


def allocate(
    cluster: Cluster,
    tables: Mapping[str, bytes],
    nodes: Mapping[str, IPv4Network] = _NONE,
    leaving: Collection[str] = (),
) -> dict[str, IPv4Network]:
    """Return the pod network of every node.

    Args:
        tables: host name → the record found there.
        nodes: what Node objects have, as far as it is known, also those of hosts that the inventory does not name.
        leaving: those of them that kprov made and removes in this run: what they have stands in nobody's way.

    A Node's own network wins: Kubernetes takes no other while it exists. Then the inventory's choice, then what is recorded
    (the host's own record before its peers'), then the lowest that overlaps no other.
    Raises PreflightError when two nodes claim one network or the cluster's pod network is used up.
    """
    recorded = _recorded(tables)
    taken = dict(nodes)
    result: dict[str, IPv4Network] = {}
    for host in cluster.nodes:
        cidr = nodes.get(host.name) or host.pod_cidr or recorded.get(host.name)
        if cidr is None or not cidr.subnet_of(cluster.pod_cidr):
            continue
        if host.name not in nodes and host.pod_cidr is None and any(cidr.overlaps(net) for net in nodes.values()):
            continue  # a record of before that a node has by now
        taken[host.name] = result[host.name] = cidr
    _refuse_overlaps({name: cidr for name, cidr in taken.items() if name not in leaving})
    free = _free(cluster.pod_cidr, cluster.pod_cidr_node_prefix, taken.values())
    for host in cluster.nodes:
        if host.name not in result:
            try:
                result[host.name] = next(free)
            except StopIteration:
                raise PreflightError(
                    "the pod network is used up",
                    where=host.name,
                    found=f"{cluster.pod_cidr} in pieces of /{cluster.pod_cidr_node_prefix}",
                    needed=f"{len(cluster.nodes)} pieces",
                    todo="write a larger `pod_cidr` around the old one (not with another pod network than routed and vxlan), "
                    "or remove hosts",
                ) from None
    return result


def _recorded(tables: Mapping[str, bytes]) -> dict[str, IPv4Network]:
    read = {name: parse_table(table) for name, table in tables.items()}
    peers = {name: cidr for table in read.values() for name, cidr in table.items()}
    return peers | {name: table[name] for name, table in read.items() if name in table}


def _refuse_overlaps(taken: Mapping[str, IPv4Network]) -> None:
    ordered = sorted(taken.items(), key=lambda row: (row[1].network_address, row[1].prefixlen))
    for (one, wide), (other, cidr) in pairwise(ordered):
        if wide.overlaps(cidr):
            raise PreflightError(
                "two nodes have the same pod network",
                where=f"{one}, {other}",
                found=str(cidr) if wide == cidr else f"{wide} and {cidr}",
                needed="a network of its own for each node",
                todo="give one of them another pod_cidr in the inventory",
            )


def _free(whole: IPv4Network, prefix: int, taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """Yield pieces of a network that overlap nothing that is taken, the lowest first."""
    size = 2 ** (32 - prefix)
    spans = sorted((int(net.network_address), int(net.broadcast_address)) for net in taken)
    at, end = int(whole.network_address), int(whole.broadcast_address)
    for first, last in [*spans, (end + 1, end + 1)]:
        while at + size <= min(first, end + 1):
            yield IPv4Network((at, prefix))
            at += size
        if last >= at:
            at = (last // size + 1) * size
