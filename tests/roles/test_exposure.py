"""What `systemd-analyze security` finds open in units, line by line: each has its reason, and no reason is left of before."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from given import context

from kprov.plan.stages import desired
from kprov.values.exposure import LEVELS, OPEN, reasons
from kprov.values.resources import Unit

_OLDEST = 250  # whose systemd-analyze judges files


def _version() -> int:
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True).stdout.split()
    return int(said[1]) if len(said) > 1 and said[1].isdigit() else 0


pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or _version() < _OLDEST, reason="no systemd-analyze that judges files"
)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    hosts = {"a": {"groups": ["etcd", "control_plane", "worker"]}, "b": {"groups": ["etcd", "control_plane"]}}
    for resources in desired(context({"hosts": hosts})).values():
        for item in resources:
            if isinstance(item, Unit):
                (folder / item.name).write_bytes(item.content)
    return folder


def judged(path: Path, *options: str) -> str:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.mark.parametrize("unit", ["kubelet", "containerd"])
def test_each_line_that_stays_open_has_one_reason(units: Path, unit: str) -> None:
    rows = json.loads(judged(units / f"{unit}.service", "--json=short"))
    lines = [row["name"] for row in rows if not row["set"] and row["exposure"]]
    assert len(lines) > 30
    assert {line: len(reasons(unit, line)) for line in lines} == dict.fromkeys(lines, 1)
    told = [each for row in OPEN if row.unit == unit for each in row.lines]
    assert [each for each in told if not any(line.startswith(each) for line in lines)] == []


@pytest.mark.parametrize("unit", LEVELS)
def test_a_unit_is_no_more_open_than_the_page_says(units: Path, unit: str) -> None:
    level = float(judged(units / f"{unit}.service").rpartition(": ")[2].split()[0])
    assert LEVELS[unit] - 0.4 < level <= LEVELS[unit]
