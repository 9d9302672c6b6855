"""When kubelet begins with new state files, and when its node is emptied for that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from observed import FACTS, record

from kprov.observe.observation import Observation
from kprov.plan.host import HostPlan, Restart
from kprov.plan.kubelet_state import with_fresh_state
from kprov.values.paths import CPU_STATE, KUBELET_CONFIG, MEMORY_STATE
from kprov.values.resources import File, Unit

STATIC = {"cpuManagerPolicy": "static", "kubeReserved": {"cpu": "100m"}}
MEMORY = {"memoryManagerPolicy": "Static", "reservedMemory": [{"numaNode": 0, "limits": {"memory": "500Mi"}}]}
KUBELET = Unit(name="kubelet.service", content=b"")


def seen(before: dict[str, Any] | None, cpu: str = "none", memory: str = "None", **state: Any) -> Observation:
    stored = {"policyName": cpu, "defaultCpuSet": "0-3", **state}
    texts = {CPU_STATE: json.dumps(stored).encode(), MEMORY_STATE: json.dumps({"policyName": memory}).encode()}
    records = {}
    if before is not None:
        texts[KUBELET_CONFIG] = json.dumps(before).encode()
        records = dict([record("file", KUBELET_CONFIG)])
    return Observation(facts=FACTS, texts=texts, records=records)


def restart(after: dict[str, Any], observed: Observation, *, running: bool = True) -> Restart:
    own = Restart(stage="node", unit=KUBELET, reason="it reads config, which changes", running=running)
    other = Restart(stage="node", unit=Unit(name="kube-proxy.service", content=b""), reason="x", running=True)
    plan = HostPlan(host="one", changes=(), restarts=(own, other), stamps={}, unstamps={})
    desired = {"node": [File(path=KUBELET_CONFIG, content=json.dumps(after).encode())]}
    first, second = with_fresh_state(plan, desired, observed).restarts
    assert second is other
    return first


@pytest.mark.parametrize(
    ("before", "after", "observed", "clears"),
    [
        ({}, STATIC, seen({}), (CPU_STATE,)),
        (STATIC, {}, seen(STATIC, cpu="static"), (CPU_STATE,)),
        ({}, MEMORY, seen({}), (MEMORY_STATE,)),
        (MEMORY, {}, seen(MEMORY, memory="Static"), (MEMORY_STATE,)),
        ({}, STATIC | MEMORY, seen({}), (CPU_STATE, MEMORY_STATE)),
        (STATIC, STATIC | {"reservedSystemCPUs": "0"}, seen(STATIC, cpu="static"), (CPU_STATE,)),
        (STATIC, STATIC | {"kubeReserved": {"cpu": "1"}}, seen(STATIC, cpu="static"), (CPU_STATE,)),
        (
            MEMORY,
            MEMORY | {"evictionHard": {"memory.available": "1Gi"}},
            seen(MEMORY, memory="Static"),
            (MEMORY_STATE,),
        ),
    ],
)
def test_another_policy_or_other_reserves_begin_anew_on_an_empty_node(
    before: dict[str, Any], after: dict[str, Any], observed: Observation, clears: tuple[str, ...]
) -> None:
    found = restart(after, observed)
    assert (found.clears, found.emptied) == (clears, True)
    assert all(f"without {path}: it is of" in found.reason for path in clears), before


@pytest.mark.parametrize(
    ("after", "observed"),
    [
        ({"maxPods": 150}, seen({})),
        ({}, seen({"kubeReserved": {"cpu": "1"}})),  # nothing is pinned under the policies that are there by default
        (STATIC | {"maxPods": 150}, seen(STATIC, cpu="static")),
        (STATIC, seen(None)),  # the host is new
        (
            STATIC,
            Observation(
                facts=FACTS,
                texts={KUBELET_CONFIG: json.dumps(STATIC).encode()},
                records=dict([record("file", KUBELET_CONFIG)]),
            ),
        ),
        (STATIC, seen(STATIC, cpu="static", defaultCpuSet="0-7")),  # it runs: the CPUs are its own affair
    ],
)
def test_other_settings_leave_state_and_pods(after: dict[str, Any], observed: Observation) -> None:
    found = restart(after, observed)
    assert (found.clears, found.emptied, found.reason) == ((), False, "it reads config, which changes")


def test_less_room_for_pods_is_given_to_an_empty_node() -> None:
    found = restart({"maxPods": 50, "kubeReserved": {"cpu": "1"}}, seen({}))
    assert (found.clears, found.emptied, found.crowded) == ((), True, True)
    assert found.reason == "it reads config, which changes; with 50 pods instead of 110, less cpu"
    pinned = restart(STATIC | {"kubeReserved": {"cpu": "2"}}, seen(STATIC, cpu="static"))
    assert (pinned.clears, pinned.crowded) == ((CPU_STATE,), True)
    assert not restart({"topologyManagerPolicy": "restricted"}, seen({})).crowded


def test_a_kubelet_that_died_over_its_state_gets_a_new_one() -> None:
    """The setting is the same as in its file: it was written by a run that did not know of the state."""
    assert restart(STATIC, seen(STATIC, cpu="none"), running=False).clears == (CPU_STATE,)


@pytest.mark.parametrize(
    ("state", "clears"),
    [
        ({"defaultCpuSet": "0-3"}, ()),
        ({"defaultCpuSet": "0,3", "entries": {"pod": {"c": "1-2"}}}, ()),
        ({"defaultCpuSet": "0-1"}, (CPU_STATE,)),
        ({"defaultCpuSet": "0-7,9-"}, (CPU_STATE,)),
        ({"defaultCpuSet": "nonsense", "entries": ["x"]}, (CPU_STATE,)),
    ],
)
def test_a_kubelet_that_stands_still_on_other_cpus_gets_a_new_one(
    state: dict[str, Any], clears: tuple[str, ...]
) -> None:
    assert restart(STATIC, seen(STATIC, cpu="static", **state), running=False).clears == clears


@pytest.mark.parametrize("field", ["topologyManagerPolicy", "cgroupRoot", "cgroupsPerQOS"])
def test_what_pods_are_admitted_by_changes_on_an_empty_node(field: str) -> None:
    found = restart({field: "other"}, seen({}))
    assert (found.clears, found.emptied) == ((), True)


def test_a_plan_without_a_restart_of_kubelet_stays_as_it_is() -> None:
    plan = HostPlan(host="one", changes=(), restarts=(), stamps={}, unstamps={})
    assert with_fresh_state(plan, {"node": []}, seen({})) is plan
