"""What a conversation tells beside what it asks, and what it came to, as events and rows of the closing table."""

from __future__ import annotations

from collections.abc import Sequence

from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, carried, run
from kprov.plan.conversation import Answer, Refused, Remark, Request, Talk
from kprov.values.errors import ApplyError
from kprov.values.events import Event, HostFailed, Note

ASK = Request(program="kubectl", about="one", arguments=("get", "nodes"))
LATER = Request(program="kubectl", about="two", arguments=("get", "pods"))
REFUSED = Refused(about="add-on x", expected="it to be taken", found="a \x1b[2Jconflict", todo="give it up", log="all")


def answered(batch: Batch, answers: dict[int, Answer]) -> Sequence[HostFailed]:
    """The first is answered, and fails; nothing after it is asked."""
    answers[1] = Answer(code=1)
    return ()


def ended(exchange: Exchange[None]) -> tuple[list[HostFailed], list[Event]]:
    heard: list[Event] = []
    return run(exchange, answered, heard.append, stage="addons", host="a"), heard


def test_a_remark_is_a_warning_and_what_was_refused_a_row_that_ends_nothing() -> None:
    def talk() -> Talk[None]:
        yield (ASK,)
        yield (Remark(text="it waits"), REFUSED)

    failures, heard = ended(carried(talk(), Batch()))
    assert heard == [Note(text="it waits", warning=True)]
    (row,) = failures
    assert (row.stage, row.host, row.resource, row.fatal) == ("addons", "a", "add-on x", False)
    assert (row.expected, row.found, row.todo, row.log) == ("it to be taken", "a [2Jconflict", "give it up", "all")


def test_an_error_is_told_of_the_request_that_was_answered_last() -> None:
    def talk(found: str) -> Talk[None]:
        yield (ASK, LATER)
        raise ApplyError("it did not go", found=found, needed="that it goes", todo="look")

    ((row,), _), ((bare,), _) = ended(carried(talk("no"), Batch())), ended(carried(talk(""), Batch()))
    assert (row.resource, row.found, row.expected, row.fatal) == ("one", "it did not go: no", "that it goes", True)
    assert bare.found == "it did not go"


def test_what_was_refused_before_an_error_is_told_too() -> None:
    def talk() -> Talk[None]:
        yield (REFUSED, ASK)
        raise ApplyError("it did not go")

    failures, _ = ended(carried(talk(), Batch()))
    assert [row.resource for row in failures] == ["add-on x", "one"]
