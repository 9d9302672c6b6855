"""Units run now and after a reboot, each from the program on disk and of the version that the inventory names."""

from __future__ import annotations

import re

from testinfra.host import Host as Machine

from kprov.testinfra import expected
from kprov.values.model import Cluster, Host


def test_unit_is_active_and_enabled(host: Machine, unit: str) -> None:
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled


def test_unit_runs_what_is_on_disk(host: Machine, unit: str) -> None:
    """A replaced program, or a changed unit file, that was not followed by a restart."""
    shown = host.check_output("systemctl show -p MainPID -p NeedDaemonReload %s", f"{unit}.service")
    values = dict(line.split("=", 1) for line in shown.splitlines())
    assert values["NeedDaemonReload"] == "no"
    running = host.check_output(f"readlink /proc/{int(values['MainPID'])}/exe")
    assert not running.endswith("(deleted)"), f"{unit} still runs a program that was replaced: {running}"


def test_program_version(host: Machine, cluster: Cluster, spec: Host, program: str) -> None:
    arguments, component = expected.programs(cluster, spec)[program]
    desired = cluster.versions[component]
    shown = host.run(f"{program} {arguments} < /dev/null 2>&1").stdout
    assert re.search(rf"(?<![\d.])v?{re.escape(desired)}(?![\d.])", shown), (
        f"{program}: desired {desired}, says {shown!r}"
    )
