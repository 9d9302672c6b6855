"""Names and addresses that belong to a host or to the API: what goes into certificates. Pure; resolves nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from kprov.values.addresses import bare, host_of
from kprov.values.model import Cluster, ClusterFacts, Host

# Interfaces whose addresses belong to containers, virtual machines or the service network. They come and go with
# workloads, so a certificate that named them would have to be issued again for nothing.
_NOT_THE_HOSTS = re.compile(
    r"lo$|cni|docker|podman|veth|br-|virbr|lxdbr|incusbr|vnet|flannel|cali|cilium|lxc|tunl|vxlan|geneve|kube-|nodelocaldns|weave"
)
_DNS_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$")
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Address = IPv4Address | IPv6Address


def as_address(text: str) -> Address | None:
    """The address that `text` is, or None when it is a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def split_names(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """DNS names and IP addresses of a mixed list, each in its one canonical spelling, sorted and without doubles."""
    dns: set[str] = set()
    addresses: set[Address] = set()
    for name in names:
        address = as_address(name)
        if address is None:
            dns.add(name.lower())
        else:
            addresses.add(address)
    return tuple(sorted(dns)), tuple(str(address) for address in sorted(addresses, key=lambda a: (a.version, int(a))))


def own_addresses(cluster: Cluster, host: Host, facts: ClusterFacts) -> tuple[str, ...]:
    """Addresses that stay with this host: its node IP and those of its network interfaces.

    Left out: loopback and link-local addresses, interfaces of container and VM networks (by name), addresses inside the
    cluster's pod and service networks, and a virtual API address, which moves from host to host.
    Raises KeyError when the host has not answered, ValueError when it has no node IP.
    """
    node_ip = facts.node_ip(host)
    moving = host_of(cluster.api_endpoint) if cluster.api_endpoint else None
    own = {node_ip}
    for interface in facts[host.name].interfaces:
        if _NOT_THE_HOSTS.match(interface.name):
            continue
        for text in interface.addresses:
            address = ip_address(bare(text))
            inside = address in cluster.pod_cidr or address in cluster.service_cidr
            if not (address.is_loopback or address.is_link_local or inside or str(address) == moving):
                own.add(str(address))
    return split_names(own)[1]


def host_names(cluster: Cluster, host: Host, facts: ClusterFacts) -> tuple[str, ...]:
    """How others reach this host: its node name and its own addresses."""
    return (host.name, *own_addresses(cluster, host, facts))


def etcd_names(cluster: Cluster, host: Host, facts: ClusterFacts) -> tuple[str, ...]:
    """All addresses a member may be dialled at or dial from: etcd refuses a peer whose source address is not named."""
    return (*host_names(cluster, host, facts), *LOOPBACK)


def api_names(cluster: Cluster, host: Host, facts: ClusterFacts) -> tuple[str, ...]:
    """Every name and address under which clients may call this host's API server."""
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.{cluster.domain}", str(cluster.service_ip)]
    if cluster.api_endpoint:
        names.append(host_of(cluster.api_endpoint))
    # The SSH address may be the far side of a NAT: the operator's kubectl comes in the same way. An alias of
    # ssh_config need not be a DNS name, and then it is no name for a certificate.
    reached_at = host.connection.address.lower()
    if as_address(reached_at) or _DNS_NAME.match(reached_at):
        names.append(reached_at)
    return (*names, *cluster.api_sans, *host_names(cluster, host, facts), *LOOPBACK)
