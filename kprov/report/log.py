"""The log of a cluster: every event of every run, in a file that only its owner may read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kprov.report.words import sentence
from kprov.values.errors import StoreError
from kprov.values.events import Event, HostFailed

NAME = "kprov.log"
_LARGEST = 4 << 20  # bytes; then the file becomes kprov.log.1 and a new one begins
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class LogFile:
    """Appends to `folder`/kprov.log, mode 0600. Raises StoreError when that cannot be opened.

    Args:
        folder: the cluster's state folder, which exists.
        command: the words of the command line, which hold no secret.
    """

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.path = folder / NAME
        try:
            if self.path.exists() and self.path.stat().st_size > _LARGEST:
                self.path.replace(self.path.with_suffix(".log.1"))
            descriptor = os.open(self.path, _FLAGS, 0o600)
        except OSError as error:
            raise StoreError("the log cannot be written", where=str(self.path), found=error.strerror or "") from None
        self._file = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
        self.write(f"kprov {' '.join(command)}")

    def write(self, text: str) -> None:
        """Several lines become one entry: those after the first are indented."""
        if not self._file.closed:
            first, *rest = text.splitlines() or [""]
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._file.write("".join([f"{stamp} {first}\n", *(f"    {line}\n" for line in rest)]))

    def event(self, event: Event) -> None:
        more = ""
        if isinstance(event, HostFailed):
            more = f"\n{event.log}" + (f"\nnow: {event.now}" if event.now else "") + f"\ndo: {event.todo}"
        self.write(sentence(event) + more)

    def started(self, name: str, total: int) -> None:
        self.write(f"{name}: begins")

    def advanced(self, name: str, n: int) -> None:
        return

    def finished(self, name: str) -> None:
        self.write(f"{name}: ended")

    def note(self, text: str) -> None:
        self.write(text)

    def close(self) -> None:
        """Ends the entries of this run; the file stays open for the error that may follow, until the process ends."""
        self._file.flush()
