"""Lists of CPUs as the kernel and kubelet write them."""

from __future__ import annotations

import pytest

from kprov.values.cpu_lists import cpus_in


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("5", {5}),
        (" 1, 2-3", {1, 2, 3}),
        ("", set()),
        ("a,1-b,,4", {4}),
    ],
)
def test_a_list_is_read(text: str, cpus: set[int]) -> None:
    assert cpus_in(text) == cpus


def test_a_range_without_an_end_in_sight_is_cut() -> None:
    assert len(cpus_in("0-99999999999")) == 4097
