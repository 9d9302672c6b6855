"""Kubelet settings that would empty a node, or leave nothing of it, though kubelet itself is well with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_preflight import GIB, facts, host

from kprov.observe.observation import Observation
from kprov.preflight.evictions import check
from kprov.preflight.problem import Problem


def found(kubelet: dict[str, Any], *, groups: tuple[str, ...] = ("worker",), **changes: Any) -> list[Problem]:
    own = replace(facts(), memory_available=6 * GIB, **changes)
    return list(check(replace(host(groups=groups), kubelet=kubelet), Observation(facts=own)))


@pytest.mark.parametrize(
    ("signal", "fits", "too_much", "free"),
    [
        ("memory.available", "5Gi", "7Gi", 6144),
        ("memory.available", "70%", "80%", 6144),
        ("nodefs.available", "59%", "61%", 30 * 1024),
        ("imagefs.available", "29Gi", "31Gi", 30 * 1024),
    ],
)
def test_a_threshold_above_what_is_free_is_refused(signal: str, fits: str, too_much: str, free: int) -> None:
    assert not found({"evictionHard": {signal: fits}})
    (problem,) = found({"evictionHard": {signal: too_much}})
    assert (problem.name, problem.severity) == ("EvictionThreshold", "error")
    assert problem.found.startswith(f"{signal} is {free} MiB, and a threshold of {too_much}, ")
    assert not found({"evictionHard": {signal: too_much}}, groups=("etcd",)), "no kubelet there"


def test_a_disk_of_the_runtime_is_judged_for_itself() -> None:
    sizes = {"/var/lib": 50 * GIB, "/var/lib/containerd": 10 * GIB}
    free = {"/var/lib": 30 * GIB, "/var/lib/containerd": 2 * GIB}
    own = {"disk_size": sizes, "disk_free": free}
    assert [one.name for one in found({"evictionHard": {"imagefs.available": "25%"}}, **own)] == ["EvictionThreshold"]
    assert not found({"evictionHard": {"nodefs.available": "25%"}}, **own)


def test_what_nothing_is_known_of_is_left_to_kubelet() -> None:
    assert not found({"evictionHard": {"nodefs.inodesFree": "99%", "memory.available": "much%"}})
    assert not found({"evictionHard": {"memory.available": "lots"}})
    assert not list(
        check(
            replace(host(groups=("worker",)), kubelet={"evictionHard": {"memory.available": "99%"}}),
            Observation(facts=replace(facts(), memory_available=0)),
        )
    )


@pytest.mark.parametrize(
    ("kubelet", "told"),
    [
        ({"systemReserved": {"memory": "9Gi"}}, "memory"),
        ({"kubeReserved": {"cpu": "3"}, "systemReserved": {"cpu": 1}}, "cpu"),
        ({"systemReserved": {"cpu": "3950m"}}, "cpu"),  # with kprov's own part beside it
        ({"systemReserved": {"cpu": "3950m"}, "kubeReserved": {"memory": "1Gi"}}, "cpu"),  # which this keeps
    ],
)
def test_reservations_that_leave_nothing_are_refused(kubelet: dict[str, Any], told: str) -> None:
    (problem,) = found(kubelet)
    assert (problem.name, problem.ignorable) == ("NothingForPods", False)
    assert f"no {told}" in problem.what


def test_reservations_that_leave_something_pass() -> None:
    assert not found({"systemReserved": {"memory": "2Gi", "cpu": "1"}, "kubeReserved": {"cpu": "500m"}})
    assert not found({})


@pytest.mark.parametrize(
    ("written", "what"), [("0-4", "does not have"), ("9", "does not have"), ("0-3", "leaves pods no CPU")]
)
def test_cpus_that_a_host_has_not_or_not_beside_are_refused(written: str, what: str) -> None:
    (problem,) = found({"reservedSystemCPUs": written})
    assert (problem.name, problem.found) == ("ReservedCpus", f"{written}, and CPUs 0 to 3")
    assert what in problem.what
    assert not found({"reservedSystemCPUs": "0,3"})


def test_memory_of_numa_nodes_must_be_what_the_node_keeps() -> None:
    def manager(*amounts: str) -> dict[str, Any]:
        rows = [{"numaNode": number, "limits": {"memory": amount}} for number, amount in enumerate(amounts)]
        kept = {"kubeReserved": {"memory": "1Gi"}, "systemReserved": {"memory": "512Mi"}}
        return {"memoryManagerPolicy": "Static", "reservedMemory": rows, **kept}

    (problem,) = found(manager("100Mi"))
    assert problem.name == "ReservedMemory"
    assert problem.found == "100Mi on NUMA nodes"
    assert problem.needed.startswith("1736Mi: kubeReserved 1Gi, systemReserved 512Mi and evictionHard 200Mi")
    assert not found(manager("1Gi", "712Mi"))
    assert not found({**manager("100Mi"), "memoryManagerPolicy": "None"})
