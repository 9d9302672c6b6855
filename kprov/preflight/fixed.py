"""Settings that cannot change while a cluster lives, against what it lives with. Pure; nothing here can be ignored.

A value that some part of the cluster already has is taken: a run that was cut off may be finished, or taken back.
Each guard is named in `GUARDS` by the setting it is for, so that what a key declares and what is refused cannot part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from kprov.observe.living import (
    dns_address,
    domains,
    etcd_members,
    name_servers,
    node_networks,
    objects_of,
    own_name,
    pod_networks,
    service_networks,
    unit_flags,
)
from kprov.observe.observation import Observation
from kprov.observe.silent_hosts import cluster_facts
from kprov.preflight.problem import INVENTORY, Problem
from kprov.roles.cloud_nodes import PROVIDER
from kprov.roles.etcd import peer_url
from kprov.values.model import Cluster, ClusterFacts, Component, Host

# Flags that say where data is or what of it counts: another value leaves it behind.
FIXED_FLAGS: Mapping[Component, tuple[str, ...]] = {
    "etcd": ("wal-dir", "force-new-cluster"),
    "kube-apiserver": ("etcd-prefix",),
    "kubelet": ("root-dir",),
    "containerd": ("root", "state"),
}
_MOVE = "to have another one, build a second cluster and move there"


@dataclass(frozen=True, kw_only=True)
class View:
    """What guards judge. objects: kprov's own in the API, None while nobody can ask it."""

    cluster: Cluster
    observations: Mapping[str, Observation]
    limit: frozenset[str] | None
    objects: tuple[Mapping[str, Any], ...] | None
    networks: Mapping[str, tuple[IPv4Network, str]]  # node → its pod network and who says so
    facts: ClusterFacts

    @property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """The Node objects by name."""
        return {item["metadata"]["name"]: item for item in self.objects or () if item["kind"] == "Node"}


Guard = Callable[[View], Iterable[Problem]]


def compare(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None
) -> Iterable[Problem]:
    """Every setting that would break the cluster, whatever `limit` leaves out: its value is everybody's."""
    view = View(
        cluster=cluster,
        observations=observations,
        limit=limit,
        objects=objects_of(observations),
        networks=node_networks(observations),
        facts=cluster_facts(observations),
    )
    for guard in GUARDS.values():
        yield from guard(view)


def _refused(key: str, what: str, *, found: str, needed: str, todo: str, name: str = "FixedSetting") -> Problem:
    return Problem(
        name=name, host=INVENTORY, what=what, found=found, needed=needed, todo=todo, key=key, ignorable=False
    )


def _service_cidr(view: View) -> Iterable[Problem]:
    desired = view.cluster.service_cidr
    dns = dns_address(view.objects or ())
    # A network without the address of cluster DNS was written by a run that broke off: nobody lives with it.
    lived = {net: names for net, names in service_networks(view.observations).items() if dns is None or dns in net}
    if desired in lived or (not lived and (dns is None or dns in desired)):
        return
    told = [f"{net} (kube-apiserver on {', '.join(names)})" for net, names in lived.items()]
    yield _refused(
        "cluster.service_cidr",
        "the network of Services cannot be changed while the cluster lives: every Service has an address of it",
        found="; ".join(told) or f"Service kube-system/kube-dns at {dns}",
        needed=f"{desired} from the first day on",
        todo=f"write `service_cidr: {next(iter(lived), 'NETWORK')}` again; {_MOVE}",
    )


def _dns_ip(view: View) -> Iterable[Problem]:
    desired = view.cluster.dns_ip
    if any(_service_cidr(view)) and desired == view.cluster.service_cidr[10]:
        return  # it follows from the network, which is told
    dns = dns_address(view.objects or ())
    lived: dict[str, str] = {}
    if dns is not None:
        lived = {str(dns): "Service kube-system/kube-dns"}
    elif view.objects is None and not any("clusterDNS" in host.kubelet for host in view.cluster.nodes):
        lived = {
            address: f"clusterDNS of kubelet on {', '.join(names)}"
            for address, names in name_servers(view.observations).items()
        }
    if not lived or str(desired) in lived:
        return
    yield _refused(
        "cluster.dns_ip",
        "the address of cluster DNS cannot be changed while the cluster lives: every pod that runs asks it",
        found="; ".join(f"{address} ({by})" for address, by in lived.items()),
        needed=f"{desired} from the first day on",
        todo=f"write `dns_ip: {next(iter(lived))}` again; {_MOVE}",
    )


