"""Conversations with a cluster: generators that yield requests, receive answers and decide. Values only; nothing is sent.

A conversation yields the requests of one exec and receives their answers, in order: all of them, or those up to the first
that failed or did not become what it was asked until, as what follows it is not asked. Between them it may yield what users
are told while it goes on. It returns what it found, or raises ApplyError.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to a client on a host: etcdctl answers JSON, kubectl what its arguments say.

    metrics (arguments: an API server's URL, a metric's name) answers the lines of that metric. rewrite (arguments: the
    path of a list) writes every object of it again as it is, and answers what `plan/rewriting.py` reads.
    about: for messages. stdin: what the client reads. each: words of which the client is given one more, in as many runs
    side by side. again: extended regular expressions; a failure whose words match one of them passes. until: one that each
    line of the answer must match. The host asks again for up to `seconds` while a failure passes or an answer does not match.
    changes: whether the cluster may be another one afterwards.
    """

    program: Literal["etcdctl", "kubectl", "metrics", "rewrite"]
    about: str
    arguments: tuple[str, ...]
    stdin: bytes = field(default=b"", repr=False)  # may hold secrets
    each: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    until: str = ""
    seconds: int = 0
    changes: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client said. code: its exit code. text: its stdout. words: the end of its stderr."""

    code: int
    text: str = ""
    words: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    def json(self) -> Any:
        """Return its stdout as JSON values, None where it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A warning."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What the cluster did not take, or what did not become as it should, and the conversation goes on without.

    about: as of a request. expected: what was to happen. found, todo, log: as of an error.
    """

    about: str
    expected: str
    found: str
    todo: str
    log: str = ""


Talk = Generator[Sequence[Request | Remark | Refused], Sequence[Answer], Result]
