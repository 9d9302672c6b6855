"""Replacing a node's runtime by another: what leaves, what of the plan waits for it, and the words for it. Pure.

The two never run side by side: pods' ports, cgroups and addresses belong to one of them. What is left of an unfinished
swap is seen in the host's manifest, so that the next run goes on: an old runtime's things, or a kubelet that stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kprov.apply import scripts as script
from kprov.apply.operations import Batch, Sources, stage_batch, write_removal
from kprov.observe.observation import Observation
from kprov.plan.host import HostPlan
from kprov.roles import kubelet
from kprov.values.model import Cluster
from kprov.values.resources import Key
from kprov.values.runtimes import RUNTIMES, Runtime

_REMOVED = ("image", "file", "binary", "directory")  # after the units, in this order


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One node's: what goes, all of which the host's manifest names, and what comes."""

    going: tuple[Runtime, ...]
    coming: Runtime

    def takes_away(self, key: Key) -> bool:
        """Whether a thing is of what goes; programs that both use are not."""
        return any(runtime.owns(key) for runtime in self.going) and not self.coming.owns(key)

    def __str__(self) -> str:
        return f"{', '.join(runtime.title for runtime in self.going)} → {self.coming.title}"


def swaps(cluster: Cluster, plans: Mapping[str, HostPlan]) -> dict[str, Swap]:
    """By node: those on which something of another runtime is recorded that is wanted no more."""
    found = {}
    for host in cluster.nodes:
        if host.name in plans:
            coming = RUNTIMES[host.runtime]
            deleted = _marks(key for key in _deleted(plans[host.name]) if not coming.owns(key))
            going = tuple(runtime for runtime in RUNTIMES.values() if any(runtime.owns(key) for key in deleted))
            if going:
                found[host.name] = Swap(going=going, coming=coming)
    return found


def _marks(keys: Iterable[Key]) -> list[Key]:
    """Those by which a runtime is known: programs that several have tell nothing."""
    return [key for key in keys if sum(runtime.owns(key) for runtime in RUNTIMES.values()) == 1]


def _deleted(plan: HostPlan) -> list[Key]:
    return [change.key for change in plan.changes if change.resource is None]


def moved(plan: HostPlan, swap: Swap, stage: str) -> HostPlan:
    """The plan with all that the swap is about in one stage: both runtimes, and what runs on the node."""

    def belongs(key: Key, of: str, *, deleted: bool) -> bool:
        if deleted:
            return swap.takes_away(key)
        return of == "node" or swap.coming.owns(key)

    return replace(
        plan,
        changes=tuple(
            replace(change, stage=stage)
            if belongs(change.key, change.stage, deleted=change.resource is None)
            else change
            for change in plan.changes
        ),
        restarts=tuple(
            replace(restart, stage=stage) if belongs(restart.unit.key, restart.stage, deleted=False) else restart
            for restart in plan.restarts
        ),
    )


def swap_batch(plan: HostPlan, stage: str, swap: Swap, seen: Observation, sources: Sources) -> Batch:
    """All of it on one host, in one exec: kubelet stands still from before the old runtime goes until the new one runs."""
    batch = Batch()
    batch.add(f"unit {kubelet.UNIT}", "stop", kubelet.UNIT)
    # Of an earlier run that was cut off there may be files without a unit: then nothing of it has ever served here.
    for runtime in (runtime for runtime in swap.going if runtime.runs_for(seen.records)):
        batch.add(f"pods in {runtime.title}", "sandboxes", runtime.store)
        for path in runtime.mounted:
            batch.add(f"mounts below {path}", "unmount", path)
    _remove(batch, swap.going, [key for key in _deleted(plan) if swap.takes_away(key)], seen)
    batch.add("manifest", "checkpoint")
    first, then = _parted(plan, swap.coming)
    stage_batch(first, stage, seen, sources, batch)
    stage_batch(then, stage, seen, sources, batch)
    if kubelet.UNIT not in {restart.unit.name for restart in then.restarts}:
        _start_again(batch, plan)
    return batch


def _start_again(batch: Batch, plan: HostPlan) -> None:
    """For a kubelet that nothing else restarts: an earlier run had come as far as that."""
    title, gate = f"unit {kubelet.UNIT}", kubelet.HEALTHY
    batch.add(title, "restart", kubelet.UNIT)
    batch.add(
        f"{title}: {gate.kind} {gate.argument}", "gate", kubelet.UNIT, gate.kind, str(gate.deadline), gate.argument
    )
    batch.add(title, "stamp", kubelet.UNIT, plan.stamps[kubelet.UNIT])


def _remove(batch: Batch, going: Sequence[Runtime], keys: Sequence[Key], seen: Observation) -> None:
    served = [runtime for runtime in going if runtime.runs_for(seen.records)]
    units = [unit for runtime in served for unit in reversed(runtime.units) if ("unit", unit) in keys]
    for unit in units:
        batch.add(f"unit {unit}", "stop", unit)
    batch.add("what pods left behind", "run", batch.attach(script.text("down.sh")), "pods")
    for path in (path for runtime in served for path in runtime.run):
        batch.add(f"what is left in {path}", "clear", path)
    for unit in units:  # last, as this is what a run that was cut off in between knows its runtimes by
        write_removal(batch, ("unit", unit), seen)
    for kind in _REMOVED:
        chosen = [key for key in keys if key[0] == kind]
        for key in sorted(chosen, reverse=True) if kind == "directory" else chosen:
            write_removal(batch, key, seen)


def _parted(plan: HostPlan, coming: Runtime) -> tuple[HostPlan, HostPlan]:
    """The new runtime with its images, and everything after it; what the swap removes is in neither."""
    rest = [change for change in plan.changes if change.resource is not None]
    return (
        replace(
            plan,
            changes=tuple(change for change in rest if coming.owns(change.key)),
            restarts=tuple(restart for restart in plan.restarts if restart.unit.name in coming.units),
        ),
        replace(
            plan,
            changes=tuple(change for change in rest if not coming.owns(change.key)),
            restarts=tuple(restart for restart in plan.restarts if restart.unit.name not in coming.units),
        ),
    )
