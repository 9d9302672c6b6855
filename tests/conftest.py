"""Lets tests run on the checkout they stand in, however kprov was installed, and though its packages are in two places.

setup.cfg maps `kprov.roles`, `kprov.templates`, `kprov.addons` and `kprov.testinfra` to folders outside of `kprov/`. An
editable install knows that map; after a plain one, Python would find an older copy, or `kprov/` without its roles.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(ROOT))
import kprov  # noqa: E402 - from here, and from nowhere else

COPIED = find_spec("kprov.roles") is None  # installed as a copy: `pip install .`
if COPIED:
    kprov.__path__.extend([str(ROOT), str(ROOT / "tests")])


def pytest_configure() -> None:
    """Programs that tests start find the copy, and not this checkout: a part of the tests would fail, and nobody know why."""
    if COPIED:
        raise pytest.UsageError(
            "kprov is installed here as a copy, and tests run on the checkout. "
            "Run `pip install -e '.[dev]'` in the checkout, then pytest again."
        )
