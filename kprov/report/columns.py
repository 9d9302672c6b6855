"""Rows of text as aligned columns, each as wide as its widest word. It knows nothing of what the rows say."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = 2


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row; rows may be of different length. Nothing is cut, and no line ends in blanks."""
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[index]) for row in rows if index < len(row)), default=0) for index in range(count)]
    return [
        "".join(cell.ljust(width + _GAP) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows
    ]
