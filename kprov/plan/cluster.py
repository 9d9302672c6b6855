"""The plan of a whole cluster: every host's differences, etcd's membership and Kubernetes objects. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from ipaddress import IPv4Network
from typing import Any

from kprov.addon.desired import AddonObjects, addon_objects
from kprov.addon.readiness import Unready, row_identity, unready
from kprov.objects.listing import Departures, departures, list_object, listed
from kprov.objects.objects import Identity, Object, ObjectChange, compare, identity, is_ready, stamped
from kprov.observe.living import node_object_networks
from kprov.observe.observation import EtcdView, Observation
from kprov.observe.silent_hosts import cluster_facts
from kprov.plan import encryption_change, network_change, network_hosts
from kprov.plan.cluster_findings import cluster_findings
from kprov.plan.desired import Desired, expand
from kprov.plan.encryption_change import EncryptionChange
from kprov.plan.etcd import Membership, Peer, Seed, decide
from kprov.plan.findings import Finding, findings
from kprov.plan.host import DATA, HostPlan, Restart, plan_host
from kprov.plan.kubelet_state import with_fresh_state
from kprov.plan.proof import unproven
from kprov.plan.quorum import refuse_new_beginning
from kprov.plan.stage_names import ETCD
from kprov.plan.stages import desired
from kprov.plan.succession import hold, refuse_to_issue
from kprov.plan.upgrades import NodeUpgrades, deferred
from kprov.plan.upgrades import decide as decide_upgrades
from kprov.roles import cluster_objects, etcd, pod_network
from kprov.roles.cloud_nodes import handed_over, waiting
from kprov.values.addresses import hostport
from kprov.values.certificate import NOTHING, Renewal
from kprov.values.components import KUBE_APISERVER
from kprov.values.context import Context, Trust
from kprov.values.model import CloudSettings, Cluster, ClusterFacts, NetworkSettings
from kprov.values.paths import POD_CIDRS
from kprov.values.resources import Artifact, Unit
from kprov.values.versions import numbers


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """What `kprov plan` shows and `kprov up` does.

    objects: changes to Kubernetes objects; objects_known is False while no API server is reachable, and then all of
    wanted_objects are applied once one runs. wanted_objects are kprov's own; those of add-ons are in `addons`.
    known: every object that the list in the cluster names; apis: apiVersion of what lives; kept: removed, but
    holding data; leaving_data: folders on hosts that go with all they hold, once no claim has a volume in them;
    uninitialized: nodes that the cloud's controller has yet to take over, as far as known; findings: what is not well
    on hosts though everything is in sync; servers: control plane → URL of its API server; steps: what goes to another
    minor version, in words; unproven: hosts that no run has seen well since something was done there.
    """

    hosts: Mapping[str, HostPlan]
    membership: Membership
    peers: tuple[Peer, ...]
    objects: tuple[ObjectChange, ...]
    objects_known: bool
    desired_objects: tuple[Object, ...]
    not_ready: tuple[str, ...]  # nodes whose Ready condition is not True, as far as known
    upgrades: NodeUpgrades
    addons: tuple[AddonObjects, ...] = ()
    unready: tuple[Unready, ...] = ()  # what add-ons wait for, as far as known
    known: frozenset[Identity] = frozenset()
    apis: Mapping[Identity, str] = field(default_factory=dict)
    kept: tuple[Identity, ...] = ()
    recreate: frozenset[str] = frozenset()  # add-ons whose workloads may be deleted to be changed
    delete_data: bool = False
    network: NetworkSettings = field(default_factory=NetworkSettings)
    leaving_data: tuple[str, ...] = ()
    cloud: CloudSettings | None = None
    uninitialized: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    encryption: EncryptionChange | None = None  # what encrypts objects in etcd becomes another

    @property
    def empty(self) -> bool:
        return (
            all(plan.empty for plan in self.hosts.values())
            and self.membership.empty
            and self.objects_known
            and not self.objects
            and not self.upgrades.reopen
        )

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do and nothing to wait for."""
        waiting = self.not_ready or self.unready or self.uninitialized or self.unproven
        return self.empty and not waiting

    def limited(self, names: frozenset[str]) -> ClusterPlan:
        """The plan for some hosts only; etcd's membership and Kubernetes objects stay in it.

        What add-ons wait for is not waited for: it may be on a host that is left alone.
        """
        chosen = {name: plan for name, plan in self.hosts.items() if name in names}
        told = tuple(finding for finding in self.findings if finding.host in names)
        unproven = tuple(name for name in self.unproven if name in names)
        upgrades = self.upgrades.of(names)
        hosts, encryption = encryption_change.limited(chosen, self.hosts, self.encryption)
        return replace(
            self,
            hosts=hosts,
            upgrades=upgrades,
            unready=(),
            findings=told,
            unproven=unproven,
            encryption=encryption,
        )


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything the plan is a function of, besides what was observed.

    seed: a snapshot that etcd begins with again. renew: certificates that get a new key.
    """

    cluster: Cluster
    trust: Trust
    artifacts: Mapping[tuple[str, str], Artifact]
    now: datetime
    manifests: Mapping[str, str] = field(default_factory=dict)  # add-on → text of upstream's manifest
    delete_data: bool = False
    recreate: frozenset[str] = frozenset()
    seed: Seed | None = None
    renew: Renewal = NOTHING


def desired_of_hosts(inputs: Inputs, observations: Mapping[str, Observation]) -> dict[str, Desired]:
    """What each observed host should have, expanded. Raises PreflightError when pod networks clash."""
    contexts, _ = _contexts(inputs, observations)
    return {name: _desired(context) for name, context in contexts.items()}


def _desired(context: Context) -> Desired:
    stages = desired(context)
    if context.host.is_node:
        stages["host"].append(context.once("table", partial(pod_network.table_file, context.pod_cidrs)))
    return expand(stages)


def _contexts(
    inputs: Inputs, observations: Mapping[str, Observation]
) -> tuple[dict[str, Context], dict[str, IPv4Network]]:
    """What roles are given for each observed host, and everybody's pod network."""
    cluster = network_hosts.decided(inputs.cluster, observations)
    facts = cluster_facts(observations)
    tables = {
        name: seen.texts[POD_CIDRS] for name, seen in observations.items() if seen.records and POD_CIDRS in seen.texts
    }
    pod_cidrs = pod_network.allocate(
        cluster, tables, node_object_networks(observations), _leaving_nodes(cluster, observations)
    )
    made: dict[object, tuple[tuple[object, ...], Any]] = {}
    contexts = {
        host.name: Context(
            cluster=cluster,
            host=host,
            facts=facts,
            trust=inputs.trust,
            artifacts=inputs.artifacts,
            pod_cidrs=pod_cidrs,
            made=made,
        )
        for host in cluster.hosts
        if host.name in observations
    }
    return contexts, pod_cidrs


