"""What the probe counts and what it says of it."""

from __future__ import annotations

from kprov.plan.probe_judge import Lane, Row, Stored, Written, faults, lost_writes, markdown, row, table, unseen, values


def lane(*attempts: tuple[float, float, str]) -> Lane:
    found = Lane()
    for start, end, why in attempts:
        found = found.heard(start, end, why)
    return found


def test_a_gap_lasts_from_the_first_failure_to_the_next_success() -> None:
    found = lane((0, 0.1, ""), (1, 1.2, "refused"), (1.5, 1.6, "HTTP 500"), (2, 2.5, ""), (3, 3.1, ""))
    assert (found.gap, found.why, found.broken) == (1.5, "refused", None)


def test_the_longest_gap_keeps_its_own_reason() -> None:
    found = lane((0, 0.1, "long"), (1, 2, ""), (3, 3.1, "short"), (3.2, 3.3, ""))
    assert (found.gap, found.why) == (2, "long")


def test_a_gap_that_has_not_ended_is_as_long_as_is_known() -> None:
    assert lane((0, 1, ""), (2, 3, "gone"), (5, 7, "gone")).gap == 5


def test_attempts_after_the_first_are_retries_and_only_a_request_fails() -> None:
    found = Lane().ended(1, well=True).ended(3, well=True).ended(20, well=False)
    assert (found.requests, found.retries, found.failures) == (3, 21, 1)


def test_a_row_adds_lanes_up_and_names_the_worst() -> None:
    lanes = {"cp1": lane((0, 1, "x"), (1, 2, "")).ended(2, well=True), "cp2": Lane().ended(1, well=True)}
    assert row("api read", lanes, 1) == Row(
        kind="api read", requests=2, retries=1, failures=0, gap=2, lost=1, where="cp1", why="x"
    )
    assert row("api read", {"cp2": Lane()}).where == ""


def test_every_acknowledged_write_is_looked_for() -> None:
    written = Written(first=1, count=10, last=500)
    assert lost_writes(written, Stored(version=11, revision=500)) == 0
    assert lost_writes(written, Stored(version=12, revision=501)) == 0  # one that was written and not acknowledged
    assert lost_writes(written, Stored(version=8, revision=480)) == 3
    assert lost_writes(written, Stored(version=11, revision=499)) == 1
    assert lost_writes(written, None) == 10


def test_a_watch_must_tell_all_that_came_after_it_began() -> None:
    assert unseen([5, 11, 12, 13], frozenset({11, 13}), since=10) == 1


def good(**other: object) -> Row:
    return Row(**{"kind": "watch", "requests": 9, "retries": 0, "failures": 0, "gap": 0.0, "lost": 0, **other})  # type: ignore[arg-type]


def test_an_operation_passes_when_nothing_failed_and_nothing_is_lost() -> None:
    assert faults([good(retries=3, gap=1.9)]) == []
    assert faults([good(failures=2, gap=4.25)]) == ["watch: 2 of 9 requests failed, the longest gap 4.2 s"]
    assert faults([good(lost=1)]) == ["watch: 1 of 9 were acknowledged and are lost"]
    assert faults([good(requests=0)]) == ["watch: nothing was asked, so that nothing is known"]


def test_it_is_told_as_columns_as_a_page_and_to_programs() -> None:
    told = good(gap=0.5, where="cp1", why="refused")
    assert table([told])[1] == ("watch", "9", "0", "0", "0.50 s", "0", "cp1: refused")
    assert markdown([good()]).splitlines()[2] == "| watch | 9 | 0 | 0 | - | 0 | - |"
    assert values([told])[0]["longest_gap_seconds"] == 0.5
