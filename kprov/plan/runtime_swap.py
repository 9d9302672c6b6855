"""Replacing a node's runtime by another: what leaves, what of the plan waits for it, and the words for it. Pure.

The two never run side by side: pods' ports, cgroups and addresses belong to one of them. What is left of an unfinished
swap is seen in the host's ledger, so that the next run goes on: an old runtime's things, or a kubelet that stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kprov.plan.host import HostPlan
from kprov.plan.stage_names import NODE
from kprov.values.model import Cluster
from kprov.values.resources import Key
from kprov.values.runtimes import RUNTIMES, Runtime


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One node's: what goes, all of which the host's ledger names, and what comes."""

    going: tuple[Runtime, ...]
    coming: Runtime

    def takes_away(self, key: Key) -> bool:
        """Whether a thing is of what goes; programs that both use are not."""
        return any(runtime.owns(key) for runtime in self.going) and not self.coming.owns(key)

    def __str__(self) -> str:
        return f"{', '.join(runtime.title for runtime in self.going)} → {self.coming.title}"


def swaps(cluster: Cluster, plans: Mapping[str, HostPlan]) -> dict[str, Swap]:
    """By node: those on which something of another runtime is recorded that is removed."""
    found = {}
    for host in cluster.nodes:
        if host.name in plans:
            coming = RUNTIMES[host.runtime]
            deleted = _marks(key for key in deletions(plans[host.name]) if not coming.owns(key))
            going = tuple(runtime for runtime in RUNTIMES.values() if any(runtime.owns(key) for key in deleted))
            if going:
                found[host.name] = Swap(going=going, coming=coming)
    return found


def _marks(keys: Iterable[Key]) -> list[Key]:
    """Those by which a runtime is known: programs that several have tell nothing."""
    return [key for key in keys if sum(runtime.owns(key) for runtime in RUNTIMES.values()) == 1]


def deletions(plan: HostPlan) -> list[Key]:
    """Return what the plan takes away."""
    return [change.key for change in plan.changes if change.resource is None]


def moved(plan: HostPlan, swap: Swap, stage: str) -> HostPlan:
    """The plan with all that the swap is about in one stage: both runtimes, and what runs on the node."""

    def belongs(key: Key, of: str, *, deleted: bool) -> bool:
        if deleted:
            return swap.takes_away(key)
        return of == NODE or swap.coming.owns(key)

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
