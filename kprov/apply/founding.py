"""What a host that serves nothing yet is sent: the operations of its turn, in an order in which little waits. Pure.

Whether a unit stays up is asked of all of them at once in the end, and not after each start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kprov.apply import wire
from kprov.apply.batch import Batch, Step
from kprov.apply.conversing import Exchange
from kprov.apply.operations import Sources, stage_batch, write_steady
from kprov.observe.observation import Observation
from kprov.plan.ahead import beside
from kprov.plan.host import HostPlan
from kprov.plan.stage_names import HOST, RUNTIME

# What waits for units that were started, and writes down that they came up.
_WAITS = (wire.Gate, wire.Started, wire.Stamp)


def founding_work(plan: HostPlan, stage: str, seen: Observation, sources: Sources) -> Exchange[None]:
    """All of one stage on a founder, then the stages beside it: what they wait for comes up meanwhile."""
    batch = unhurried(stage_batch(plan, stage, seen, sources))
    if stage == HOST and any(plan.stage(RUNTIME)):
        batch = _packages_begun(batch)
    if stage == RUNTIME:
        batch.steps = [*_packages(plan, seen, sources), *batch.steps]
    others = beside(plan, stage)
    waits = [step for step in batch.steps if others and isinstance(step.operation, _WAITS)]
    batch.steps = [step for step in batch.steps if step not in waits]
    if batch.steps:
        yield batch
    if others:
        second = _besides(others, plan, seen, sources)
        second.steps += waits
        yield second


def _besides(others: Sequence[str], plan: HostPlan, seen: Observation, sources: Sources) -> Batch:
    batch = Batch(beside=True)
    for other in others:
        batch.steps += _packages(plan, seen, sources) if other == RUNTIME else []
        stage_batch(plan, other, seen, sources, batch)
        batch.steps = [replace(step, stage=step.stage or other) for step in batch.steps]
    return unhurried(batch)


def _packages(plan: HostPlan, seen: Observation, sources: Sources) -> list[Step]:
    """Return the steps that install packages, which nothing before the runtime needs."""
    steps = stage_batch(plan, HOST, seen, sources).steps
    return [step for step in steps if isinstance(step.operation, wire.Package)]


def _packages_begun(batch: Batch) -> Batch:
    """Let packages be installed beside what comes next, instead of before it."""
    wanted = [step.operation for step in batch.steps if isinstance(step.operation, wire.Package)]
    batch.steps = [step for step in batch.steps if not isinstance(step.operation, wire.Package)]
    if wanted:
        words = tuple(f"{one.name}:{one.command}:{one.service or '-'}" for one in wanted)
        batch.add("packages", wire.BeginPackages(manager=wanted[0].manager, packages=words))
    return batch


def unhurried(batch: Batch) -> Batch:
    """Take the question whether units stay up out of a batch."""
    batch.steps = [step for step in batch.steps if not isinstance(step.operation, wire.Steady)]
    return batch


def steady_batch(plan: HostPlan) -> Batch:
    """Asks whether every unit that was started on a founder stays up."""
    batch = Batch()
    for restart in plan.restarts:
        write_steady(batch, restart.unit)
    return batch
