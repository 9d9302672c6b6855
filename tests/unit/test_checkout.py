"""Tests run on the checkout, with an editable install or a plain one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PACKAGES = ("kprov.roles.etcd", "kprov.templates", "kprov.addons", "kprov.testinfra", "kprov.apply.scripts")
PROGRAM = """
import importlib, runpy, sys
if sys.argv[2] == "plain":  # what an editable install adds is not there then
    sys.meta_path = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
runpy.run_path(sys.argv[1])
for name in sys.argv[3:]:
    module = importlib.import_module(name)
    print(getattr(module, "__file__", None) or list(module.__path__)[0])
"""


@pytest.mark.parametrize("installed", ["editable", "plain"])
def test_every_package_is_found_in_the_checkout(installed: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(TESTS / "conftest.py"), installed, *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    found = [Path(line) for line in done.stdout.splitlines()]
    assert len(found) == len(PACKAGES)
    assert all(path.is_relative_to(TESTS.parent) for path in found)


def test_after_a_plain_install_pytest_says_what_to_do() -> None:
    program = PROGRAM.replace("runpy.run_path(sys.argv[1])", "runpy.run_path(sys.argv[1])['pytest_configure']()")
    for installed, told in (("plain", "pip install -e '.[dev]'"), ("editable", "")):
        command = [sys.executable, "-c", program, str(TESTS / "conftest.py"), installed]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        assert (done.returncode == 0) == (not told), done.stderr
        assert told in done.stderr
