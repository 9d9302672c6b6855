"""Versions as programs tell them, as numbers that compare. Values only."""

from __future__ import annotations

import re

Version = tuple[int, int, int]


def numbers(text: str) -> Version | None:
    """The first `1.37.2` in what a program says of itself, as numbers; None when there is none."""
    found = re.search(r"(?<![\d.])(\d{1,4})\.(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
