"""Walks conversations with scripted answers, and says what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from kprov.plan.conversation import Answer, Request, Talk

Result = TypeVar("Result")


def walk(talk: Talk[Result], *script: Answer | Sequence[Answer]) -> tuple[Result, list[str]]:
    """What a conversation came to, and the arguments of each request; each entry answers one exec.

    As on a host, nothing is asked after a failure. Raises what the conversation raises; AssertionError when it asks
    more or less than the script answers.
    """
    asked: list[str] = []
    rest: list[Iterable[Answer]] = [(entry,) if isinstance(entry, Answer) else entry for entry in script]
    requests = next(talk)
    while True:
        asked += [" ".join(request.arguments) for request in requests]
        assert rest or not requests, f"asked without an answer in the script: {asked[-1]}"
        given = list(rest.pop(0)) if requests else []
        ended = next((place for place, answer in enumerate(given) if not answer.ok), len(given) - 1)
        try:
            requests = talk.send(given[: ended + 1])
        except StopIteration as end:
            assert not rest, f"answers nobody asked for: {rest}"
            return end.value, asked


def first(talk: Talk[Result]) -> Sequence[Request]:
    """What a conversation asks first."""
    return next(talk)


def answering(reply: Callable[[Request], Answer], talk: Talk[Result]) -> tuple[Result, list[Request]]:
    """The same with answers that depend on what is asked."""
    asked: list[Request] = []
    requests = next(talk)
    while True:
        given = []
        for request in requests:
            asked.append(request)
            given.append(reply(request))
            if not given[-1].ok:
                break
        try:
            requests = talk.send(given)
        except StopIteration as end:
            return end.value, asked
