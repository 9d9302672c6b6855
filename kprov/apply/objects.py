"""What is sent to a control plane about Kubernetes objects: which are applied when, and what is waited for. Pure, no I/O.

What makes pods is applied only when the nodes are Ready: the scheduler spreads pods over the nodes that are there, and
never moves one afterwards. The list of objects is written before an object is made, and shortened after one is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network

from kprov.addon.certificates import filled
from kprov.addon.desired import AddonObjects
from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import Work
from kprov.apply.operations import Issue
from kprov.objects.kinds import FRONT, RECREATED, WORKLOADS
from kprov.objects.listing import IDENTITY, OLD, list_object, removal
from kprov.objects.objects import Identity, Object, identity, stamped
from kprov.plan import object_conversations as ask
from kprov.plan.addon_conversations import Awaited, apply_addon, await_ready
from kprov.plan.cluster import ClusterPlan
from kprov.plan.kube_requests import WAIT_SECONDS
from kprov.plan.steps import Step, in_turn
from kprov.plan.volume_conversations import removed
from kprov.roles.network import SCRIPT, gateway
from kprov.values.certificate import Authority
from kprov.values.yaml_text import dump_all

_KUBECTL = "/opt/kprov/bin/kubectl"
OWN = "Kubernetes objects"  # what applying them is called


def objects_work(plan: ClusterPlan) -> Work:
    """All of kprov's own that makes no pods, and every deletion: before the nodes' kubelets come."""
    names = _to_apply(plan)
    leaving = [change.identity for change in plan.objects if change.action == "delete"]
    own = [item for item in plan.desired_objects if identity(item) in names and item["kind"] not in WORKLOADS]
    steps: list[Step] = []
    if not plan.delete_data and (spaces := [key[3] for key in leaving if key[1] == "Namespace"]):
        steps.append(ask.keep_volumes(spaces))
    # What stands in front of the API and has nobody behind it any more would refuse what comes next.
    steps += _delete(plan, [key for key in leaving if key[1] in FRONT])
    if not plan.objects_known:
        steps.append(ask.write_first_list(_documents([_list(_final(plan))])))
    elif _ahead(plan) != plan.known or OLD in plan.known:  # that goes here, and some list is there at all times
        own.insert(0, _list(_ahead(plan)))
    steps += _apply(own)
    steps += _delete(plan, [key for key in leaving if key[1] not in FRONT])
    return _work(steps)


def workloads_work(plan: ClusterPlan, nodes: Sequence[str]) -> Work:
    """What makes pods, once `nodes` are Ready, or wait for the user's own network."""
    names = _to_apply(plan)
    workloads = [item for item in plan.desired_objects if identity(item) in names and item["kind"] in WORKLOADS]
    if not workloads:
        return Work()
    first, steps = Batch(), list[Step]()
    _await_nodes(first, steps, nodes, networkless=_networkless(plan))
    return _work([*steps, *_apply(workloads)], first)


def addons_work(plan: ClusterPlan, bundle: Mapping[Authority, bytes], issue: Issue) -> Work:
    """Every add-on with something to change, then what they and unready ones wait for; one that fails stops no other.

    What nodes need before anything else runs on them, a cloud's controller and a pod network, is not among them.
    bundle: the CAs to trust, PEM. While nodes wait for a network that is the user's own, nobody
    waits for what runs on them.
    """
    ahead = (plan.network.mode, plan.cloud.addon if plan.cloud is not None else "")
    others = [addon for addon in plan.addons if addon.addon.name not in ahead]
    steps = _apply_and_await(plan, others, bundle, issue)
    for change in plan.objects:
        if change.action == "delete" and change.identity[1] == "Namespace":
            steps.append(ask.await_end(change.identity[3], f"{change.title} gone"))
    ending = (
        _apply([_list(_final(plan))])
        if plan.objects_known
        and IDENTITY in _to_apply(plan)
        and (_final(plan) != _ahead(plan) or _ahead(plan) == plan.known)
        else []
    )
    if not plan.leaving_data:
        return _work([*steps, *ending])
    volumes = [partial(removed, folder) for folder in plan.leaving_data]
    return Work(talks=[*_work(steps).talks, *volumes, *_work(ending).talks])


