"""Rows as columns."""

from __future__ import annotations

from kprov.report.columns import columns


def test_columns_are_as_wide_as_their_widest_word_and_never_touch() -> None:
    rows = [("HOST", "UNIT", "X"), ("a-very-long-host-name-01", "activating", ""), ("b", "active", "1")]
    assert columns(rows) == [
        "HOST                      UNIT        X",
        "a-very-long-host-name-01  activating",
        "b                         active      1",
    ]


def test_rows_may_be_of_different_length_and_none_is_no_line() -> None:
    assert columns([("a", "b"), ("long",)]) == ["a     b", "long"]
    assert columns([]) == []
