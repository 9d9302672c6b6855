"""Which backups stay. That hosts follow the same rules is in tests/contract/test_backups_by_hosts.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kprov.plan.retention import leaving
from kprov.values.model import Keep

SUNDAY = datetime(2026, 3, 1, 3, tzinfo=UTC)
NONE = {"last": 0, "daily": 0, "weekly": 0, "monthly": 0}


def stays(keep: Keep, *moments: datetime) -> list[datetime]:
    return sorted(set(moments) - leaving(moments, keep), reverse=True)


def hours(*ago: int) -> list[datetime]:
    return [SUNDAY - timedelta(hours=number) for number in ago]


@pytest.mark.parametrize(
    ("keep", "ago", "left"),
    [
        ({}, (5, 0, 1), (0,)),
        ({"last": 2}, (5, 0, 1), (0, 1)),
        ({"daily": 2}, (0, 3, 4, 5, 30), (0, 4)),
        ({"weekly": 2}, (0, 24, 24 * 6, 24 * 7), (0, 24 * 7)),
        ({"monthly": 2}, (0, 24, 24 * 28), (0, 24)),
        ({"last": 1, "monthly": 1}, (0, 5), (0,)),
    ],
)
def test_what_any_rule_asks_for_stays_and_the_newest_always(
    keep: dict[str, int], ago: tuple[int, ...], left: tuple[int, ...]
) -> None:
    assert stays(Keep(**{**NONE, **keep}), *hours(*ago)) == hours(*left)


def test_nothing_leaves_nothing() -> None:
    assert leaving([], Keep()) == frozenset()
