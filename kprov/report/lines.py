"""A run as plain lines, for output that is no terminal: a CI log, a pipe, a file."""

from __future__ import annotations

import time
from collections.abc import Callable

from kprov.report.words import duration, is_detail, sentence
from kprov.values.events import Event, HostFailed


class Lines:
    """Args:
    write: takes one line without its newline.
    verbose: whether single operations are shown.
    """

    def __init__(self, write: Callable[[str], None], *, verbose: bool = False) -> None:
        self._write = write
        self._verbose = verbose
        self._began: dict[str, float] = {}

    def event(self, event: Event) -> None:
        if self._verbose or not is_detail(event):
            self._write(sentence(event))
        if isinstance(event, HostFailed):
            for line in event.log.splitlines():
                self._write(f"    | {line}")

    def started(self, name: str, total: int) -> None:
        self._began[name] = time.monotonic()
        self._write(f"{name} …")

    def advanced(self, name: str, n: int) -> None:
        return

    def finished(self, name: str) -> None:
        self._write(f"{name}: {duration(time.monotonic() - self._began.pop(name, time.monotonic()))}")

    def note(self, text: str) -> None:
        self._write(text)

    def close(self) -> None:
        return
