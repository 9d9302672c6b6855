"""The same thing said of many hosts, in few words. Values only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

SHOWN = 3  # differing parts that are worth reading; the rest is counted

_NUMBERED = re.compile(r"(.*?)(\d+)")


def name_hosts(names: Iterable[str]) -> str:
    """Return `cp1, w1–w9`; of more than three such parts the rest is counted."""
    parts = list(_ranges(dict.fromkeys(names)))
    left = sum(size for _, size in parts[SHOWN:])
    text = ", ".join(part for part, _ in parts[:SHOWN])
    return f"{text} and {left} more" if left else text


def count_hosts(names: Sequence[str]) -> str:
    """Return one host's name, or how many there are and which: `1000 hosts (n0000–n0999)`."""
    return names[0] if len(names) == 1 else f"{len(names)} hosts ({name_hosts(names)})"


def merge_texts(texts: Sequence[tuple[str, str]]) -> str:
    """Return what hosts have in common, or the first three that differ. texts: (host, text) pairs."""
    different = dict.fromkeys(text for _, text in texts)
    if len(different) <= 1:
        return next(iter(different), "")
    first = {text: host for host, text in reversed(texts)}
    shown = "; ".join(f"{first[text]}: {text}" for text in list(different)[:SHOWN])
    left = sum(text not in list(different)[:SHOWN] for _, text in texts)
    return f"{shown}; and {left} more" if left else shown


def _ranges(names: Iterable[str]) -> Iterable[tuple[str, int]]:
    """Neighbours whose numbers follow each other, as `FIRST–LAST`, with how many they are."""

    def place(entry: tuple[int, str]) -> tuple[object, ...]:
        position, name = entry
        found = _NUMBERED.fullmatch(name)
        return (name,) if found is None else (found[1], len(found[2]), int(found[2]) - position)

    for _, run in groupby(enumerate(names), key=place):
        members = [name for _, name in run]
        if len(members) > 2:
            yield f"{members[0]}–{members[-1]}", len(members)
        else:
            yield from ((name, 1) for name in members)