def _leaving_nodes(cluster: Cluster, observations: Mapping[str, Observation]) -> frozenset[str]:
    """Nodes that kprov made, of hosts that the inventory names no more: after a restore on other hosts, all of before."""
    live = next((seen.objects for seen in observations.values() if seen.objects is not None), ())
    staying = {host.name for host in cluster.nodes}
    return frozenset(name for _, kind, _, name in listed(live) if kind == "Node") - staying


def plan_cluster(
    inputs: Inputs, observations: Mapping[str, Observation], known: Mapping[str, Desired] | None = None
) -> ClusterPlan:
    """Compares everything. Raises ApplyError where etcd's membership cannot be fixed safely, PreflightError for leaves that
    nobody can issue yet.

    known: what `wanted_of_hosts` said of the same observations; half of the work of a quiet run is in it.
    """
    cluster = inputs.cluster
    contexts, pod_cidrs = _contexts(inputs, observations)
    facts = cluster_facts(observations)
    peers = tuple(
        Peer(name=etcd.member_name(host), peer_url=etcd.peer_url(host, facts), client_url=etcd.client_url(host, facts))
        for host in cluster.group("etcd")
    )
    # A host that is unreachable counts as one that has its data: only its peers can say more.
    views = {
        peer.name: observations[peer.name].etcd if peer.name in observations else EtcdView(has_data=True)
        for peer in peers
    }
    live = next((seen.objects for seen in observations.values() if seen.objects is not None), None)
    desired_objects = _own_objects(inputs, facts, pod_cidrs, live or ())
    addons = addon_objects(
        cluster,
        facts,
        inputs.trust,
        inputs.artifacts,
        live or (),
        inputs.now,
        inputs.manifests,
        inputs.renew,
        pod_cidrs,
    )
    objects = _object_changes(desired_objects, addons, live or (), delete_data=inputs.delete_data)
    plans = {
        name: _plan_of(name, _desired(context) if known is None else known[name], inputs, observations[name])
        for name, context in contexts.items()
    }
    refuse_to_issue(plans, inputs.trust)
    membership = _membership(inputs, peers, views, observations)
    plans |= {name: _begun_again(plans[name], known, contexts[name]) for name in membership.stale if name in plans}
    networks = network_change.between(cluster.network, network_change.others(cluster, observations).values())
    if networks is not None:
        plans = {name: network_change.by_both_ways(plan, networks, contexts[name]) for name, plan in plans.items()}
    encryption = encryption_change.between(cluster, inputs.trust, observations, inputs.now)
    if encryption is not None:
        plans = {name: encryption_change.by_steps(plan, encryption) for name, plan in plans.items()}
        encryption = encryption if encryption_change.is_due(plans) else None
    upgrades = decide_upgrades(cluster, plans, observations, live or ())
    return ClusterPlan(
        hosts={name: deferred(plan, upgrades) for name, plan in plans.items()},
        membership=membership,
        peers=peers,
        objects=objects.changes,
        objects_known=live is not None,
        desired_objects=desired_objects,
        not_ready=_not_ready(cluster, live),
        upgrades=upgrades,
        addons=addons,
        unready=_unready(cluster, live),
        known=listed(live or ()),
        apis={identity(item): str(item["apiVersion"]) for item in live or ()},
        kept=objects.kept,
        recreate=inputs.recreate,
        delete_data=inputs.delete_data,
        network=cluster.network,
        cloud=cluster.cloud,
        uninitialized=waiting(desired_objects),
        leaving_data=_leaving_data(plans, observations),
        findings=(*findings(cluster, observations, inputs.now), *cluster_findings(live or ())),
        servers=_servers(cluster, facts),
        steps=tuple(_steps(cluster, observations)),
        unproven=unproven(observations),
        encryption=encryption,
    )


