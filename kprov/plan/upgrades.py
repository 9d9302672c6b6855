"""Which nodes are emptied before they are changed, and in which rounds. Pure; it sends nothing.

A node is drained when its kubelet moves to another minor version (Kubernetes' version skew policy asks for it), when the
program of its runtime is replaced, when another runtime takes its place (runtime_swap.py), or when kubelet's managers of
CPUs and memory begin again (kubelet_state.py). What else restarts a kubelet leaves its pods alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kprov.observe.observation import Observation
from kprov.plan.host import HostPlan
from kprov.plan.runtime_swap import Swap, moved, swaps
from kprov.plan.stage_names import NODE, RUNTIME, UPGRADE
from kprov.values.components import KUBELET
from kprov.values.model import Cluster, Host
from kprov.values.paths import BIN
from kprov.values.resources import Binary, Key
from kprov.values.runtimes import RUNTIMES, Runtime
from kprov.values.versions import numbers

CORDONED = "kprov.io/cordoned"  # the annotation of nodes that kprov itself cordoned


@dataclass(frozen=True, kw_only=True)
class NodeUpgrades:
    """drain: nodes that are emptied first. reopen: nodes that a run which was cut off left cordoned.

    swaps: nodes that get another runtime, emptied first or not.
    """

    drain: tuple[str, ...] = ()
    reopen: tuple[str, ...] = ()
    swaps: Mapping[str, Swap] = field(default_factory=dict)

    def of(self, names: Collection[str]) -> NodeUpgrades:
        """Those of some hosts only."""
        return NodeUpgrades(
            drain=tuple(name for name in self.drain if name in names),
            reopen=tuple(name for name in self.reopen if name in names),
            swaps={name: swap for name, swap in self.swaps.items() if name in names},
        )

    def rounds(self, at_once: int) -> list[list[str]]:
        """Nodes in the order they are worked on: one alone, to see that it goes well, then `at_once` at a time."""
        changed = [*self.drain, *(name for name in self.swaps if name not in self.drain)]
        rest = changed[1:]
        batches = [changed[:1]] + [rest[at : at + at_once] for at in range(0, len(rest), at_once)]
        left = [name for name in self.reopen if name not in changed]
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
    desired = numbers(cluster.versions["kubernetes"])
    nodes = [host for host in cluster.nodes if host.name in plans]
    may = cluster.upgrade.drain and len(cluster.nodes) > 1
    swapped = swaps(cluster, plans)

    def is_disturbed(host: Host) -> bool:
        plan, seen, resumed = plans[host.name], observations[host.name], host.name in closed
        if host.name in swapped:
            return True
        return desired is not None and _is_upgraded(plan, seen, desired[:2], RUNTIMES[host.runtime], resumed=resumed)

    return NodeUpgrades(
        drain=tuple(host.name for host in nodes if may and is_disturbed(host)),
        reopen=tuple(host.name for host in nodes if host.name in closed),
        swaps=swapped,
    )


def _is_upgraded(
    plan: HostPlan, seen: Observation, desired: tuple[int, int], runtime: Runtime, *, resumed: bool
) -> bool:
    serving = {restart.unit.name for restart in plan.restarts if restart.running}
    replaced = {change.key[1] for change in plan.changes if change.key[0] == "binary"}
    runs = numbers(seen.versions.get("kubelet", ""))
    other_minor = runs[:2] != desired if runs is not None else f"{BIN}/kubelet" in replaced
    return (
        (KUBELET.unit in serving and other_minor)
        or any(restart.emptied and restart.running for restart in plan.restarts)
        or (bool(serving & {*runtime.units}) and bool(replaced & {f"{BIN}/{name}" for name in runtime.drained_for}))
        or (resumed and bool(serving & {KUBELET.unit, *runtime.units}))
    )


def deferred(plan: HostPlan, upgrades: NodeUpgrades) -> HostPlan:
    """The plan of a node: if it is drained, what disturbs its pods waits for the stage in which it is empty."""
    if plan.host in upgrades.swaps:
        return moved(plan, upgrades.swaps[plan.host], UPGRADE)
    return _waiting(plan) if plan.host in upgrades.drain else plan


def _waiting(plan: HostPlan) -> HostPlan:
    known = {unit for runtime in RUNTIMES.values() for unit in runtime.units}
    units = {restart.unit.name: restart.unit for restart in plan.restarts if restart.unit.name in known}
    inputs = {path for unit in units.values() for path in (*unit.reads, unit.path)}
    # What keeps an image may be one of them that does not run yet.
    images = any(restart.unit.name in units and not restart.running for restart in plan.restarts)

    def waits(stage: str, key: Key, *, program: bool) -> bool:
        if stage == RUNTIME and units:
            return program or key[1] in inputs or key[1] in units or (images and key[0] == "image")
        return stage == NODE

    return replace(
        plan,
        changes=tuple(
            replace(change, stage=UPGRADE)
            if waits(change.stage, change.key, program=isinstance(change.resource, Binary))
            else change
            for change in plan.changes
        ),
        restarts=tuple(
            replace(restart, stage=UPGRADE) if restart.stage == NODE or restart.unit.name in units else restart
            for restart in plan.restarts
        ),
    )
