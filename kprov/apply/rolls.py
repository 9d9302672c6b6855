"""In which batches the hosts of a stage are changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kprov.plan.host import HostPlan
from kprov.plan.stages import Stage


def batches(stage: Stage, plans: Mapping[str, HostPlan]) -> list[list[str]]:
    """Hosts with work in a stage, in the batches that its roll asks for.

    Hosts that serve nothing yet go first and together: starting something takes nothing away.
    """
    idle: list[str] = []
    serving: list[str] = []
    for name, plan in plans.items():
        changes, restarts = plan.stage(stage.name)
        if not changes and not restarts:
            continue
        (serving if any(restart.running for restart in restarts) else idle).append(name)
    if stage.roll in ("serial", "etcd"):
        return [group for group in (idle, *([name] for name in serving)) if group]
    if stage.roll == "canary" and serving:
        return [group for group in (idle, serving[:1], serving[1:]) if group]
    return [group for group in (idle + serving,) if group]