def _servers(cluster: Cluster, facts: ClusterFacts) -> dict[str, str]:
    """Those whose address can be said."""
    found = {}
    for host in cluster.group("control_plane"):
        with suppress(KeyError, ValueError):
            found[host.name] = f"https://{hostport(facts.node_ip(host), KUBE_APISERVER.port('https'))}"
    return found


def _membership(
    inputs: Inputs, peers: Sequence[Peer], views: Mapping[str, EtcdView], observations: Mapping[str, Observation]
) -> Membership:
    if inputs.seed is not None:
        reached = tuple(peer.name for peer in peers if peer.name in observations)
        return Membership(bootstrap=reached, seed=inputs.seed)
    refuse_new_beginning(observations, peers)
    return decide(peers, views)


def _begun_again(plan: HostPlan, known: Mapping[str, Desired] | None, context: Context) -> HostPlan:
    """Return the plan of a host whose etcd starts again with other data, whether it runs with the old one or not."""
    desired = _desired(context) if known is None else known[plan.host]
    unit = next(item for item in desired[ETCD] if isinstance(item, Unit))
    if any(restart.unit.name == unit.name for restart in plan.restarts):
        return plan
    again = Restart(stage=ETCD, unit=unit, reason="its data is of a cluster that is no more", running=False)
    return replace(plan, restarts=(again, *plan.restarts))


