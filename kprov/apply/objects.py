"""What is sent to a control plane about Kubernetes objects: which are applied when, and what is waited for. Pure, no I/O.

What makes pods is applied only when the nodes are Ready: the scheduler spreads pods over the nodes that are there, and
never moves one afterwards. The list of objects is written before an object is made, and shortened after one is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network

from kprov.addon.certificates import filled
from kprov.addon.desired import AddonObjects
from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.operations import Issue
from kprov.objects.kinds import FRONT, RECREATED, WORKLOADS
from kprov.objects.listing import IDENTITY, list_object, removal
from kprov.objects.objects import Identity, Object, identity, stamped
from kprov.plan.cluster import ClusterPlan
from kprov.plan.kube_answers import ADDING, APPLYING
from kprov.roles.network import SCRIPT, gateway
from kprov.values.certificate import Authority
from kprov.values.yaml_text import dump_all

_KUBECTL = "/opt/kprov/bin/kubectl"
AGAIN, _ADDING = "|".join(APPLYING), "|".join(ADDING)  # what passes, as the host takes it
OWN = "Kubernetes objects"  # what applying them is called
_DEADLINE = 180  # seconds that nodes and roll-outs get


def objects_batch(plan: ClusterPlan) -> Batch:
    """All of kprov's own that makes no pods, and every deletion: before the nodes' kubelets come.

    The credential is not in it yet.
    """
    batch = Batch()
    names = _to_apply(plan)
    leaving = [change.identity for change in plan.objects if change.action == "delete"]
    # What stands in front of the API and has nobody behind it any more would refuse what comes next.
    _delete(batch, plan, [key for key in leaving if key[1] in FRONT])
    own = [item for item in plan.desired_objects if identity(item) in names and item["kind"] not in WORKLOADS]
    if not plan.objects_known:
        payload = batch.attach(_documents([_list(_final(plan))]))
        batch.add("the list of objects", wire.FirstList(payload=payload, again=AGAIN))
    elif _ahead(plan) != plan.known:
        own.insert(0, _list(_ahead(plan)))
    _apply(batch, own)
    _delete(batch, plan, [key for key in leaving if key[1] not in FRONT])
    return batch


def workloads_batch(plan: ClusterPlan, nodes: Sequence[str]) -> Batch:
    """What makes pods, once `nodes` are Ready, or wait for the user's own network. The credential is not in it yet."""
    batch = Batch()
    names = _to_apply(plan)
    workloads = [item for item in plan.desired_objects if identity(item) in names and item["kind"] in WORKLOADS]
    if workloads:
        _await_nodes(batch, nodes, networkless=_networkless(plan))
        _apply(batch, workloads)
    return batch


def addons_batch(plan: ClusterPlan, bundle: Mapping[Authority, bytes], issue: Issue) -> Batch:
    """Every add-on with something to change, then what they and unready ones wait for; one that fails stops no other.

    What nodes need before anything else runs on them, a cloud's controller and a pod network, is not among them.
    bundle: the CAs to trust, PEM. While nodes wait for a network that is the user's own, nobody
    waits for what runs on them. The credential is not in it yet.
    """
    batch = Batch()
    names = _to_apply(plan)
    ahead = (plan.network.mode, plan.cloud.addon if plan.cloud is not None else "")
    others = [addon for addon in plan.addons if addon.addon.name not in ahead]
    _apply_and_await(batch, plan, others, bundle, issue)
    for change in plan.objects:
        if change.action == "delete" and change.identity[1] == "Namespace":
            batch.add(f"{change.title} gone", wire.NamespaceGone(name=change.identity[3], seconds=_DEADLINE))
    for folder in plan.leaving_data:
        batch.add(f"volumes in {folder}", wire.VolumesGone(folder=folder, seconds=_DEADLINE))
    if plan.objects_known and IDENTITY in names and (_final(plan) != _ahead(plan) or _ahead(plan) == plan.known):
        _apply(batch, [_list(_final(plan))])
    return batch


def network_batch(plan: ClusterPlan, bundle: Mapping[Authority, bytes], issue: Issue) -> Batch:
    """What nodes need before anything else runs on them: the cloud's controller, then the add-on that is their network.

    No pod goes to a node that the controller has not taken over, and no node gets Ready without a network; the controller
    itself is in its host's.
    """
    batch = Batch()
    if plan.cloud is not None:
        first = [addon for addon in plan.addons if addon.addon.name == plan.cloud.addon]
        _apply_and_await(batch, plan, first, bundle, issue)
        if plan.uninitialized:
            taken = wire.NodesInitialized(addon=plan.cloud.addon, seconds=_DEADLINE)
            batch.add("nodes taken over by the cloud's controller", taken)
    network = [addon for addon in plan.addons if addon.addon.name == plan.network.mode]
    _apply_and_await(batch, plan, network, bundle, issue)
    return batch