def network_work(plan: ClusterPlan, bundle: Mapping[Authority, bytes], issue: Issue) -> Work:
    """What nodes need before anything else runs on them: the cloud's controller, then the add-on that is their network.

    No pod goes to a node that the controller has not taken over, and no node gets Ready without a network; the controller
    itself is in its host's.
    """
    steps: list[Step] = []
    if plan.cloud is not None:
        first = [addon for addon in plan.addons if addon.addon.name == plan.cloud.addon]
        steps += _apply_and_await(plan, first, bundle, issue)
        if plan.uninitialized:
            steps.append(ask.await_takeover(plan.cloud.addon))
    network = [addon for addon in plan.addons if addon.addon.name == plan.network.mode]
    return _work([*steps, *_apply_and_await(plan, network, bundle, issue)])


def ready_work(plan: ClusterPlan, nodes: Sequence[str]) -> Work:
    """Waits for `nodes` and for every Deployment of kprov's own; with a tunnel, asks every node through it.

    While nodes wait for a network that is the user's own, Deployments wait with them, and nobody waits for these.
    """
    batch, steps = Batch(), list[Step]()
    networkless = _networkless(plan)
    _await_nodes(batch, steps, nodes, networkless=networkless)
    if networkless:
        return _work(steps, batch)
    if plan.network.mode == "vxlan" and (gateways := _gateways(plan, nodes)):
        reach = wire.Gate(kind="command", seconds=60, argument=f"{SCRIPT} reach {' '.join(gateways)}")
        batch.add("nodes through the tunnel", reach)
    for item in plan.desired_objects:
        if item["kind"] == "Deployment":
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            command = f"{_KUBECTL} -n {namespace} rollout status --timeout=10s deployment/{name}"
            gate = wire.Gate(kind="command", seconds=WAIT_SECONDS, argument=command)
            batch.add(f"deployment {namespace}/{name} available", gate)
    return _work(steps, batch)


def log_batch() -> Batch:
    """Asks a node for the last lines of its kubelet."""
    batch = Batch()
    batch.add("unit kubelet.service: its last lines", wire.UnitLog(unit="kubelet.service"))
    return batch


def _work(steps: list[Step], first: Batch | None = None) -> Work:
    return Work(first=first or Batch(), talks=[partial(in_turn, steps)] if steps else [])


def _apply_and_await(
    plan: ClusterPlan,
    addons: Sequence[AddonObjects],
    bundle: Mapping[Authority, bytes],
    issue: Issue,
) -> list[Step]:
    names = _to_apply(plan)
    changed = [addon for addon in addons if any(identity(item) in names for item in addon.objects)]
    steps = []
    for addon in changed:
        items = [item for item in addon.objects if identity(item) in names]
        steps.append(_apply_addon(plan, addon, _issued(items, addon, bundle, issue)))
    waiting = {row.addon for row in plan.unready} | {addon.addon.name for addon in changed}
    if not _networkless(plan):
        steps += [step for addon in addons if addon.addon.name in waiting for step in _await_addon(addon)]
    return steps


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


def _apply(items: Sequence[Object]) -> list[Step]:
    documents = _documents(items)
    return [ask.apply_objects(OWN, documents, tuple(map(identity, items)))] if items else []


def _delete(plan: ClusterPlan, keys: Sequence[Identity]) -> list[Step]:
    documents = _documents(removal(key, plan.apis) for key in keys)
    return [ask.delete_objects("objects to prune", documents)] if keys else []


def _apply_addon(plan: ClusterPlan, addon: AddonObjects, items: Sequence[Object]) -> Step:
    name, recreated = addon.addon.name, b""
    if name in plan.recreate:
        fixed = [identity(item) for item in items if item["kind"] in RECREATED and identity(item) in plan.apis]
        recreated = _documents(removal(key, plan.apis) for key in fixed) if fixed else b""
    return apply_addon(name, _documents(items), tuple(map(identity, items)), recreated)


def _await_addon(addon: AddonObjects) -> list[Step]:
    steps = []
    for ready in addon.addon.description.ready:
        kind, _, name = ready.partition("/")
        namespace = "" if kind == "apiservice" else addon.addon.namespace
        steps.append(await_ready(Awaited(addon=addon.addon.name, kind=kind, namespace=namespace, name=name)))
    return steps


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


def _await_nodes(first: Batch, steps: list[Step], nodes: Sequence[str], *, networkless: bool) -> None:
    if nodes and networkless:
        steps.append(ask.await_registration(nodes))
    elif nodes:
        first.add("nodes Ready", wire.NodesReady(nodes=tuple(nodes), seconds=WAIT_SECONDS))


def _documents(items: Iterable[Object]) -> bytes:
    return dump_all(items).encode()
