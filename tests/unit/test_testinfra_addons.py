"""What `kprov verify` makes of pods of add-ons that have ended: they are none of those that must run, and tell why."""

from __future__ import annotations

from typing import Any

import pytest

from kprov.testinfra.pods import complaints, evictions

RUNS = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
EVICTED = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": 'Usage of EmptyDir volume "tmp" exceeds the limit "64Mi".',
}
SHUT_DOWN = {"phase": "Failed", "reason": "NodeShutdown"}


def pods(*states: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"metadata": {"name": f"p{number}"}, "spec": {"nodeName": "w1"}, "status": status}
        for number, status in enumerate(states)
    ]


@pytest.mark.parametrize("ended", [EVICTED, SHUT_DOWN, {"phase": "Succeeded"}])
def test_pods_that_have_ended_are_not_counted(ended: dict[str, Any]) -> None:
    assert complaints(pods(RUNS, ended), 1) == []
    assert complaints(pods(ended), 1) == ["0 pods, not 1"]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ((), ["0 pods, not 1"]),
        ((RUNS, RUNS), ["2 pods, not 1"]),
        (({"phase": "Pending"},), ["p0: Pending: "]),
        (
            (
                {
                    **RUNS,
                    "containerStatuses": [{"image": "r/i:1", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
                },
            ),
            ["p0: r/i:1: CrashLoopBackOff: "],
        ),
    ],
)
def test_another_number_of_living_pods_or_one_that_is_not_ready_is_found(states: Any, told: list[str]) -> None:
    assert complaints(pods(*states), 1) == told


def test_an_eviction_is_told_and_other_ends_are_not() -> None:
    assert evictions(pods(RUNS, EVICTED, SHUT_DOWN)) == {"p1": f"on w1: {EVICTED['message']}"}
