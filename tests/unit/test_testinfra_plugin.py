"""What `kprov verify` says of checks that saw nothing: each is counted and named, so that nobody takes it for a good sign."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from inventory_text import cluster, loaded

from kprov.run.verify import options
from kprov.testinfra.fleet import Fleet
from kprov.testinfra.plugin import Suite

CHECKS = """
import pytest

def test_sees_something(cluster): pass
def test_has_no_secret_yet(cluster): pytest.skip("the cluster has no secret yet")
def test_of_add_ons(addon_ready): pass
"""


def said(folder: Path, capsys: pytest.CaptureFixture[str], checks: str) -> tuple[int, list[str]]:
    """The exit code, and the lines after pytest's own report."""
    (folder / "test_own.py").write_text(checks)
    fleet = SimpleNamespace(cluster=loaded(cluster()).cluster)
    shipped, *arguments = reversed(options(None, ()))
    assert Path(shipped).name == "testinfra"
    status = pytest.main([*reversed(arguments), str(folder)], plugins=[Suite(cast(Fleet, cast(Any, fleet)))])
    return status, capsys.readouterr().out.splitlines()


def test_checks_that_saw_nothing_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = said(tmp_path, capsys, CHECKS)
    assert status == 0
    assert "skipped: 1 (test_has_no_secret_yet)" in lines
    assert "nothing of their kind here: 1 (test_of_add_ons)" in lines


def test_where_all_checks_saw_something_that_is_said_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = said(tmp_path, capsys, "def test_sees_something(cluster): pass\n")
    assert "skipped: 0" in lines
    assert "nothing of their kind here: 0" in lines
