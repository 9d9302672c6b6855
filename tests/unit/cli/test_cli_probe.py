"""`kprov probe`: its exit code, and what it prints for people, programs and pages."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import kprov.cli.probe as command
from kprov.cli.program import run
from kprov.plan.probe_judge import Row
from kprov.state.store import Store, state_folder

INVENTORY = "cluster: {name: c}\nhosts:\n  cp1: {address: 192.0.2.1, groups: [control_plane]}\n"
WELL = Row(kind="watch", requests=3, retries=0, failures=0, gap=0.0, lost=0)
ILL = Row(kind="names", requests=3, retries=0, failures=1, gap=1.0, lost=0)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.yaml"
    path.write_text(INVENTORY)
    return path


@pytest.fixture
def cluster(inventory: Path) -> Path:
    Store.open(state_folder(inventory, "c"), "c").create_trust("ecdsa-p256", 10, datetime.now(UTC))
    return inventory


def told(monkeypatch: pytest.MonkeyPatch, *rows: Row) -> None:
    monkeypatch.setattr(command, "run_probe", lambda _workspace, _bounds, execute: (execute(), rows))


@pytest.mark.parametrize(("row", "status", "code"), [(WELL, 0, 0), (WELL, 7, 1), (ILL, 0, 1)])
def test_it_ends_well_when_the_command_and_every_request_did(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, row: Row, status: int, code: int
) -> None:
    told(monkeypatch, row)
    assert run(["probe", str(cluster), "--", sys.executable, "-c", f"raise SystemExit({status})"]) == code


def test_options_of_the_command_are_the_commands(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told(monkeypatch, ILL)
    script = "import sys; print(sys.argv[1:])"
    assert run(["probe", str(cluster), "--json", "--", sys.executable, "-c", script, "--json", "--rate", "9"]) == 1
    shown = capfd.readouterr()
    found = json.loads(shown.out)
    assert (found["command"], found["passed"], found["probe"][0]["failures"]) == (0, False, 1)
    assert "['--json', '--rate', '9']" in shown.err, "what the command prints does not mix with the document"


def test_a_page_gets_a_table(cluster: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    told(monkeypatch, WELL)
    run(["probe", str(cluster), "--markdown", "--", "true"])
    assert "| watch | 3 | 0 | 0 | - | 0 | - |" in capfd.readouterr().out


def test_what_cannot_be_asked_or_run_is_told(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told(monkeypatch, WELL)
    assert run(["probe", str(inventory), "--", "true"]) == 1
    assert "there is no cluster to ask" in capfd.readouterr().err
    Store.open(state_folder(inventory, "c"), "c").create_trust("ecdsa-p256", 10, datetime.now(UTC))
    assert run(["probe", str(inventory), "--", "/no/such/program"]) == 1
    assert "the command cannot be run" in capfd.readouterr().err
