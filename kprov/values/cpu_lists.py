"""Lists of CPUs as the kernel and kubelet write them: `0-3,8`. Text only."""

from __future__ import annotations

_MOST = 4096  # CPUs of one range: a list is somebody else's text


def cpus_in(text: str) -> frozenset[int]:
    """Return the CPUs of a list; what is no number or range of it is left out."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first), int(first) + _MOST) + 1))
    return frozenset(found)
