"""Durations as Go's programs write them. Pure text."""

from __future__ import annotations

import re

_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def go_seconds(written: object) -> float:
    """Return the seconds of a duration such as `1m30s`; 0 for what is none, which its reader refuses."""
    parts = _PART.findall(str(written))
    if "".join(amount + unit for amount, unit in parts) != str(written):
        return 0.0
    return sum(float(amount) * _SECONDS[unit] for amount, unit in parts)
