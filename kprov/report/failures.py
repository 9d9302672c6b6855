"""The closing table of a run that failed, as text of a given width."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kprov.report.closing import failure_details, failure_rows
from kprov.values.events import HostFailed

_NARROWEST = 100


def failure_table(failures: Sequence[HostFailed], width: int | None = None) -> str:
    """One table with a row for each failure, and below it each one's last lines and what to do.

    width: in characters; default: the terminal's, and wide enough to be read where there is none.
    """
    width = width or max(shutil.get_terminal_size((120, 24)).columns, _NARROWEST)
    table = Table(show_lines=len(failures) > 1, width=width)
    for name in ("host", "stage", "resource", "expected", "found"):
        table.add_column(name, overflow="fold")
    for row in failure_rows(failures):
        table.add_row(*(Text(cell) for cell in row))
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    details = ["\n".join(failure_details(failure)) for failure in failures]
    return stream.getvalue() + "\n".join(details)
