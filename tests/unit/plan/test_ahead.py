"""What hosts that serve nothing need not wait for: which they are, and what begins before its turn or beside another."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from observed import bare, record

from kprov.plan import stage_names as names
from kprov.plan.ahead import begun_ahead, beside, founding, is_beside, sent_ahead
from kprov.plan.host import Change, HostPlan, Restart
from kprov.plan.stages import STAGES, Stage
from kprov.values.resources import Artifact, Binary, File, Unit

ORDER = [stage.name for stage in STAGES]
UNITS = {
    names.ETCD: "etcd.service",
    names.API_SERVER: "kube-apiserver.service",
    names.CONTROLLERS: "kube-scheduler.service",
    names.RUNTIME: "containerd.service",
    names.NODE: "kubelet.service",
}


def plan(*stages: str, running: tuple[str, ...] = ()) -> HostPlan:
    restarts = tuple(
        Restart(stage=stage, unit=Unit(name=UNITS[stage], content=b""), reason="it is new", running=stage in running)
        for stage in stages
    )
    return HostPlan(host="h", changes=(), restarts=restarts, stamps={}, unstamps={})


def test_a_founder_has_no_unit_recorded_and_none_that_is_stopped() -> None:
    plans = {
        "new": plan(names.RUNTIME),
        "known": plan(names.RUNTIME),
        "serving": plan(names.RUNTIME, running=(names.RUNTIME,)),
    }
    seen = {name: bare() for name in plans}
    seen["known"] = replace(bare(), records=dict([record("unit", "containerd.service")]))
    assert founding(plans, seen) == {"new"}
    seen["new"] = replace(bare(), records=dict([record("file", "/etc/x")]))
    assert founding(plans, seen) == {"new"}, "a first run that broke off before it started anything"


def test_programs_of_later_stages_go_with_the_runtime_and_nothing_else_does() -> None:
    artifact = Artifact(name="kubelet", version="1", arch="amd64", sha256="a" * 64, size=1, local="/x")
    program, file = Binary(path="/opt/x", artifact=artifact), File(path="/etc/x", content=b"")
    stages = (names.HOST, names.API_SERVER, names.CONTROLLERS, names.NODE)
    changes = tuple(
        Change(stage=stage, key=resource.key, action="create", reasons=("new",), resource=resource)
        for stage in stages
        for resource in (program, file)
    )
    whole = replace(plan(names.RUNTIME, names.NODE), changes=changes)
    moved = [(old.stage, new.stage) for old, new in zip(whole.changes, sent_ahead(whole).changes, strict=True)]
    assert [pair for pair in moved if pair[0] != pair[1]] == [
        (names.CONTROLLERS, names.RUNTIME),
        (names.NODE, names.RUNTIME),
    ]
    assert {
        new.resource.key[0]
        for old, new in zip(whole.changes, sent_ahead(whole).changes, strict=True)
        if old.stage != new.stage and new.resource
    } == {"binary"}
    without = replace(whole, restarts=())
    assert sent_ahead(without) == without, "there is no runtime here"


def test_a_new_workers_runtime_begins_beside_the_control_plane() -> None:
    plans = {
        "cp": plan(names.ETCD, names.API_SERVER, names.CONTROLLERS, names.RUNTIME, names.NODE),
        "w1": plan(names.RUNTIME, names.NODE),
        "w2": plan(names.RUNTIME, names.NODE),
        "w4": plan(names.NODE),
    }
    founders = {"cp", "w1", "w4"}
    assert begun_ahead(plans, founders, names.HOST) == {names.RUNTIME: ("w1",)}
    assert begun_ahead(plans, founders, names.ETCD) == {}
    assert begun_ahead({}, founders, names.HOST) == {}


def test_a_new_control_planes_runtime_is_a_part_of_its_api_servers_exec() -> None:
    both, runtime = plan(names.API_SERVER, names.RUNTIME), next(one for one in STAGES if one.name == names.RUNTIME)
    assert beside(both, names.API_SERVER) == (names.RUNTIME,)
    assert is_beside(both, runtime)
    for alone in (plan(names.API_SERVER), plan(names.RUNTIME)):
        assert beside(alone, names.API_SERVER) == ()
        assert not is_beside(alone, runtime)
    assert beside(both, names.RUNTIME) == ()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_nothing_is_begun_before_what_a_host_has_to_do_first(stage: Stage) -> None:
    for count in range(len(UNITS) + 1):
        for stages in itertools.combinations(UNITS, count):
            assert begun_ahead({"h": plan(*stages)}, (), stage.name) == {}, "a host that serves keeps the order"
            for begun in begun_ahead({"h": plan(*stages)}, {"h"}, stage.name):
                earlier = ORDER[ORDER.index(stage.name) + 1 : ORDER.index(begun)]
                assert not set(earlier) & set(stages)
                assert begun in stages
