"""Inventories for tests: a faultless base that a test adds one slip to, and what the reader says about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kprov.inventory import Loaded, parse
from kprov.values.errors import InventoryError, KprovError

FILE = Path("i.yaml")

HOSTS = """\
hosts:
  cp1: {address: 192.0.2.11, groups: [control_plane]}
  w1: 192.0.2.21
"""


def cluster(*lines: str, hosts: str = HOSTS) -> str:
    """An inventory whose `cluster` has these lines from line 3 on, each at column 3."""
    return "\n".join(["cluster:", "  name: test", *(f"  {line}" for line in lines)]) + "\n" + hosts


def with_hosts(*lines: str) -> str:
    """An inventory with a control plane in line 4 and these hosts from line 5 on, each at column 3."""
    first = "  cp1: {address: 192.0.2.11, groups: [control_plane]}"
    return "\n".join(["cluster:", "  name: test", "hosts:", first, *(f"  {line}" for line in lines)]) + "\n"


def loaded(text: str, environment: Mapping[str, str] | None = None, path: Path = FILE) -> Loaded:
    return parse(text, path=path, environment=environment or {})


def mistakes(text: str, environment: Mapping[str, str] | None = None, path: Path = FILE) -> tuple[KprovError, ...]:
    """All mistakes of a text that has at least one."""
    with pytest.raises(InventoryError) as caught:
        loaded(text, environment, path)
    assert caught.value.mistakes
    return tuple(caught.value.mistakes)


def only(text: str, environment: Mapping[str, str] | None = None, path: Path = FILE) -> KprovError:
    """The one mistake of a text."""
    found = mistakes(text, environment, path)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]
