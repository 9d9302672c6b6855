"""Lets tests run on the checkout they stand in, however kprov was installed, and though its packages are in two places.

setup.cfg maps `kprov.roles`, `kprov.templates`, `kprov.addons` and `kprov.testinfra` to folders outside of `kprov/`. An
editable install knows that map; after a plain one, Python would find an older copy, or `kprov/` without its roles.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(ROOT))
import kprov  # noqa: E402 - from here, and from nowhere else

if find_spec("kprov.roles") is None:
    kprov.__path__.extend([str(ROOT), str(ROOT / "tests")])
