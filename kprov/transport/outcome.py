"""Turns the outcome of a command into a Result or a file, or into the TransportError that explains it. Does no I/O itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from kprov.transport.base import OnOutput, Result
from kprov.transport.pump import MAX_OUTPUT, PROMPT_SECONDS, Outcome
from kprov.transport.shell import Wrapped, not_started, printable
from kprov.values.errors import TransportError


def result_of(
    outcome: Outcome, wrapped: Wrapped, where: str, *, sudo: bool, seconds: float, lost: str | None
) -> Result:
    """The command's result.

    Args:
        seconds: how long it ran.
        lost: why the connection is gone, None when it is not.

    Raises TransportError.
    """
    if outcome.started and not outcome.stopped and lost is None:
        return Result(status=outcome.status, stdout=outcome.stdout, stderr=outcome.stderr)
    # What a program that started said on standard output is meant for kprov: half an answer, not a reason.
    log = printable(outcome.stderr or (b"" if outcome.started else outcome.stdout) or outcome.noise)
    if outcome.stopped == "timeout":
        raise TransportError(
            "a command took too long", where=where, found=f"stopped after {seconds:.1f} s", log=log,
            todo="run again; if it stays, look at the host's load and journal",
        )  # fmt: skip
    if outcome.stopped == "output":
        raise TransportError("a command printed too much", where=where, found=f"over {MAX_OUTPUT} bytes", log=log)
    if outcome.stopped == "password":
        raise not_started(where, b"sudo: incorrect password", outcome.status, sudo=True)
    if outcome.stopped == "prompt":
        raise TransportError(
            "sudo neither asked for the password nor ran", where=where, found=f"nothing for {PROMPT_SECONDS:g} s",
            needed="a sudo that takes a password on its standard input", log=log,
            todo="set passprompt_override in sudoers, or give the user NOPASSWD, or connect as root",
        )  # fmt: skip
    if lost is not None:
        raise TransportError(
            "connection lost", where=where, found=f"{lost} after {seconds:.1f} s",
            todo="see that the host is up, then run the same command again: it continues where it stopped", log=log,
        )  # fmt: skip
    raise not_started(where, outcome.noise, outcome.status, sudo=sudo, prompt=wrapped.prompt)


def fetch_file(read: Callable[[str, OnOutput], Result], path: str, sink: OnOutput, where: str) -> int:
    """Read a file with a command that gives what it prints to a sink; return how many bytes it had.

    Raises TransportError when the file cannot be read to its end.
    """
    count = 0

    def take(piece: bytes) -> None:
        nonlocal count
        count += len(piece)
        sink(piece)

    result = read(f"exec cat < {shlex.quote(path)}", take)
    if result.status == 0:
        return count
    log = printable(result.stderr)
    raise TransportError(
        "the file could not be read", where=where, found=f"{path}: {log.splitlines()[-1]}" if log else path,
        needed="a file that can be read to its end", todo="look at what it names, then run the same command again", log=log,
    )  # fmt: skip
