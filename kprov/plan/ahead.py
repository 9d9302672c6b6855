"""Which hosts begin a stage while others are still at an earlier one. Pure; what is sent is the same as in their turn.

Only hosts that serve nothing yet do so: starting something there takes nothing away, and what fails there ends the run
where the stage has its turn, as if it had begun then. Hosts that serve keep the order of the stages.
"""

from __future__ import annotations

from collections.abc import Mapping

from kprov.plan.host import HostPlan
from kprov.plan.stages import STAGES
from kprov.values.components import KUBELET

_NAMES = tuple(stage.name for stage in STAGES)


def begun_ahead(plans: Mapping[str, HostPlan], over: str) -> dict[str, tuple[str, ...]]:
    """Return stage → hosts that begin it when the stage `over` has ended, though its turn is later.

    A host that has something to do in a stage between the two waits: it is sent one thing after the other.
    """
    found = {
        stage.name: tuple(name for name, plan in plans.items() if _can_begin(plan, over, stage.name))
        for stage in STAGES
        if stage.needs == over
    }
    return {stage: names for stage, names in found.items() if names}


def _can_begin(plan: HostPlan, over: str, stage: str) -> bool:
    between = _NAMES[_NAMES.index(over) + 1 : _NAMES.index(stage)]
    return _serves_nothing(plan) and _has_work(plan, stage) and not any(_has_work(plan, name) for name in between)


def _serves_nothing(plan: HostPlan) -> bool:
    starting = {restart.unit.name for restart in plan.restarts if not restart.running}
    return KUBELET.unit in starting and len(starting) == len(plan.restarts)


def _has_work(plan: HostPlan, stage: str) -> bool:
    return any(plan.stage(stage))
