"""A progress receiver that keeps what it was told."""

from __future__ import annotations

from collections import Counter


class Kept:
    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.ended: list[str] = []
        self.notes: list[str] = []

    def started(self, name: str, total: int) -> None:
        self.totals[name] = total
        self.done[name] = 0

    def advanced(self, name: str, n: int) -> None:
        self.done[name] += n

    def finished(self, name: str) -> None:
        self.ended.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)
