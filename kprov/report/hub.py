"""The one place events and progress go to: cleans them of secrets, counts them, and hands them to every view."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from kprov.artifacts.progress import Progress
from kprov.report.redact import Redactor
from kprov.report.tally import Tally
from kprov.values.events import Event, Note


class View(Progress, Protocol):
    """Shows or keeps what happens. Called by one thread at a time."""

    def event(self, event: Event) -> None:
        """Something happened in the run."""

    def close(self) -> None:
        """Nothing more will come. May be called again."""


class Hub:
    """An event sink and a progress receiver for any thread.

    Args:
        views: what shows and keeps.
        redactor: knows the run's secrets.
    """

    def __init__(self, views: Sequence[View], redactor: Redactor) -> None:
        self.tally = Tally()
        self.redactor = redactor
        self._views = list(views)
        self._lock = threading.RLock()

    def add(self, view: View) -> None:
        with self._lock:
            self._views.append(view)

    def emit(self, event: Event) -> None:
        event = self.redactor.event(event)
        with self._lock:
            self.tally.count(event)
            for view in self._views:
                view.event(event)

    def started(self, name: str, total: int) -> None:
        with self._lock:
            for view in self._views:
                view.started(name, total)

    def advanced(self, name: str, n: int) -> None:
        with self._lock:
            for view in self._views:
                view.advanced(name, n)

    def finished(self, name: str) -> None:
        with self._lock:
            for view in self._views:
                view.finished(name)

    def note(self, text: str) -> None:
        self.emit(Note(text=text))

    def close(self) -> None:
        with self._lock:
            for view in self._views:
                view.close()
