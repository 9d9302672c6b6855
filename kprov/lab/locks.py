"""Locks on folders, so that two runs on this host do not make or remove the same thing; holds no state itself."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kprov.values.errors import LabError

_POLL = 0.1


@contextmanager
def locked(folder: Path, *, what: str, timeout: float) -> Iterator[int]:
    """Hold an exclusive lock on an existing folder; the kernel drops it when this process dies.

    Yields the lock's descriptor: a program that inherits it holds the lock on until it ends itself.

    A folder may be removed by whoever holds its lock, so the lock counts only while the path still leads to the
    folder that was opened. Raises LabError after `timeout` seconds, FileNotFoundError when the folder is gone.
    """
    deadline = time.monotonic() + timeout
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _take(descriptor) and os.path.samestat(os.fstat(descriptor), folder.stat()):
                yield descriptor
                return
        finally:
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise LabError(
                f"another run is working on {what}",
                where=str(folder),
                found=f"its lock was held for {timeout:g} s",
                todo="wait for that run to end, or stop it, and try again",
            )
        time.sleep(_POLL)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
