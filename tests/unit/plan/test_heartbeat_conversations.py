"""Heartbeats of kubelets that were restarted, with every answer that a cluster may give."""

from __future__ import annotations

import random
import re

import pytest
from talks import first, walk

from kprov.plan.conversation import Answer
from kprov.plan.heartbeat_conversations import awaited, later_than, micro_time
from kprov.values.errors import ApplyError

STARTS = {"a": 1796040005000000, "b": 1796040000000000}
A_LATE, A_WELL = "a  2026-11-30T12:00:05.000000Z\n", "a  2026-11-30T12:00:05.000001Z\n"
B_WELL = "b  2026-11-30T12:00:09.000000Z\n"


def said(text: str) -> Answer:
    return Answer(code=0, text=text)


def test_heartbeats_newer_than_each_start_need_one_request() -> None:
    _, asked = walk(awaited(STARTS), said(A_WELL + B_WELL + "other  2020-01-01T00:00:00.000000Z\n"))
    assert len(asked) == 1


def test_only_those_that_are_late_are_waited_for() -> None:
    talk = awaited({**STARTS, "c.d": STARTS["b"]})
    first(talk)
    (request,) = talk.send([said(A_LATE + B_WELL)])
    assert request.arguments[-3:-1] == ("a", "c.d")  # type: ignore[union-attr]
    until = request.until  # type: ignore[union-attr]
    assert re.search(until, A_WELL)
    assert not re.search(until, A_LATE)
    assert re.search(until, "c.d  2026-11-30T12:00:00.100000Z")
    assert not re.search(until, "cxd  2026-11-30T12:00:00.100000Z")
    _, asked = walk(awaited(STARTS), said(A_LATE + B_WELL), said(A_WELL))
    assert len(asked) == 2


def test_a_node_without_a_heartbeat_since_its_start_is_named() -> None:
    with pytest.raises(ApplyError) as caught:
        walk(awaited(STARTS), said(A_LATE), said(A_LATE))
    assert caught.value.found == (
        "a: started 2026-11-30T12:00:05.000000Z, last heartbeat 2026-11-30T12:00:05.000000Z; "
        "b: started 2026-11-30T12:00:00.000000Z, last heartbeat never"
    )


def test_a_server_that_does_not_answer_is_asked_again_and_then_told() -> None:
    silent = Answer(code=1, words="The connection to the server x was refused\n")
    _, asked = walk(awaited(STARTS), silent, said(A_WELL + B_WELL))
    assert len(asked) == 2
    with pytest.raises(ApplyError) as caught:
        walk(awaited(STARTS), silent, silent)
    assert "was refused" in caught.value.log


def test_many_nodes_are_waited_for_in_parts_that_fit_an_argument() -> None:
    starts = {f"node-{number:04}": 1796040000000000 + number for number in range(250)}
    well = "".join(f"{name}  2026-11-30T13:00:00.000000Z\n" for name in starts)
    talk = awaited(starts)
    first(talk)
    said_now, lengths = talk.send([said("")]), []
    while True:
        lengths.append(len(said_now[0].until))  # type: ignore[union-attr]
        try:
            said_now = talk.send([said(well)])
        except StopIteration:
            break
    assert len(lengths) == 3
    assert max(lengths) < 100_000


def test_the_expression_takes_the_times_that_come_after_and_no_others() -> None:
    draw = random.Random(7)  # noqa: S311
    base = 1796040000000000
    for _ in range(400):
        span = 10 ** draw.randrange(1, 13)
        one, other = (base + draw.randrange(span) for _ in range(2))
        matched = re.match(later_than(micro_time(one)), micro_time(other)) is not None
        assert matched == (other > one), (micro_time(one), micro_time(other))
