"""Which host has which pod network, and of which kind: decided once, recorded on every node, kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from kprov.values.errors import PreflightError
from kprov.values.model import Cluster, NetworkSettings
from kprov.values.paths import NETWORK_MODE, POD_CIDRS
from kprov.values.resources import File


def identity(network: NetworkSettings) -> str:
    """What all nodes must agree on, as it is recorded: the mode, for vxlan with its identifier and port."""
    return f"vxlan {network.vni} {network.port}" if network.mode == "vxlan" else network.mode


def mode_file(network: NetworkSettings) -> File:
    """The record that every node keeps of what it has now, read before the next change."""
    return File(path=NETWORK_MODE, content=f"{identity(network)}\n".encode())


def table_file(pod_cidrs: Mapping[str, IPv4Network]) -> File:
    """The record that every node keeps: `HOST CIDR` lines."""
    return File(
        path=POD_CIDRS, content="".join(f"{name} {cidr}\n" for name, cidr in sorted(pod_cidrs.items())).encode()
    )


def parse_table(text: bytes) -> dict[str, IPv4Network]:
    """Reads a host's record; lines that are not `HOST CIDR` are left out, as a host may have been tampered with."""
    found: dict[str, IPv4Network] = {}
    for line in text.decode(errors="replace").splitlines():
        name, _, cidr = line.partition(" ")
        try:
            found[name] = IPv4Network(cidr.strip())
        except ValueError:
            continue
    return found


def allocate(cluster: Cluster, tables: Mapping[str, bytes]) -> dict[str, IPv4Network]:
    """The pod network of every node. `tables`: host name → the record found there.

    The inventory's own choice wins, then what is recorded (the host's own record before its peers'), then the lowest
    free one. Raises PreflightError when two nodes claim one network or the cluster's pod network is used up.
    """
    recorded: dict[str, IPv4Network] = {}
    for table in tables.values():
        recorded.update(parse_table(table))
    for name, table in tables.items():
        own = parse_table(table).get(name)
        if own is not None:
            recorded[name] = own
    taken: dict[IPv4Network, str] = {}
    result: dict[str, IPv4Network] = {}
    for host in cluster.nodes:
        cidr = host.pod_cidr or recorded.get(host.name)
        if cidr is None or not cidr.subnet_of(cluster.pod_cidr):
            continue
        if cidr in taken:
            raise PreflightError(
                "two nodes have the same pod network",
                where=f"{taken[cidr]}, {host.name}",
                found=str(cidr),
                needed="a network of its own for each node",
                todo="give one of them another pod_cidr in the inventory",
            )
        taken[cidr] = host.name
        result[host.name] = cidr
    free = (cidr for cidr in cluster.pod_cidr.subnets(new_prefix=cluster.pod_cidr_node_prefix) if cidr not in taken)
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
                    todo="remove hosts; a pod network cannot be changed while a cluster lives",
                ) from None
    return result
