"""One exec on one host: sends a batch as one tar stream and reads the answers. It decides nothing and knows no plan."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace

from kprov.addon.refusals import blocked
from kprov.apply import wire
from kprov.apply.batch import Batch, Step, stream
from kprov.apply.cause import collapse, find_cause, find_unready
from kprov.apply.scripts import APPLY_COMMAND
from kprov.observe.observation import printable, unpacked
from kprov.plan.conversation import Answer
from kprov.plan.going_back import describe
from kprov.transport.base import Session
from kprov.values.errors import TransportError
from kprov.values.events import HostFailed, Note, OperationDone, Sink

_ALONE = "not known: by itself the host goes on until its gates pass, or goes back to what it had"
_FIX = "fix what the log names, then run the same command again: it goes on from here"
APPLY_TIMEOUT = 1800.0  # seconds; gates have deadlines of their own, this only bounds a host that hangs


def send(
    session: Session,
    stage: str,
    batch: Batch,
    generation: str,
    emit: Sink,
    told: Callable[[int, str], None] = lambda _number, _text: None,
    answered: Callable[[int, Answer], None] = lambda _number, _answer: None,
    ordered: Callable[[Iterator[bytes]], Iterator[bytes]] = iter,
) -> tuple[HostFailed, ...]:
    """One exec: the batch as one tar stream. Returns what failed, which ends the exec.

    told: hears, by its number, what an operation answers; answered: what a client said that was asked; ordered: holds
    the stream back in favour of others.
    """
    name = session.host.name

    def done(number: int) -> None:
        emit(OperationDone(stage=stage, host=name, number=number, title=_title(batch, number)))

    def failed(number: int, *, expected: str, found: str, log: str, todo: str) -> HostFailed:
        title, step = _title(batch, number), _step(batch, number)
        own = (step.stage if step else "") or stage
        todo = (step.todo if step else "") or todo
        return HostFailed(stage=own, host=name, resource=title, expected=expected, found=found, log=log, todo=todo)

    reader = _Answers(done, lambda text: emit(Note(text=text, warning=True)), told, answered)
    try:
        result = session.execute(
            APPLY_COMMAND, stdin=ordered(stream(batch, generation)), on_output=reader.feed, timeout=APPLY_TIMEOUT
        )
    except TransportError as error:
        end = failed(
            reader.last + 1,
            expected=error.needed or "the connection to last until the stage is done",
            found=f"{error.what}: {error.found}" if error.found else error.what,
            log=error.log,
            todo=error.todo or "run the same command again: it goes on where this one was cut off",
        )
        return (replace(end, now=_ALONE if batch.keeps else ""),)
    rows = []
    if reader.failed is not None:
        number, log = reader.failed
        lines = printable(log).strip().splitlines()
        why = blocked(printable(log).strip())
        unready, remedy = find_unready(printable(log))
        rows.append(
            failed(
                number,
                expected=_expected(batch, number),
                found=why.found if why else unready or _cause(batch, number, lines) or "it failed with no output",
                log="\n".join(collapse(lines)[-24:]),
                todo=why.todo if why else remedy or _FIX,
            )
        )
    elif not reader.complete:
        rows.append(
            failed(
                reader.last + 1,
                expected="the stage to end",
                found=f"the host's shell ended with exit code {result.status}",
                log="\n".join(printable(result.stderr.decode(errors="replace")).strip().splitlines()[-20:]),
                todo=_todo_for_exit(result.status),
            )
        )
    now = describe(reader.back) if reader.back else batch.stays
    return tuple(replace(row, now=now) if row.fatal else row for row in rows)


def _step(batch: Batch, number: int) -> Step | None:
    """Return the step of a number; None for what a host says before the first or after the last."""
    return batch.steps[number - 1] if 0 < number <= len(batch.steps) else None


def _title(batch: Batch, number: int) -> str:
    step = _step(batch, number)
    return step.title if step else "receiving the payload"


def _expected(batch: Batch, number: int) -> str:
    step = _step(batch, number)
    return step.operation.expected if step else "the host to take its operations"


def _cause(batch: Batch, number: int, lines: list[str]) -> str:
    """What went wrong, in a line. Of a unit that does not stay up the host tells first what its program said last."""
    step = _step(batch, number)
    own = step is not None and isinstance(step.operation, wire.Steady)
    return lines[0] if own and lines else find_cause(lines)


def _todo_for_exit(status: int) -> str:
    if status == 72:
        return "the payload could not be stored: make room below /var/lib (df -h /var/lib), then run again"
    return "look at the log, then run the same command again: it goes on from here"


def _text(field: str) -> str:
    return base64.b64decode(field + "===").decode(errors="replace")


def _answer(code: str, text: str, words: str) -> Answer:
    """What a client said; text that did not arrive whole counts as none."""
    return Answer(
        code=int(code) if code.isdigit() else -1,
        text=unpacked(text).decode(errors="replace"),
        words=printable(_text(words)),
    )


class _Answers:
    """Reads apply.sh's lines as they come: `ok NUMBER`, `told|note|fail|back NUMBER BASE64`, `answer …`, `done`."""

    def __init__(
        self,
        done: Callable[[int], None],
        note: Callable[[str], None],
        told: Callable[[int, str], None],
        answered: Callable[[int, Answer], None],
    ) -> None:
        self._done = done
        self._note = note
        self._told = told
        self._answered = answered
        self._rest = b""
        self.last = 0
        self.failed: tuple[int, str] | None = None
        self.back = ""
        self.complete = False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace").split("\t"))

    def _line(self, fields: list[str]) -> None:
        if len(fields) < 3 or not fields[1].isdigit():
            return
        word, number = fields[0], int(fields[1])
        if word == "ok":
            self.last = number
            self._done(number)
        elif word == "fail":
            self.failed = number, _text(fields[2])
        elif word == "back":
            self.back = printable(_text(fields[2]))
        elif word == "told":
            self._told(number, printable(_text(fields[2])))
        elif word == "answer" and len(fields) == 5:
            self._answered(number, _answer(*fields[2:]))
        elif word == "note":
            self._note(printable(_text(fields[2])))
        elif word == "done":
            self.complete = True
