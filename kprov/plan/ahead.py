"""What hosts that serve nothing yet need not wait for: stages that begin before their turn, or beside another. Pure.

Starting something on such a host takes nothing away, so that it waits only for what it needs. What fails there ends the
run where the stage has its turn, as if it had begun then. Hosts that serve keep the order of the stages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from kprov.observe.observation import Observation
from kprov.plan import stage_names as names
from kprov.plan.host import HostPlan
from kprov.plan.stages import STAGES, Stage
from kprov.values.resources import Binary

_NAMES = tuple(stage.name for stage in STAGES)


def founding(plans: Mapping[str, HostPlan], observations: Mapping[str, Observation]) -> frozenset[str]:
    """Return the hosts on which no unit of kprov's ever was, and none is stopped."""
    return frozenset(
        name
        for name, plan in plans.items()
        if not any(kind == "unit" for kind, _ in observations[name].records)
        and not any(restart.running for restart in plan.restarts)
    )


def sent_ahead(plan: HostPlan) -> HostPlan:
    """Return a founder's plan with the programs of later stages in the one that does not wait for them.

    A program that nothing starts yet is in nobody's way, and most of what is sent is programs.
    """
    if not _has_work(plan, names.RUNTIME):
        return plan
    changes = tuple(
        replace(change, stage=names.RUNTIME)
        if change.stage in (names.CONTROLLERS, names.NODE) and isinstance(change.resource, Binary)
        else change
        for change in plan.changes
    )
    return replace(plan, changes=changes)


def begun_ahead(plans: Mapping[str, HostPlan], founders: Collection[str], over: str) -> dict[str, tuple[str, ...]]:
    """Return stage → founders that begin it when the stage `over` has ended, though its turn is later.

    A host that has something to do in a stage between the two waits: it is sent one thing after the other.
    """
    found = {
        stage.name: tuple(name for name, plan in plans.items() if name in founders and _begins(plan, over, stage.name))
        for stage in STAGES
        if stage.needs == over
    }
    return {stage: names for stage, names in found.items() if names}


def beside(plan: HostPlan, stage: str) -> tuple[str, ...]:
    """Return the stages whose work on a founder is done while the units of `stage` come up there, in the same exec."""
    return tuple(one.name for one in STAGES if one.beside == stage and is_beside(plan, one))


def is_beside(plan: HostPlan, stage: Stage) -> bool:
    """Whether a stage's work on a founder is a part of another one's exec."""
    return bool(stage.beside) and _has_work(plan, stage.name) and _has_work(plan, stage.beside)


def _begins(plan: HostPlan, over: str, stage: str) -> bool:
    between = _NAMES[_NAMES.index(over) + 1 : _NAMES.index(stage)]
    return _has_work(plan, stage) and not any(_has_work(plan, name) for name in between)


def _has_work(plan: HostPlan, stage: str) -> bool:
    return any(plan.stage(stage))