def _domain(view: View) -> Iterable[Problem]:
    lived = domains(view.observations)
    if lived and view.cluster.domain not in lived:
        yield _refused(
            "cluster.domain",
            "the domain cannot be changed while the cluster lives: pods look for it, and their tokens name it",
            found="; ".join(f"{domain} ({by})" for domain, by in lived.items()),
            needed=f"{view.cluster.domain} from the first day on",
            todo=f"write `domain: {next(iter(lived))}` again; {_MOVE}",
        )


def _pod_cidr(view: View) -> Iterable[Problem]:
    desired = view.cluster.pod_cidr
    outside = {name: row for name, row in view.networks.items() if not row[0].subnet_of(desired)}
    if outside:
        yield _refused(
            "cluster.pod_cidr",
            "the pod network cannot be moved while the cluster lives: a node keeps its part of it",
            found=_listed(outside),
            needed=f"a network that holds those of all nodes; {desired} does not",
            todo=f"write the old network again; {_MOVE}",
        )
        return
    lived = pod_networks(view.observations)
    if not view.cluster.network.built_in and lived and desired not in lived:
        yield _refused(
            "cluster.pod_cidr",
            f"the pod network cannot become larger or smaller with {view.cluster.network.mode}, which keeps the one it was "
            "made with",
            found="; ".join(f"{net} (kube-proxy on {', '.join(names)})" for net, names in lived.items()),
            needed=f"{desired} from the first day on, or `network: routed` or `vxlan`",
            todo=f"write `pod_cidr: {next(iter(lived))}` again; {_MOVE}",
        )


def _host_pod_cidr(view: View) -> Iterable[Problem]:
    for host in view.cluster.nodes:
        if host.pod_cidr is None:
            continue
        own = view.networks.get(host.name)
        if own is not None and own[0] != host.pod_cidr:
            yield _refused(
                f"hosts.{host.name}.pod_cidr",
                "a node's pod network cannot be changed: Kubernetes takes no other while the node exists",
                found=f"{own[0]} ({own[1]})",
                needed=str(host.pod_cidr),
                todo=f"write `pod_cidr: {own[0]}` or leave it out; to have another one: `kprov down --limit {host.name}`, "
                "then write it and run `kprov up`",
            )
        others = {name: row for name, row in view.networks.items() if name != host.name}
        taken = {name: row for name, row in others.items() if own is None and row[0].overlaps(host.pod_cidr)}
        if taken:
            yield _refused(
                f"hosts.{host.name}.pod_cidr",
                "this pod network overlaps one that another node has",
                found=_listed(taken),
                needed=f"a network of its own in {view.cluster.pod_cidr}",
                todo="write a free one, or leave it out: kprov takes the lowest that is free",
            )


def _listed(networks: Mapping[str, tuple[IPv4Network, str]]) -> str:
    shown = [f"{name} has {net} ({by})" for name, (net, by) in list(networks.items())[:5]]
    return "; ".join(shown) + (f"; and {len(networks) - 5} more" if len(networks) > 5 else "")


def _provider_id(view: View) -> Iterable[Problem]:
    for host in view.cluster.nodes:
        given = str(view.nodes.get(host.name, {}).get("spec", {}).get("providerID", ""))
        if given and host.provider_id and given != host.provider_id:
            yield _refused(
                f"hosts.{host.name}.provider_id",
                "a node's provider ID cannot be changed",
                found=f"{given} (Node object)",
                needed=host.provider_id,
                todo=f"if it is another machine now: `kprov down --limit {host.name}`, then `kprov up`; else write "
                f"`provider_id: {given}` again",
            )


def _cloud(view: View) -> Iterable[Problem]:
    if view.cluster.cloud is None:
        return
    lived: dict[str, list[str]] = {}
    for name, node in view.nodes.items():
        if provider := (node["metadata"].get("annotations") or {}).get(PROVIDER):
            lived.setdefault(str(provider), []).append(name)
    if lived and view.cluster.cloud.provider not in lived:
        yield _refused(
            "cluster.cloud.provider",
            "the cloud cannot be changed: the new one's controller would delete the nodes, whose machines it does not know",
            found="; ".join(f"{provider} has {', '.join(names)}" for provider, names in lived.items()),
            needed=view.cluster.cloud.provider,
            todo=f"write `provider: {next(iter(lived))}` again; {_MOVE}",
        )


