"""Walks conversations with scripted answers, and says what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from kprov.plan.conversation import Answer, Refused, Remark, Request, Talk

Result = TypeVar("Result")


def walk(talk: Talk[Result], *script: Answer | Sequence[Answer]) -> tuple[Result, list[str]]:
    """What a conversation came to, and the arguments of each request; each entry answers one exec.

    As on a host, nothing is asked after a failure. Raises what the conversation raises; AssertionError when it asks
    more or less than the script answers.
    """
    asked: list[str] = []
    rest: list[Iterable[Answer]] = [(entry,) if isinstance(entry, Answer) else entry for entry in script]
    requests = of(next(talk))
    while True:
        asked += [" ".join(request.arguments) for request in requests]
        assert rest or not requests, f"asked without an answer in the script: {asked[-1]}"
        given = list(rest.pop(0)) if requests else []
        ended = next((place for place, answer in enumerate(given) if not answer.ok), len(given) - 1)
        try:
            requests = of(talk.send(given[: ended + 1]))
        except StopIteration as end:
            assert not rest, f"answers nobody asked for: {rest}"
            return end.value, asked


def first(talk: Talk[Result]) -> Sequence[Request]:
    """What a conversation asks first."""
    return of(next(talk))


def of(said: Sequence[Request | Remark | Refused]) -> list[Request]:
    """The requests in what a conversation yields."""
    return [one for one in said if isinstance(one, Request)]


def remarks(talk: Talk[None], reply: Callable[[Request], Answer]) -> list[Remark | Refused]:
    """What a conversation tells beside what it asks."""
    told: list[Remark | Refused] = []
    said = next(talk)
    while True:
        told += [one for one in said if not isinstance(one, Request)]
        given = []
        for request in of(said):
            given.append(reply(request))
            if not given[-1].ok:
                break
        try:
            said = talk.send(given)
        except StopIteration:
            return told


def answering(reply: Callable[[Request], Answer], talk: Talk[Result]) -> tuple[Result, list[Request]]:
    """The same with answers that depend on what is asked."""
    asked: list[Request] = []
    requests = of(next(talk))
    while True:
        given = []
        for request in requests:
            asked.append(request)
            given.append(reply(request))
            if not given[-1].ok:
                break
        try:
            requests = of(talk.send(given))
        except StopIteration as end:
            return end.value, asked
