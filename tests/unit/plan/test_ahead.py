"""Which hosts begin a stage before its turn: only those that serve nothing, and have nothing to do before it."""

from __future__ import annotations

import itertools

import pytest

from kprov.plan import stage_names as names
from kprov.plan.ahead import begun_ahead
from kprov.plan.host import HostPlan, Restart
from kprov.plan.stages import STAGES
from kprov.values.resources import Unit

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


def test_a_new_workers_runtime_begins_beside_the_control_plane() -> None:
    plans = {
        "cp": plan(names.ETCD, names.API_SERVER, names.CONTROLLERS, names.RUNTIME, names.NODE),
        "w1": plan(names.RUNTIME, names.NODE),
        "w2": plan(names.RUNTIME, names.NODE, running=(names.RUNTIME,)),
        "w3": plan(names.RUNTIME),
        "w4": plan(names.NODE),
    }
    assert begun_ahead(plans, names.HOST) == {names.RUNTIME: ("w1",)}
    assert begun_ahead(plans, names.ETCD) == {}
    assert begun_ahead({}, names.HOST) == {}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_no_host_that_serves_or_has_an_earlier_stage_begins_anything(stage: object) -> None:
    """All plans there can be of five stages, each unit running or not."""
    over = stage.name  # type: ignore[attr-defined]
    for count in range(len(UNITS) + 1):
        for stages in itertools.combinations(UNITS, count):
            for running in itertools.chain.from_iterable(itertools.combinations(stages, n) for n in range(count + 1)):
                for begun in begun_ahead({"h": plan(*stages, running=running)}, over):
                    assert running == ()
                    assert names.NODE in stages, "a host whose kubelet is to start is no node yet"
                    earlier = ORDER[ORDER.index(over) + 1 : ORDER.index(begun)]
                    assert not set(earlier) & set(stages)
