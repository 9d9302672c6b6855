"""One run at a time on a cluster: takes the operator's lock and every host's, and says who holds them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from kprov.apply.scripts import LOCK_COMMAND
from kprov.observe.gather import Fleet
from kprov.state.store import Store, operator_name
from kprov.transport.base import Held, Result, Session
from kprov.transport.shell import printable
from kprov.values.errors import LockedError, TransportError

LOCK_TIMEOUT = 20.0  # seconds


@contextmanager
def locked(fleet: Fleet, store: Store, names: Sequence[str]) -> Iterator[bool]:
    """Holds the run locks of hosts. Yields whether one moved on since it was observed. Raises LockedError.

    One after the other in one order, so that of two runs that start together one gets them all.
    """
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    who = f"{operator_name()}@{socket.gethostname()} pid {os.getpid()} since {since}"
    with ExitStack() as stack:
        stack.enter_context(store.lock(who))
        moved = False
        for name in names:
            held, generation = hold_lock(fleet.sessions[name], who)
            stack.callback(_release, held)
            moved = moved or generation != fleet.observations[name].generation
        yield moved


def hold_lock(session: Session, who: str) -> tuple[Held, str]:
    """Takes one host's run lock; returns it and the generation of the host's last apply.

    Raises LockedError when another run holds it, TransportError when the host could not take it at all.
    """
    held = session.hold(LOCK_COMMAND)
    held.write(f"{_plain(who)}\n".encode())
    answer = held.first_line(LOCK_TIMEOUT)
    word, _, rest = answer.partition(" ")
    if word == "locked":
        return held, rest.strip()
    if word == "held":
        _release(held)
        raise locked_by(session.host.name, rest)
    raise _not_taken(session.host.name, held.close())


def locked_by(host: str, holder: str) -> LockedError:
    return LockedError(
        "another run is at work on this cluster",
        where=host,
        found=f"the lock is held by {holder or 'an unknown run'}",
        needed="one run at a time",
        todo="wait until it ends; the lock goes with its connection, there is nothing to remove by hand",
    )


def _not_taken(host: str, result: Result) -> TransportError:
    """Return the error of a host that neither took the lock nor named who holds it."""
    log = printable(result.stderr)
    return TransportError(
        "the run lock could not be taken",
        where=host,
        found=log.splitlines()[-1] if log else f"the command ended with exit code {result.status}",
        needed="a folder /var/lib/kprov that root can write",
        todo="fix what the log names, then run the same command again",
        log=log,
    )


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isalnum() or char in " @.:-_+")


def _release(held: Held) -> None:
    try:
        held.close()
    except TransportError:
        return  # the connection is gone, and the lock with it
