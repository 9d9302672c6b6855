"""Takes a snapshot on an etcd host and brings it here: what the host says of it, then the file in a stream.

What the host keeps for this is gone afterwards; the member serves on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kprov.apply import scripts
from kprov.plan.backup import kind_of
from kprov.transport.base import Session
from kprov.transport.shell import printable
from kprov.values.backup import Snapshot
from kprov.values.errors import BackupError, TransportError

FOLDER = "/var/lib/kprov/snapshot"
_TAKE_TIMEOUT = 2100.0  # seconds; the program has deadlines of its own
_FETCH_TIMEOUT = 3600.0
_END = f"rm -rf {FOLDER}"


@contextmanager
def taken(session: Session) -> Iterator[tuple[Snapshot, Callable[[Callable[[bytes], None]], None]]]:
    """Take a snapshot; yields what it is and what brings it here. The host forgets it when the block ends.

    Raises BackupError, TransportError.
    """
    host = session.host.name
    try:
        result = session.execute("sh -s", stdin=scripts.text("snapshot.sh"), timeout=_TAKE_TIMEOUT)
        snapshot = read(result.stdout, host, printable(result.stderr))

        def fetch(put: Callable[[bytes], None]) -> None:
            session.fetch(f"{FOLDER}/db", put, timeout=_FETCH_TIMEOUT)

        yield snapshot, fetch
    finally:
        _forget(session)


def read(answer: bytes, host: str, log: str) -> Snapshot:
    """Return what a host said of the snapshot it took. Raises BackupError, also when it could not take one."""
    rows = [line.split("\t") for line in answer.decode(errors="replace").splitlines()]
    told = {row[0]: row[1:] for row in rows}
    if "room" in told:
        free, needed = (int(word) >> 20 for word in told["room"])
        raise BackupError(
            "there is too little room for a snapshot on the host",
            where=host,
            found=f"{free} MiB free below /var/lib/kprov",
            needed=f"{needed} MiB",
            todo="make room there (df -h /var/lib), then run the same command again",
        )
    if "failed" in told:
        raise BackupError("etcd gave no snapshot", where=host, found=told["failed"][0], todo="look at `kprov status`")
    try:
        size, sha256 = told["file"]
        status = json.loads(told["status"][0])
        counts = Counter[str]()
        for row in rows:
            if row[0] == "count":
                counts[kind_of(row[2])] += int(row[1])
        del counts[""]
        return Snapshot(
            size=int(size),
            sha256=sha256,
            hash=int(status["hash"]),
            revision=int(status["revision"]),
            keys=int(status["totalKey"]),
            counts=dict(sorted(counts.items())),
        )
    except (KeyError, ValueError, IndexError):
        raise BackupError(
            "the host did not say what it took", where=host, todo="run the same command again", log=log
        ) from None


def _forget(session: Session) -> None:
    try:
        session.execute(_END, timeout=60.0)
    except TransportError:
        return  # the next snapshot removes it
