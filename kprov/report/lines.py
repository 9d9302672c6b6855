"""A run as plain lines, for output that is no terminal: a CI log, a pipe, a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from kprov.report.words import duration, is_detail, sentence
from kprov.values.events import Event, HostEnded, HostFailed, StageStarted
from kprov.values.many_hosts import SHOWN

_HOSTS_SHOWN = 10


class Lines:
    """Args:
    write: takes one line without its newline.
    verbose: whether single operations are shown.
    """

    def __init__(self, write: Callable[[str], None], *, verbose: bool = False) -> None:
        self._write = write
        self._verbose = verbose
        self._began: dict[str, float] = {}
        self._many = False  # hosts in this stage: then each is not worth a line
        self._failed: Counter[tuple[str, str]] = Counter()

    def event(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._many = len(event.hosts) > _HOSTS_SHOWN
        if self._verbose or not (is_detail(event) or self._is_one_of_many(event)):
            self._write(sentence(event))

    def _is_one_of_many(self, event: Event) -> bool:
        """The closing table has every failure, and the stage's own line how it ended."""
        if isinstance(event, HostFailed):
            self._failed[event.stage, event.resource] += 1
            return self._failed[event.stage, event.resource] > SHOWN
        return self._many and isinstance(event, HostEnded)

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
