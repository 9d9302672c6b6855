"""Fixtures of the end-to-end tests: one lab at a time, always removed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from lab_cluster import PLAIN, LabCluster
from shared_machines import begun, moment, untouched, vm_cluster

__all__ = ["begun", "untouched", "vm_cluster"]  # fixtures


class Make(Protocol):
    """Makes a lab: name, groups by host, and what is laid over the `cluster` mapping of its inventory."""

    def __call__(
        self, name: str, hosts: Mapping[str, Sequence[str]], keys: Mapping[str, Any] = PLAIN
    ) -> LabCluster: ...


Say = Callable[[str], None]


# Whole clusters run side by side: what takes longest comes first, so that no lane is left with it at the end.
_LONGEST = (
    *("monitoring", "pod_networks", "topologies", "logging", "robustness", "doors", "addons", "backup", "growth"),
    *("drain", "mistakes", "cloud"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: (moment(item), order.get(item.path.name, len(order))))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows the last lines of its machines' journals."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        clusters = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, LabCluster)]
        report.sections.extend(("journals of the machines", cluster.evidence()) for cluster in clusters)


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Prints a line whether the test passes or not: what a reader needs to run it again in the same way."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(text)
            else:  # one of several workers: only standard error leads to the terminal
                print(text, file=sys.stderr, flush=True)  # noqa: T201

    return write


@pytest.fixture(scope="module")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes lab machines with an inventory; they are gone when the module's tests have ended."""
    made: list[LabCluster] = []

    def make(name: str, hosts: Mapping[str, Sequence[str]], keys: Mapping[str, Any] = PLAIN) -> LabCluster:
        folder: Path = tmp_path_factory.mktemp(name)
        cluster = LabCluster(name, folder, hosts, keys=keys)
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.destroy()
