"""Carries conversations to hosts: the requests of a generator in batches, and back what was answered. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.observe.observation import printable
from kprov.plan.conversation import Answer, Refused, Request, Talk
from kprov.values.errors import ApplyError
from kprov.values.events import HostFailed, Note, Sink

Result = TypeVar("Result")

# Batches, one exec each on one host, in turn with the answers by the number of their step; what it came to in the end.
Exchange = Generator[Batch, Mapping[int, Answer], Result]

Send = Callable[[Batch, dict[int, Answer]], Sequence[HostFailed]]  # one exec: fills in answers, returns what failed


@dataclass(kw_only=True)
class Work:
    """What a control plane is sent about objects: operations to begin with, then conversations, which make it due. No
    credential is in it yet.
    """

    first: Batch = field(default_factory=Batch)
    talks: Sequence[Callable[[], Talk[None]]] = ()

    @property
    def due(self) -> bool:
        return bool(self.talks)


def worked(work: Work, kubeconfig: bytes) -> Exchange[None]:
    """Carry work that is due, in as few batches as its answers allow. kubeconfig: as of `carried`."""
    yield from carried(_one_after_the_other(work.talks), work.first, kubeconfig=kubeconfig)


def _one_after_the_other(talks: Sequence[Callable[[], Talk[None]]]) -> Talk[None]:
    for talk in talks:
        yield from talk()


def single(batch: Batch) -> Exchange[None]:
    """Carry a batch that asks nothing; none is sent that has nothing in it."""
    if batch.operations:
        yield batch


def carried(talk: Talk[Result], first: Batch, *, kubeconfig: bytes = b"") -> Exchange[Result]:
    """Carry a conversation. first: what is to be done before its first requests, in the same exec.

    kubeconfig: the credential that kubectl gets in each exec. Raises what the conversation raises.
    """
    batch = first
    said = next(talk)
    while True:
        batch.remarks += [one for one in said if not isinstance(one, Request)]
        numbers = [_write(batch, one) for one in said if isinstance(one, Request)]
        if kubeconfig and batch.operations:
            batch.attach_as("kubeconfig", kubeconfig)
        answers = yield batch
        given = [answers[number] for number in numbers if number in answers]
        if numbers and not given:
            raise ApplyError(
                "the host did not say what it was answered",
                found=f"no answer to {len(numbers)} questions",
                needed="gzip and base64 on the host",
                todo="run the same command again",
            )
        try:
            said = talk.send(given)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        batch = Batch()


def _write(batch: Batch, request: Request) -> int:
    """Write a request down; returns the number of its step."""
    stdin = batch.attach(request.stdin) if request.stdin else ""
    operation = wire.Ask(
        program=request.program,
        asked=request.arguments,
        stdin=stdin,
        again="|".join(request.again),
        seconds=request.seconds,
        each=request.each,
        until=request.until,
    )
    batch.add(request.about, operation, changes=request.changes)
    return len(batch.steps)


def run(exchange: Exchange[None], send: Send, emit: Sink, *, stage: str, host: str) -> list[HostFailed]:
    """Send one batch after the other to a host, each chosen by what was answered to the one before.

    Returns what failed; what a conversation went on without is among it, and ends nothing.
    """
    title, failures = "", list[HostFailed]()
    try:
        batch = next(exchange)
        while True:
            for remark in batch.remarks:
                if isinstance(remark, Refused):
                    failures.append(_without(stage, host, remark))
                else:
                    emit(Note(text=remark.text, warning=True))
            answers: dict[int, Answer] = {}
            if batch.operations:
                if failed := send(batch, answers):
                    return [*failures, *failed]
                title = batch.steps[max(answers, default=0) - 1].title  # what was answered last is what is judged
            batch = exchange.send(answers)
    except StopIteration:
        return failures
    except ApplyError as error:
        return [*failures, _failure(stage, host, title, error)]


def _without(stage: str, host: str, refused: Refused) -> HostFailed:
    return HostFailed(
        stage=stage,
        host=host,
        resource=refused.about,
        expected=refused.expected,
        found=printable(refused.found),
        log=printable(refused.log),
        todo=refused.todo,
        fatal=False,
    )


def _failure(stage: str, host: str, title: str, error: ApplyError) -> HostFailed:
    """What a conversation came to, as a row of the closing table."""
    return HostFailed(
        stage=stage,
        host=host,
        resource=title,
        expected=error.needed or error.what,
        found=f"{error.what}: {error.found}" if error.found else error.what,
        log=error.log,
        todo=error.todo,
    )
