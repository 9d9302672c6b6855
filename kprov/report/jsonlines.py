"""JSON for programs: documents, and a run as lines: one object a line, `event` says of what kind, `time` is UTC."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from kprov.values.events import Event

VERSION = 1  # of the form of all that is printed; it grows when a field is taken away or changes its meaning


def document(values: Mapping[str, Any]) -> str:
    """Return one JSON document over several lines."""
    return json.dumps({"version": VERSION, **values}, indent=2, ensure_ascii=False)


def object_line(kind: str, values: Mapping[str, Any]) -> str:
    """Return one line of JSON."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"version": VERSION, "event": kind, "time": now, **values}, ensure_ascii=False)


def kind_of(event: Event) -> str:
    """`HostFailed` → `host_failed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


class JsonLines:
    """Args:
    write: takes one line without its newline.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def event(self, event: Event) -> None:
        self._write(object_line(kind_of(event), asdict(event)))

    def started(self, name: str, total: int) -> None:
        self._write(object_line("work_started", {"name": name, "total": total}))

    def advanced(self, name: str, n: int) -> None:
        return

    def finished(self, name: str) -> None:
        self._write(object_line("work_finished", {"name": name}))

    def note(self, text: str) -> None:
        self._write(object_line("note", {"text": text, "warning": False}))

    def close(self) -> None:
        return
