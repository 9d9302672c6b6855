"""Which changes a host takes back by itself, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import bare

from kprov.observe.observation import UnitState
from kprov.plan.going_back import describe, disturbed, kept, stays
from kprov.plan.host import Change, HostPlan, Restart
from kprov.values.resources import Artifact, Binary, File, Unit

UNIT, OTHER = Unit(name="a.service", content=b""), Unit(name="b.service", content=b"")
RUNS = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True)


def plan(*, running: bool = False, restarts: bool = True, binary: str = "") -> HostPlan:
    """A host where a.service restarts, and b.service reads what changes."""
    resource: File | Binary = File(path="/etc/b.conf", content=b"x")
    if binary:
        artifact = Artifact(name="etcd", version=binary, arch="amd64", sha256="0", size=1, local="")
        resource = Binary(path="/opt/kprov/bin/etcd", artifact=artifact)
    change = Change(stage="one", key=resource.key, action="update", reasons=("new",), resource=resource)
    restart = Restart(stage="one", unit=UNIT, reason="x", running=running)
    return HostPlan(
        host="h",
        changes=(change,),
        restarts=(restart,) if restarts else (),
        stamps={},
        unstamps={"/etc/b.conf": ("b.service",)},
    )


def test_all_units_of_a_stage_go_back_together() -> None:
    assert disturbed(plan(), "one") == ("a.service", "b.service")
    assert kept(plan(running=True), "one", bare()) == ("a.service", "b.service")
    assert kept(plan(running=True), "other", bare()) == ()


def test_a_host_that_is_new_has_nothing_to_go_back_to() -> None:
    assert kept(plan(), "one", bare()) == ()


@pytest.mark.parametrize("unit", ["a.service", "b.service"])
def test_what_was_seen_well_before_is_gone_back_to_also_when_it_does_not_run_now(unit: str) -> None:
    assert kept(plan(), "one", replace(bare(), stamps={unit: "s"}))


def test_a_change_that_was_left_in_the_middle_is_gone_on_with_and_can_still_be_taken_back() -> None:
    assert kept(plan(), "one", replace(bare(), unconfirmed=True))


@pytest.mark.parametrize(("old", "new", "kept_there"), [("3.6.1", "3.6.9", True), ("3.6.9", "3.7.0", False)])
def test_etcd_does_not_go_back_by_a_minor_version(old: str, new: str, *, kept_there: bool) -> None:
    seen = replace(bare(), versions={"etcd": f"etcd Version: {old}"})
    assert bool(kept(plan(running=True, binary=new), "one", seen)) == kept_there
    assert ("minor version" in stays(plan(running=True, binary=new), "one", seen)) == (not kept_there)


def test_what_runs_now_is_said_of_files_and_units() -> None:
    told = "files 2\nunit a.service well\nunit b.service well\nunit c.service removed"
    assert describe(told) == (
        "2 previous files put back; a.service, b.service run again as before, and answered; "
        "c.service was not there before, and removed again"
    )
    assert describe("unit a.service well") == "no file had changed; a.service runs again as before, and answered"


def test_a_unit_that_does_not_run_as_before_is_said_with_its_reason() -> None:
    told = "files 1\nunit a.service ill it ended 5 times: no such file\nunit b.service starts"
    assert describe(told) == (
        "1 previous file put back; b.service was started with the previous files; it did not run before; "
        "a.service DOES NOT RUN as it did before: it ended 5 times: no such file"
    )


@pytest.mark.parametrize("told", ["", "unit", "files", "unit a.service", "\x00", "files x\nunit"])
def test_lines_that_no_host_of_kprovs_tells_are_no_harm(told: str) -> None:
    assert describe(told)