def _steps(cluster: Cluster, observations: Mapping[str, Observation]) -> Iterator[str]:
    """What goes to another minor version, from the oldest that runs: `Kubernetes 1.36 → 1.37`."""
    for title, program, part in (("Kubernetes", "kube-apiserver", "kubernetes"), ("etcd", "etcd", "etcd")):
        running = [found for seen in observations.values() if (found := numbers(seen.versions.get(program, "")))]
        desired = numbers(cluster.versions.get(part, ""))
        if running and desired is not None and min(running)[:2] != desired[:2]:
            old, new = (".".join(map(str, version[:2])) for version in (min(running), desired))
            yield f"{title} {old} → {new}"


def _plan_of(name: str, desired: Desired, inputs: Inputs, seen: Observation) -> HostPlan:
    plan = plan_host(
        name,
        desired,
        seen,
        authorities=inputs.trust.issuer,
        now=inputs.now,
        delete_data=inputs.delete_data,
        renew=inputs.renew,
    )
    return hold(with_fresh_state(plan, desired, seen), seen, inputs.trust, inputs.now)


def _own_objects(
    inputs: Inputs, facts: ClusterFacts, pod_cidrs: Mapping[str, IPv4Network], live: Sequence[Object]
) -> tuple[Object, ...]:
    """kprov's own, stamped, in apply order; Nodes as the cloud's controller, if there is one, left them."""
    nodes = {item["metadata"]["name"]: item for item in live if item["kind"] == "Node"}
    image = _coredns_image(inputs)
    made = [stamped(item) for item in cluster_objects.objects(inputs.cluster, facts, pod_cidrs, image)]
    return tuple(
        handed_over(item, nodes.get(item["metadata"]["name"])) if item["kind"] == "Node" else item for item in made
    )


def _leaving_data(plans: Mapping[str, HostPlan], observations: Mapping[str, Observation]) -> tuple[str, ...]:
    folders = {
        change.key[1]
        for name, plan in plans.items()
        for change in plan.changes
        if change.action == "delete" and observations[name].records[change.key].value == DATA
    }
    return tuple(sorted(folders))


def _object_changes(
    desired: Sequence[Object], addons: Sequence[AddonObjects], live: Sequence[Object], *, delete_data: bool
) -> Departures:
    """All changes: the list of objects first, then what is desired, then what must go."""
    everything = [*desired, *(item for addon in addons for item in addon.objects)]
    names = [identity(item) for item in everything]
    issues = {issue.identity: f"the certificate {issue.reason}" for addon in addons for issue in addon.issues}
    leaving = departures(frozenset(names), live, listed(live), delete_data=delete_data)
    changes = [
        replace(change, reason=issues.pop(change.identity)) if change.identity in issues else change
        for change in compare([stamped(list_object([*names, *leaving.kept])), *everything], live)
    ]
    renewed = [ObjectChange(identity=key, action="update", reason=reason) for key, reason in issues.items()]
    return Departures(changes=(*changes, *renewed, *leaving.changes), kept=leaving.kept)


def _not_ready(cluster: Cluster, live: tuple[Object, ...] | None) -> tuple[str, ...]:
    if live is None:
        return ()
    ready = {item["metadata"]["name"] for item in live if item["kind"] == "Node" and is_ready(item)}
    return tuple(host.name for host in cluster.nodes if host.name not in ready)


def _unready(cluster: Cluster, live: tuple[Object, ...] | None) -> tuple[Unready, ...]:
    if live is None:
        return ()
    lives = {identity(item): item for item in live}
    rows = [(row_identity(addon, row.row), row) for addon in cluster.addons for row in unready(addon, lives)]
    return tuple(row for key, row in rows if key in lives)  # what is not there is made, and waited for then


def _coredns_image(inputs: Inputs) -> str:
    """CoreDNS's reference: the same for every architecture, as its image is imported under one name."""
    return next(artifact.reference for (name, _), artifact in inputs.artifacts.items() if name == "image-coredns")
