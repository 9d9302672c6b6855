"""The closing table of a run that failed, as text of a given width."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kprov.report.closing import failure_details, failure_row, group_failures
from kprov.values.events import HostFailed

_NARROWEST = 100
_CELL_LINES = 3
_PADDING = 6  # a cell's borders and what is lost where words break


def failure_table(failures: Sequence[HostFailed], width: int | None = None) -> str:
    """Return a table with a row for each kind of failure, and below it the last lines and what to do.

    width: in characters; default: the terminal's, and wide enough to be read where there is none.
    """
    width = width or max(shutil.get_terminal_size((120, 24)).columns, _NARROWEST)
    groups = group_failures(failures)
    table = Table(show_lines=len(groups) > 1, width=width)
    for name in ("host", "stage", "resource", "expected", "found"):
        table.add_column(name, overflow="fold")
    room = _CELL_LINES * (width // len(table.columns) - _PADDING)
    for group in groups:
        table.add_row(*(Text(shorten(cell, room)) for cell in failure_row(group)))
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    details = ["\n".join(failure_details(group)) for group in groups]
    return stream.getvalue() + "\n".join(details)


def shorten(text: str, room: int) -> str:
    """Return what fits into `room` characters; the whole text stands below the table."""
    line = " ".join(text.split())
    return line if len(line) <= room else f"{line[: room - 1].rstrip()}…"
