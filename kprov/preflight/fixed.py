"""Settings that cannot change while a cluster lives, against what it lives with. Pure; nothing here can be ignored.

A value that some part of the cluster already has is taken: a run that was cut off may be finished, or taken back.
Each guard is named in `GUARDS` by the setting it is for, so that what a key declares and what is refused cannot part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.living import (
    dns_address,
    domains,
    name_servers,
    node_networks,
    objects_of,
    pod_networks,
    service_networks,
)
from kprov.observe.observation import Observation
from kprov.observe.silent_hosts import cluster_facts
from kprov.preflight import fixed_hosts
from kprov.preflight.fixed_view import MOVE, Guard, View, listed, refused
from kprov.preflight.problem import Problem
from kprov.roles.cloud_nodes import PROVIDER
from kprov.values.model import Cluster


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


def _service_cidr(view: View) -> Iterable[Problem]:
    desired = view.cluster.service_cidr
    dns = dns_address(view.objects or ())
    # A network without the address of cluster DNS was written by a run that broke off: nobody lives with it.
    lived = {net: names for net, names in service_networks(view.observations).items() if dns is None or dns in net}
    if desired in lived or (not lived and (dns is None or dns in desired)):
        return
    told = [f"{net} (kube-apiserver on {', '.join(names)})" for net, names in lived.items()]
    yield refused(
        "cluster.service_cidr",
        "the network of Services cannot be changed while the cluster lives: every Service has an address of it",
        found="; ".join(told) or f"Service kube-system/kube-dns at {dns}",
        needed=f"{desired} from the first day on",
        todo=f"write `service_cidr: {next(iter(lived), 'NETWORK')}` again; {MOVE}",
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
    yield refused(
        "cluster.dns_ip",
        "the address of cluster DNS cannot be changed while the cluster lives: every pod that runs asks it",
        found="; ".join(f"{address} ({by})" for address, by in lived.items()),
        needed=f"{desired} from the first day on",
        todo=f"write `dns_ip: {next(iter(lived))}` again; {MOVE}",
    )


def _domain(view: View) -> Iterable[Problem]:
    lived = domains(view.observations)
    if lived and view.cluster.domain not in lived:
        yield refused(
            "cluster.domain",
            "the domain cannot be changed while the cluster lives: pods look for it, and their tokens name it",
            found="; ".join(f"{domain} ({by})" for domain, by in lived.items()),
            needed=f"{view.cluster.domain} from the first day on",
            todo=f"write `domain: {next(iter(lived))}` again; {MOVE}",
        )


def _pod_cidr(view: View) -> Iterable[Problem]:
    desired = view.cluster.pod_cidr
    lived = pod_networks(view.observations)
    outside = {name: row for name, row in view.networks.items() if not row[0].subnet_of(desired)}
    if outside:
        yield refused(
            "cluster.pod_cidr",
            "the pod network cannot be moved while the cluster lives: a node keeps its part of it",
            found=listed(outside),
            needed=f"a network that holds those of all nodes; {desired} does not",
            todo=f"write {f'`pod_cidr: {next(iter(lived))}`' if lived else 'the old network'} again; {MOVE}",
        )
        return
    if not view.cluster.network.built_in and lived and desired not in lived:
        yield refused(
            "cluster.pod_cidr",
            f"the pod network cannot become larger or smaller with {view.cluster.network.mode}, which keeps the one it was "
            "made with",
            found="; ".join(f"{net} (kube-proxy on {', '.join(names)})" for net, names in lived.items()),
            needed=f"{desired} from the first day on, or `network: routed` or `vxlan`",
            todo=f"write `pod_cidr: {next(iter(lived))}` again; {MOVE}",
        )


def _cloud(view: View) -> Iterable[Problem]:
    if view.cluster.cloud is None:
        return
    lived: dict[str, list[str]] = {}
    for name, node in view.nodes.items():
        if provider := (node["metadata"].get("annotations") or {}).get(PROVIDER):
            lived.setdefault(str(provider), []).append(name)
    if lived and view.cluster.cloud.provider not in lived:
        yield refused(
            "cluster.cloud.provider",
            "the cloud cannot be changed: the new one's controller would delete the nodes, whose machines it does not know",
            found="; ".join(f"{provider} has {', '.join(names)}" for provider, names in lived.items()),
            needed=view.cluster.cloud.provider,
            todo=f"write `provider: {next(iter(lived))}` again; {MOVE}",
        )


# The setting that declares itself fixed, or fixed in part → what refuses it.
GUARDS: Mapping[str, Guard] = {
    "hosts": fixed_hosts.refuse_name,
    "cluster.service_cidr": _service_cidr,
    "cluster.dns_ip": _dns_ip,
    "cluster.domain": _domain,
    "cluster.pod_cidr": _pod_cidr,
    "cluster.cloud.provider": _cloud,
    "hosts.NAME.groups": fixed_hosts.refuse_groups,
    "hosts.NAME.node_ip": fixed_hosts.refuse_node_ip,
    "hosts.NAME.pod_cidr": fixed_hosts.refuse_pod_cidr,
    "hosts.NAME.provider_id": fixed_hosts.refuse_provider_id,
    "extra_args": fixed_hosts.refuse_flags,
}
