"""What many hosts have in common is said once, and at most three differences."""

from __future__ import annotations

import pytest

from kprov.values.many_hosts import count_hosts, merge_texts, name_hosts


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["cp1"], "cp1"),
        (["w1", "w2"], "w1, w2"),
        (["w1", "w2", "w3"], "w1–w3"),
        (["w8", "w9", "w10", "w11", "w12"], "w8, w9, w10–w12"),
        (["n01", "n02", "n03", "n05", "a", "b", "c"], "n01–n03, n05, a and 2 more"),
        (["w1", "w1"], "w1"),
        (["x1", "y2", "z3"], "x1, y2, z3"),
    ],
)
def test_names_that_follow_each_other_are_a_range(names: list[str], shown: str) -> None:
    assert name_hosts(names) == shown


def test_one_host_is_named_and_many_are_counted() -> None:
    assert count_hosts(["w1"]) == "w1"
    assert count_hosts([f"n{number:04}" for number in range(1000)]) == "1000 hosts (n0000–n0999)"


def test_what_is_the_same_is_said_once_and_three_that_differ_are_shown() -> None:
    assert merge_texts([("a", "x"), ("b", "x")]) == "x"
    assert merge_texts([("a", "x"), ("b", "y"), ("c", "x")]) == "a: x; b: y"
    assert merge_texts([(host, host.upper()) for host in "abcde"]) == "a: A; b: B; c: C; and 2 more"
    assert merge_texts([]) == ""
