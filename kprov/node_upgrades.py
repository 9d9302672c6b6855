"""Which nodes are emptied before they are changed, in which rounds, and the words for it. Pure; it sends nothing.

A node is drained when its kubelet moves to another minor version (Kubernetes' version skew policy asks for it) or when
containerd is replaced. What only restarts a kubelet with other settings leaves its pods alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kprov.model import Cluster
from kprov.observation import Observation
from kprov.operations import Batch
from kprov.plan import HostPlan
from kprov.preflight.versions import numbers
from kprov.resources import Binary
from kprov.roles.layout import BIN

STAGE = "upgrade"
CORDONED = "kprov.io/cordoned"  # the annotation of nodes that kprov itself cordoned; apply.sh writes it
_KUBELET, _CONTAINERD = "kubelet.service", "containerd.service"
_READY = 180  # seconds


@dataclass(frozen=True, kw_only=True)
class NodeUpgrades:
    """drain: nodes that are emptied first. reopen: nodes that a run which was cut off left cordoned."""

    drain: tuple[str, ...] = ()
    reopen: tuple[str, ...] = ()

    def of(self, names: Collection[str]) -> NodeUpgrades:
        """Those of some hosts only."""
        return NodeUpgrades(
            drain=tuple(name for name in self.drain if name in names),
            reopen=tuple(name for name in self.reopen if name in names),
        )

    def rounds(self, at_once: int) -> list[list[str]]:
        """Nodes in the order they are worked on: one alone, to see that it goes well, then `at_once` at a time."""
        rest = self.drain[1:]
        batches = [list(self.drain[:1])] + [list(rest[at : at + at_once]) for at in range(0, len(rest), at_once)]
        left = [name for name in self.reopen if name not in self.drain]
        return [names for names in ([*left], *batches) if names]


def decide(
    cluster: Cluster,
    plans: Mapping[str, HostPlan],
    observations: Mapping[str, Observation],
    live: Sequence[Mapping[str, Any]],
) -> NodeUpgrades:
    """`live`: Kubernetes objects, as far as they are known. A cluster of one node has nowhere to move its pods."""
    closed = [
        str(item["metadata"]["name"])
        for item in live
        if item["kind"] == "Node" and CORDONED in item["metadata"].get("annotations", {})
    ]
    wanted = numbers(cluster.versions["kubernetes"])
    nodes = [host.name for host in cluster.nodes if host.name in plans]
    may = cluster.upgrade.drain and len(cluster.nodes) > 1 and wanted is not None
    return NodeUpgrades(
        drain=tuple(
            name
            for name in nodes
            if may and wanted and _is_upgraded(plans[name], observations[name], wanted[:2], resumed=name in closed)
        ),
        reopen=tuple(name for name in nodes if name in closed),
    )


def _is_upgraded(plan: HostPlan, seen: Observation, wanted: tuple[int, int], *, resumed: bool) -> bool:
    serving = {restart.unit.name for restart in plan.restarts if restart.running}
    replaced = {change.key[1] for change in plan.changes if change.key[0] == "binary"}
    runs = numbers(seen.versions.get("kubelet", ""))
    other_minor = runs[:2] != wanted if runs is not None else f"{BIN}/kubelet" in replaced
    return (
        (_KUBELET in serving and other_minor)
        or (_CONTAINERD in serving and f"{BIN}/containerd" in replaced)
        or (resumed and bool(serving & {_KUBELET, _CONTAINERD}))
    )


def deferred(plan: HostPlan) -> HostPlan:
    """The plan of a node that is drained: what disturbs its pods waits for the stage in which it is empty."""
    runtime = next((restart.unit for restart in plan.restarts if restart.unit.name == _CONTAINERD), None)
    inputs = {*runtime.reads, runtime.path} if runtime is not None else set()

    def waits(stage: str, key: tuple[str, str], *, program: bool) -> bool:
        return stage == "node" or (stage == "runtime" and runtime is not None and (program or key[1] in inputs))

    return replace(
        plan,
        changes=tuple(
            replace(change, stage=STAGE)
            if waits(change.stage, change.key, program=isinstance(change.resource, Binary))
            or change.key == ("unit", _CONTAINERD)
            else change
            for change in plan.changes
        ),
        restarts=tuple(
            replace(restart, stage=STAGE) if restart.stage == "node" or restart.unit.name == _CONTAINERD else restart
            for restart in plan.restarts
        ),
    )


def emptied(names: Sequence[str], timeout: int, kubeconfig: bytes) -> Batch:
    """For a control plane: cordons nodes, then drains them side by side. Disruption budgets are respected."""
    batch = Batch()
    batch.attach_as("kubeconfig", kubeconfig)
    for name in names:
        batch.add(f"node {name} cordoned", "cordon", name)
    batch.add(f"drain of {', '.join(names)}", "drain", ",".join(names), str(timeout), "-")
    return batch


def reopened(names: Sequence[str], version: str, kubeconfig: bytes, *, networkless: Collection[str] = ()) -> Batch:
    """For a control plane: waits until nodes are Ready with the wanted kubelet, then uncordons those kprov cordoned.

    networkless: nodes that were waiting for the user's own network before, and may go on doing so.
    """
    batch = Batch()
    batch.attach_as("kubeconfig", kubeconfig)
    kubectl = f"{BIN}/kubectl"
    for name in names:
        told = f"{kubectl} wait --for=jsonpath={{.status.nodeInfo.kubeletVersion}}=v{version} --timeout=10s node/{name}"
        ready = f"{kubectl} wait --for=condition=Ready --timeout=10s node/{name}"
        title = f"node {name} Ready with kubelet {version}"
        batch.add(title, "gate", "-", "command", str(_READY), told)
        if name in networkless:
            batch.add(title, "registered", name, str(_READY))
        else:
            batch.add(title, "gate", "-", "command", str(_READY), ready)
        batch.add(f"node {name} uncordoned", "uncordon", name)
    return batch
