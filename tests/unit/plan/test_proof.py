"""Which hosts were seen well since something was done there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from observed import bare, record

from kprov.observe.observation import Observation
from kprov.plan.proof import proven, unproven


def host(generation: str, well: Mapping[str, str] | None = None) -> Observation:
    return replace(bare(), records=dict([record("file", "/etc/x")]), generation=generation, well=well or {})


def test_a_host_is_proven_by_any_control_plane_that_saw_it_as_it_is() -> None:
    known = {"a": "g2", "b": "g1", "w": "g1"}
    seen = {"a": host("g2", {"a": "g0", "w": "g0"}), "b": host("g1", known), "w": host("g1")}
    assert unproven(seen) == ()
    assert unproven({**seen, "w": host("g3")}) == ("w",)
    assert unproven({**seen, "b": host("g1")}) == ("a", "b", "w")


def test_a_host_on_which_nothing_was_ever_done_has_nothing_to_prove() -> None:
    assert unproven({"a": bare(), "b": replace(bare(), generation="g1"), "c": host("")}) == ()


def test_what_a_run_saw_well_is_proven_for_the_next() -> None:
    seen = {"a": host("g1"), "b": host("g2"), "w": host("g2")}
    note = proven(seen, touched={"a", "w"}, asked=set(seen), generation="g3")
    assert note == {"a": "g3", "b": "g2", "w": "g3"}
    assert unproven({"a": host("g3", note), "b": host("g2"), "w": host("g3")}) == ()


def test_a_run_for_some_hosts_proves_only_these() -> None:
    seen = {"a": host("g1", {"a": "g1", "b": "g2", "w": "g0"}), "b": host("g2"), "w": host("g2")}
    note = proven(seen, touched={"a"}, asked={"a"}, generation="g3")
    assert note == {"a": "g3", "b": "g2"}
    # A control plane that was sent something without being asked for is not proven by that.
    assert proven(seen, touched={"a", "b"}, asked={"a"}, generation="g3") == {"a": "g3"}
