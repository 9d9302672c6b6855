"""The pytest plugin of `kprov verify`: every check runs once for each host it is about. It prints nothing itself.

A check that takes `host` runs for all hosts, or for those in one of the groups of its marker `on`; one that also takes
`unit`, `program`, `certificate`, `private_file`, `loopback_port` or `host_directory` runs for each of these on each host.
One that takes `addon_ready`, `addon_workload`, `addon_certificate` or `metrics_served` runs once for each of these in the
cluster. A check for which there is nothing of its kind is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest
import testinfra.host

from kprov.testinfra import expected
from kprov.testinfra.fleet import Fleet
from kprov.values.addon import CertificateRow, HostDirectory
from kprov.values.errors import KprovError
from kprov.values.model import Cluster, Host

CASES: Mapping[str, Callable[[Cluster, Host], Iterable[object]]] = {
    "unit": expected.units,
    "program": expected.programs,
    "certificate": expected.certificates,
    "private_file": expected.private_files,
    "loopback_port": expected.loopback_ports,
    "host_directory": expected.host_directories,
}
CLUSTER_CASES: Mapping[str, Callable[[Cluster], Iterable[object]]] = {
    "addon_ready": expected.addon_ready,
    "addon_workload": expected.addon_workloads,
    "metrics_served": expected.metrics_served,
    "addon_certificate": expected.addon_certificates,
}


class Suite:
    """One run: hand it to `pytest.main` as a plugin."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._left_out: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "on(*groups): hosts in one of these groups; `node` is any with a kubelet")

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """A plain folder, though it is a package: in a checkout it has the same name as testinfra itself."""
        return pytest.Dir.from_parent(parent, path=path)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name, cases in CLUSTER_CASES.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, tuple(cases(self._fleet.cluster)), ids=_label, scope="session")
        if "host" not in metafunc.fixturenames:
            return
        mark = metafunc.definition.get_closest_marker("on")
        hosts = [host for host in self._fleet.cluster.hosts if mark is None or is_in(host, mark.args)]
        names = [name for name in CASES if name in metafunc.fixturenames]
        if not names:
            metafunc.parametrize("host", [host.name for host in hosts], indirect=True, scope="session")
            return
        (name,) = names
        pairs = [(host.name, case) for host in hosts for case in CASES[name](self._fleet.cluster, host)]
        ids = [f"{host}-{_label(case)}" for host, case in pairs]
        metafunc.parametrize(("host", name), pairs, ids=ids, indirect=["host"], scope="session")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._left_out = sorted({item.originalname for item in items if _is_about_nothing(item)})  # type: ignore[attr-defined]
        items[:] = [item for item in items if not _is_about_nothing(item)]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Count and name what was not looked at: a check that did not run has seen nothing well."""
        skipped = terminalreporter.getreports("skipped")
        names = sorted({report.nodeid.rpartition("::")[2] for report in skipped})
        terminalreporter.write_line(f"skipped: {_named(names)}")
        terminalreporter.write_line(f"nothing of their kind here: {_named(self._left_out)}")

    @pytest.fixture(scope="session")
    def fleet(self) -> Fleet:
        return self._fleet

    @pytest.fixture(scope="session")
    def cluster(self) -> Cluster:
        """The inventory's cluster."""
        return self._fleet.cluster

    @pytest.fixture(scope="session")
    def host(self, request: pytest.FixtureRequest) -> testinfra.host.Host:
        """The machine, as testinfra sees it; commands run as root."""
        try:
            return self._fleet.host(request.param)
        except KprovError as error:
            pytest.fail(str(error), pytrace=False)

    @pytest.fixture(scope="session")
    def spec(self, host: testinfra.host.Host) -> Host:
        """The same machine, as the inventory has it."""
        return self._fleet.cluster.host(host.backend.hostname)


def is_in(host: Host, groups: Iterable[str]) -> bool:
    return any(host.is_node if group == "node" else group in host.groups for group in groups)


def _named(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "0"


def _label(case: object) -> str:
    """How a case is called in the report."""
    if isinstance(case, tuple):
        return "-".join(map(_label, case))
    return (
        case.secret if isinstance(case, CertificateRow) else case.path if isinstance(case, HostDirectory) else str(case)
    )


def _is_about_nothing(item: pytest.Item) -> bool:
    """pytest makes one item, to be skipped, of a check that has no cases."""
    marks = item.iter_markers("skip")
    return any(str(mark.kwargs.get("reason", "")).startswith("got empty parameter set") for mark in marks)
