"""Carries conversations to hosts: the requests of a generator in batches, and back what was answered. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.plan.conversation import Answer, Request, Talk
from kprov.values.errors import ApplyError
from kprov.values.events import HostFailed

Result = TypeVar("Result")

# Batches, one exec each on one host, in turn with the answers by the number of their step; what it came to in the end.
Exchange = Generator[Batch, Mapping[int, Answer], Result]

Send = Callable[[Batch, dict[int, Answer]], Sequence[HostFailed]]  # one exec: fills in answers, returns what failed


def single(batch: Batch) -> Exchange[None]:
    """Carry a batch that asks nothing; none is sent that has nothing in it."""
    if batch.operations:
        yield batch


def carried(talk: Talk[Result], first: Batch, *, kubeconfig: bytes = b"") -> Exchange[Result]:
    """Carry a conversation. first: what is to be done before its first requests, in the same exec.

    kubeconfig: the credential that kubectl gets in each exec. Raises what the conversation raises.
    """
    batch = first
    requests = next(talk)
    while True:
        numbers = [_write(batch, request) for request in requests]
        if kubeconfig:
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
            requests = talk.send(given)
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


def run(exchange: Exchange[None], send: Send, *, stage: str, host: str) -> Sequence[HostFailed]:
    """Send one batch after the other to a host, each chosen by what was answered to the one before; returns what failed."""
    title = ""
    try:
        batch = next(exchange)
        while True:
            title = batch.steps[-1].title
            answers: dict[int, Answer] = {}
            if failures := send(batch, answers):
                return failures
            batch = exchange.send(answers)
    except StopIteration:
        return ()
    except ApplyError as error:
        return (_failure(stage, host, title, error),)


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
