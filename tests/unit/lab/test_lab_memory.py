"""Whose memory is counted: pods by their namespace, in kube-system by their name, and units on every machine."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import Any

import pytest
from lab_values import a_lab

from kprov.addon.choose import by_name
from kprov.lab import memory

LAB = a_lab()
ADDONS = by_name(["metrics-server", "monitoring", "storage"])


def pod(namespace: str, name: str, size: int) -> dict[str, Any]:
    return {"podRef": {"namespace": namespace, "name": name}, "memory": {"workingSetBytes": size}}


PODS = [
    pod("monitoring", "victoria-metrics-1", 60),
    pod("monitoring", "something-else", 5),
    pod("kube-system", "metrics-server-1", 20),
    pod("kube-system", "coredns-1", 7),
    pod("default", "metrics-server-1", 9),
    pod("local-path-storage", "local-path-provisioner-1", 8),
    {"podRef": {"namespace": "local-path-storage", "name": "starting"}},
]


def test_pods_and_units_are_counted_by_machine_and_add_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_in(machine: Any, argv: list[str]) -> CompletedProcess[str]:
        asked.append((machine.name, argv[4:]))
        return CompletedProcess(argv, 0, stdout="1\n2\n", stderr="")

    monkeypatch.setattr(memory.machines, "run_in", run_in)
    first, *others = [machine.name for machine in LAB.machines]
    found = memory.held(LAB, ADDONS, [first], lambda path: {"pods": PODS} if f"/{first}/" in path else {})
    assert found == {
        (first, "monitoring"): 65 + 3,
        (first, "metrics-server"): 20,
        (first, "storage"): 8,
        **{(name, "monitoring"): 3 for name in others},
    }
    assert asked == [(name, list(memory.units("monitoring"))) for name in (first, *others)]
