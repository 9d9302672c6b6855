"""Which backups stay: what any rule of `backup.keep` asks for, and the newest always. Pure.

The script of timed backups on hosts (templates/backup/) has the same rules, and a test holds both together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from kprov.values.model import Keep


def leaving(moments: Iterable[datetime], keep: Keep) -> frozenset[datetime]:
    """Return of the moments at which backups were taken, aware UTC, those that no rule keeps."""
    newest_first = sorted(set(moments), reverse=True)
    rules: tuple[tuple[int, Callable[[datetime], object]], ...] = (
        (keep.last, lambda at: at),
        (keep.daily, lambda at: at.date()),
        (keep.weekly, lambda at: at.isocalendar()[:2]),
        (keep.monthly, lambda at: (at.year, at.month)),
    )
    staying = set(newest_first[:1])
    for most, period in rules:
        newest: dict[object, datetime] = {}
        for at in newest_first:
            newest.setdefault(period(at), at)
        staying.update(list(newest.values())[:most])
    return frozenset(newest_first) - staying
