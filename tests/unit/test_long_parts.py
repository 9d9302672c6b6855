"""Every long test is in one part of `make test-long`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

E2E = Path(__file__).parents[1] / "e2e"
SPEC = importlib.util.spec_from_file_location("long_parts", E2E / "long_parts.py")
assert SPEC is not None
assert SPEC.loader is not None
long_parts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(long_parts)


def test_each_long_module_is_in_one_part() -> None:
    last = len(long_parts.NAMED) + 1
    parts = [path for part in range(1, last + 1) for path in long_parts.modules(str(part))]
    assert parts == long_parts.modules("*")
    assert sorted(parts) == [path for path in sorted(E2E.glob("test_*.py")) if "mark.long" in path.read_text()]
    assert len(set(parts)) == len(parts)


@pytest.mark.parametrize("part", ["0", "6", "x", ""])
def test_a_part_that_is_not_there_is_told(part: str) -> None:
    with pytest.raises(SystemExit, match="1 to 5"):
        long_parts.modules(part)
