"""The plan of a whole cluster: every host's differences, etcd's membership and Kubernetes objects. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Network

from kprov import pod_network
from kprov.context import Context, Trust
from kprov.membership import Membership, Peer, decide
from kprov.model import Cluster, ClusterFacts
from kprov.node_upgrades import NodeUpgrades, deferred
from kprov.node_upgrades import decide as decide_upgrades
from kprov.objects import Object, ObjectChange, compare, stamped
from kprov.observation import EtcdView, Observation
from kprov.plan import HostPlan, plan_host
from kprov.resources import Artifact
from kprov.roles import cluster_objects, etcd
from kprov.stages import wanted
from kprov.wanted import Wanted, expand


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """What `kprov plan` shows and `kprov up` does.

    objects: changes to Kubernetes objects; objects_known is False while no API server could be asked, and then all of
    wanted_objects are applied once one runs.
    """

    hosts: Mapping[str, HostPlan]
    membership: Membership
    peers: tuple[Peer, ...]
    objects: tuple[ObjectChange, ...]
    objects_known: bool
    wanted_objects: tuple[Object, ...]
    not_ready: tuple[str, ...]  # nodes whose Ready condition is not True, as far as known
    upgrades: NodeUpgrades

    @property
    def empty(self) -> bool:
        return (
            all(plan.empty for plan in self.hosts.values())
            and self.membership.empty
            and self.objects_known
            and not self.objects
            and not self.upgrades.reopen
        )

    def limited(self, names: frozenset[str]) -> ClusterPlan:
        """The plan for some hosts only; etcd's membership and Kubernetes objects stay in it."""
        hosts = {name: plan for name, plan in self.hosts.items() if name in names}
        return replace(self, hosts=hosts, upgrades=self.upgrades.of(names))


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything the plan is a function of, besides what was observed."""

    cluster: Cluster
    trust: Trust
    artifacts: Mapping[tuple[str, str], Artifact]
    now: datetime


def wanted_of_hosts(
    inputs: Inputs, observations: Mapping[str, Observation]
) -> tuple[dict[str, Wanted], dict[str, IPv4Network]]:
    """What each observed host should have, expanded, and everybody's pod network.

    Raises PreflightError when pod networks clash.
    """
    cluster = inputs.cluster
    facts = ClusterFacts({name: seen.facts for name, seen in observations.items()})
    tables = {
        name: seen.texts[pod_network.TABLE]
        for name, seen in observations.items()
        if seen.records and pod_network.TABLE in seen.texts
    }
    pod_cidrs = pod_network.allocate(cluster, tables)
    result: dict[str, Wanted] = {}
    for host in cluster.hosts:
        if host.name not in observations:
            continue
        context = Context(
            cluster=cluster,
            host=host,
            facts=facts,
            trust=inputs.trust,
            artifacts=inputs.artifacts,
            pod_cidrs=pod_cidrs,
        )
        stages = wanted(context)
        if host.is_node:
            stages["host"].append(pod_network.table_file(pod_cidrs))
        result[host.name] = expand(stages)
    return result, pod_cidrs


def plan_cluster(inputs: Inputs, observations: Mapping[str, Observation]) -> ClusterPlan:
    """Compares everything. Raises ApplyError where etcd's membership cannot be mended safely."""
    cluster = inputs.cluster
    hosts, pod_cidrs = wanted_of_hosts(inputs, observations)
    facts = ClusterFacts({name: seen.facts for name, seen in observations.items()})
    peers = tuple(
        Peer(name=etcd.member_name(host), peer_url=etcd.peer_url(host, facts), client_url=etcd.client_url(host, facts))
        for host in cluster.group("etcd")
    )
    # A host that could not be asked counts as one that has its data: only its peers can say more.
    views = {
        peer.name: observations[peer.name].etcd if peer.name in observations else EtcdView(has_data=True)
        for peer in peers
    }
    wanted_objects = tuple(
        stamped(item) for item in cluster_objects.objects(cluster, facts, pod_cidrs, _coredns_image(inputs))
    )
    live = next((seen.objects for seen in observations.values() if seen.objects is not None), None)
    plans = {
        name: plan_host(name, stages, observations[name], authorities=inputs.trust.ca, now=inputs.now)
        for name, stages in hosts.items()
    }
    upgrades = decide_upgrades(cluster, plans, observations, live or ())
    return ClusterPlan(
        hosts={name: deferred(plan) if name in upgrades.drain else plan for name, plan in plans.items()},
        membership=decide(peers, views),
        peers=peers,
        objects=compare(wanted_objects, live or ()),
        objects_known=live is not None,
        wanted_objects=wanted_objects,
        not_ready=_not_ready(cluster, live),
        upgrades=upgrades,
    )


def _not_ready(cluster: Cluster, live: tuple[Object, ...] | None) -> tuple[str, ...]:
    if live is None:
        return ()
    ready = {
        item["metadata"]["name"]
        for item in live
        if item["kind"] == "Node"
        for condition in item.get("status", {}).get("conditions", ())
        if condition.get("type") == "Ready" and condition.get("status") == "True"
    }
    return tuple(host.name for host in cluster.nodes if host.name not in ready)


def _coredns_image(inputs: Inputs) -> str:
    """CoreDNS's reference: the same for every architecture, as its image is imported under one name."""
    return next(artifact.reference for (name, _), artifact in inputs.artifacts.items() if name == "image-coredns")
