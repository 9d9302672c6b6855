"""Requests one after the other, as many in an exec as do not depend on each other, each with what its answer means. Pure.

The steps of many add-ons go in one exec this way; what one of them needs besides comes before the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kprov.plan.conversation import Answer, Refused, Remark, Request, Talk


@dataclass(frozen=True, kw_only=True)
class Step:
    """judge: says of the answer what comes next, before all other steps, and may raise ApplyError, which ends them all.

    group: steps of one group end with the first of them that is refused. decides: whether nothing is asked in the same exec
    after it, as what comes next depends on the answer.
    """

    request: Request
    judge: Callable[[Answer], Sequence[Step | Remark | Refused]]
    group: str = ""
    decides: bool = False


def in_turn(steps: Sequence[Step]) -> Talk[None]:
    """Walk through steps and those that come of their answers."""
    open_steps, told = list(steps), list[Remark | Refused]()
    while open_steps or told:
        last = next((place for place, step in enumerate(open_steps) if step.decides), len(open_steps))
        answers = yield (*told, *(step.request for step in open_steps[: last + 1]))
        told, coming = [], list[Step]()
        asked, rest = open_steps[: len(answers)], open_steps[len(answers) :]
        for step, answer in zip(asked, answers, strict=True):
            for one in step.judge(answer):
                if isinstance(one, Step):
                    coming.append(one)
                else:
                    told.append(one)
                    if isinstance(one, Refused):
                        rest = [left for left in rest if not step.group or left.group != step.group]
        open_steps = [*coming, *rest]