def _node_ip(view: View) -> Iterable[Problem]:
    """Members of etcd know each other by their addresses."""
    members = {member.name: member for member in etcd_members(view.observations) if member.name}
    for host in view.cluster.group("etcd"):
        urls = members[host.name].peer_urls if host.name in members else _recorded_peer(view, host, bool(members))
        try:
            desired = peer_url(host, view.facts)
        except (KeyError, ValueError):
            continue  # a host without an address is told elsewhere
        if not urls or desired in urls:
            continue
        old = urls[0].removeprefix("https://").partition(":")[0]
        yield _refused(
            f"hosts.{host.name}.node_ip",
            "a member of etcd cannot be given another address: the others know it by the one it has",
            found=f"{old} ({'the member list of etcd' if host.name in members else 'etcd.service on the host'})",
            needed=desired.removeprefix("https://").partition(":")[0],
            todo=_leave_by(host, old, len(members)),
        )


def _recorded_peer(view: View, host: Host, answered: bool) -> tuple[str, ...]:
    """What the unit on the host says, while no member answers."""
    if answered or host.name not in view.observations or not view.observations[host.name].etcd.has_data:
        return ()
    return (unit_flags(view.observations[host.name], "etcd") or {}).get("initial-advertise-peer-urls", ())


def _leave_by(host: Host, old: str, members: int) -> str:
    if members > 2:
        return (
            f"write `node_ip: {old}` (its `address`, for SSH, may be the new one) and run `kprov down --limit {host.name}`; "
            "then write the new node_ip and run `kprov up`"
        )
    return (
        f"write `node_ip: {old}` again and let the host keep that address, a second one on its link will do; to leave it, "
        "first let etcd have three members (`groups`), then take this one out and in again"
    )


def _name_of_host(view: View) -> Iterable[Problem]:
    """A machine that the cluster knows by another name."""
    machines = {
        str(node.get("status", {}).get("nodeInfo", {}).get("machineID", "")): name for name, node in view.nodes.items()
    }
    for host in view.cluster.hosts:
        seen = view.observations.get(host.name)
        if seen is None:
            continue
        old = own_name(seen)
        by = "the certificate that it has"
        if not old and host.name not in view.nodes:
            old, by = machines.get(seen.facts.machine_id, ""), "the Node object with its machine id"
        if old and old != host.name:
            yield _refused(
                f"hosts.{host.name}",
                "this machine is in the cluster under another name, and a host cannot be renamed in place",
                found=f"{old} ({by})",
                needed=host.name,
                todo=f"write `{old}` again and name the machine so (`hostnamectl set-hostname {old}`); to rename it: "
                f"`kprov down --limit {old}` under the old name, then name both {host.name} and run `kprov up`",
                name="HostRenamed",
            )


def _groups(view: View) -> Iterable[Problem]:
    """A node that would be one no longer: its pods would lose their kubelet."""
    for host in view.cluster.hosts:
        seen = view.observations.get(host.name)
        if host.is_node or seen is None or ("unit", "kubelet.service") not in seen.records:
            continue
        if view.objects is None or host.name in view.nodes:
            yield _refused(
                f"hosts.{host.name}.groups",
                "a host cannot stop being a node in place: its pods would go with it",
                found=f"{host.name} is a node",
                needed=f"only {', '.join(sorted(host.groups))}",
                todo=f"write the old groups and run `kprov down --limit {host.name}`; then write the new ones and run "
                "`kprov up`",
            )


def _flags(view: View) -> Iterable[Problem]:
    for host in view.cluster.hosts:
        seen = view.observations.get(host.name)
        if seen is None or (view.limit is not None and host.name not in view.limit):
            continue
        for component, names in FIXED_FLAGS.items():
            lived = unit_flags(seen, component)
            if lived is None:
                continue
            for name in names:
                desired = host.extra_args.get(component, {}).get(name)
                before = lived[name][-1] if name in lived else None
                if desired != before:
                    yield _refused(
                        f"hosts.{host.name}.extra_args.{component}.{name}",
                        f"--{name} of {component} cannot be changed: what is stored now would be left behind",
                        found=f"{'not set' if before is None else before} ({component}.service on {host.name})",
                        needed="not set" if desired is None else desired,
                        todo=f"write what is found; to change it: `kprov down --limit {host.name}`, then `kprov up`",
                    )


# The setting that declares itself fixed, or fixed in part → what refuses it.
GUARDS: Mapping[str, Guard] = {
    "hosts": _name_of_host,
    "cluster.service_cidr": _service_cidr,
    "cluster.dns_ip": _dns_ip,
    "cluster.domain": _domain,
    "cluster.pod_cidr": _pod_cidr,
    "cluster.cloud.provider": _cloud,
    "hosts.NAME.groups": _groups,
    "hosts.NAME.node_ip": _node_ip,
    "hosts.NAME.pod_cidr": _host_pod_cidr,
    "hosts.NAME.provider_id": _provider_id,
    "extra_args": _flags,
}
