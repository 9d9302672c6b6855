"""Requests to kubectl, and the error of one that the cluster did not take. Values; nothing is sent."""

from __future__ import annotations

from kprov.addon.refusals import blocked
from kprov.plan import kube_answers as said
from kprov.plan.conversation import Answer, Request
from kprov.values.errors import ApplyError

WAIT_SECONDS = 180  # that nodes and roll-outs get
ASKING_SECONDS = 60  # that a server which starts or is busy gets
_LOOKS = ("get", "logs", "rollout", "wait")
_LASTS = ("drain", "rollout", "wait")  # longer than one request to the server may


def kubectl(
    about: str,
    *arguments: str,
    stdin: bytes = b"",
    each: tuple[str, ...] = (),
    again: tuple[str, ...] = said.PASSING,
    until: str = "",
    seconds: int = ASKING_SECONDS,
) -> Request:
    """Return a request to kubectl; its verb comes first."""
    verb = arguments[0]
    bounded = (*arguments, "--request-timeout=20s") if verb not in _LASTS else arguments
    return Request(
        program="kubectl", about=about, arguments=bounded, stdin=stdin, each=each, again=again, until=until,
        seconds=seconds, changes=verb not in _LOOKS,
    )  # fmt: skip


def get(about: str, *what: str) -> Request:
    """Return a request for objects as JSON."""
    return kubectl(about, "get", *what, "-o", "json")


def refusal(what: str, answer: Answer) -> ApplyError:
    """Return the error of a request that the cluster did not take."""
    why = blocked(answer.words)
    return ApplyError(
        what,
        found=why.found if why else said.error(answer),
        needed="an API server that takes it",
        todo=why.todo if why else "fix what it names, then run the same command again: it goes on from here",
        log=said.words(answer),
    )