def ready_batch(plan: ClusterPlan, nodes: Sequence[str]) -> Batch:
    """Waits for `nodes` and for every Deployment of kprov's own; with a tunnel, asks every node through it.

    While nodes wait for a network that is the user's own, Deployments wait with them, and nobody waits for these. The
    credential is not in it yet.
    """
    batch = Batch()
    networkless = _networkless(plan)
    _await_nodes(batch, nodes, networkless=networkless)
    if networkless:
        return batch
    if plan.network.mode == "vxlan" and (gateways := _gateways(plan, nodes)):
        reach = wire.Gate(kind="command", seconds=60, argument=f"{SCRIPT} reach {' '.join(gateways)}")
        batch.add("nodes through the tunnel", reach)
    for item in plan.desired_objects:
        if item["kind"] == "Deployment":
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            command = f"{_KUBECTL} -n {namespace} rollout status --timeout=10s deployment/{name}"
            gate = wire.Gate(kind="command", seconds=_DEADLINE, argument=command)
            batch.add(f"deployment {namespace}/{name} available", gate)
    return batch


def log_batch() -> Batch:
    """Asks a node for the last lines of its kubelet."""
    batch = Batch()
    batch.add("unit kubelet.service: its last lines", wire.UnitLog(unit="kubelet.service"))
    return batch


def _apply_and_await(
    batch: Batch,
    plan: ClusterPlan,
    addons: Sequence[AddonObjects],
    bundle: Mapping[Authority, bytes],
    issue: Issue,
) -> None:
    names = _to_apply(plan)
    changed = [addon for addon in addons if any(identity(item) in names for item in addon.objects)]
    for addon in changed:
        items = [item for item in addon.objects if identity(item) in names]
        _apply_addon(batch, plan, addon, _issued(items, addon, bundle, issue))
    waiting = {row.addon for row in plan.unready} | {addon.addon.name for addon in changed}
    for addon in addons if not _networkless(plan) else ():
        if addon.addon.name in waiting:
            _await_addon(batch, addon)


def _to_apply(plan: ClusterPlan) -> frozenset[Identity]:
    """What differs; all there is when nobody could be asked."""
    if plan.objects_known:
        return frozenset(change.identity for change in plan.objects if change.action != "delete")
    return _final(plan)


def _final(plan: ClusterPlan) -> frozenset[Identity]:
    """What the list names when the run has ended."""
    desired = [*plan.desired_objects, *(item for addon in plan.addons for item in addon.objects)]
    return frozenset(identity(item) for item in desired) | frozenset(plan.kept)


def _ahead(plan: ClusterPlan) -> frozenset[Identity]:
    """What it names meanwhile."""
    return plan.known | _final(plan)


def _list(names: Iterable[Identity]) -> Object:
    return stamped(list_object(names))


def _apply(batch: Batch, items: Sequence[Object]) -> None:
    if items:
        batch.add(OWN, wire.Objects(payload=batch.attach(_documents(items)), again=AGAIN))


def _delete(batch: Batch, plan: ClusterPlan, keys: Sequence[Identity]) -> None:
    if keys:
        documents = _documents(removal(key, plan.apis) for key in keys)
        deletion = wire.DeleteObjects(payload=batch.attach(documents), data=plan.delete_data)
        batch.add("objects to prune", deletion)


def _apply_addon(batch: Batch, plan: ClusterPlan, addon: AddonObjects, items: Sequence[Object]) -> None:
    name = addon.addon.name
    recreated = ""
    if name in plan.recreate:
        fixed = [identity(item) for item in items if item["kind"] in RECREATED and identity(item) in plan.apis]
        if fixed:
            recreated = batch.attach(_documents(removal(key, plan.apis) for key in fixed))
    operation = wire.Addon(addon=name, payload=batch.attach(_documents(items)), recreated=recreated, again=_ADDING)
    batch.add(f"add-on {name}", operation, tuple(map(identity, items)))


def _await_addon(batch: Batch, addon: AddonObjects) -> None:
    name = addon.addon.name
    for ready in addon.addon.description.ready:
        kind, _, workload = ready.partition("/")
        space = addon.addon.namespace
        waited = wire.AddonReady(addon=name, kind=kind, namespace=space, name=workload, seconds=_DEADLINE)
        batch.add(f"add-on {name}: {ready}", waited)


def _issued(
    items: Sequence[Object], addon: AddonObjects, bundle: Mapping[Authority, bytes], issue: Issue
) -> list[Object]:
    """The objects, with certificates where one is to be issued."""
    specs = {certificate.identity: certificate.spec for certificate in addon.issues}
    result: list[Object] = []
    for item in items:
        spec = specs.get(identity(item))
        result.append(filled(item, *issue(spec), bundle[spec.authority]) if spec is not None else item)
    return result


def _networkless(plan: ClusterPlan) -> bool:
    """Whether nodes may still wait for a network that kprov does not lay."""
    return plan.network.mode == "none" and (not plan.objects_known or bool(plan.not_ready))


def _gateways(plan: ClusterPlan, nodes: Sequence[str]) -> list[str]:
    """The tunnel's ends on `nodes`."""
    return [
        gateway(IPv4Network(item["spec"]["podCIDR"]))
        for item in plan.desired_objects
        if item["kind"] == "Node" and item["metadata"]["name"] in nodes
    ]


def _await_nodes(batch: Batch, nodes: Sequence[str], *, networkless: bool) -> None:
    if nodes and networkless:
        batch.add("nodes registered", wire.Registered(nodes=tuple(nodes), seconds=_DEADLINE))
    elif nodes:
        batch.add("nodes Ready", wire.NodesReady(nodes=tuple(nodes), seconds=_DEADLINE))


def _documents(items: Iterable[Object]) -> bytes:
    return dump_all(items).encode()
