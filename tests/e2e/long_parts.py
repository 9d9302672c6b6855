"""Prints the modules of one part of `make test-long`, or of all: each takes up to an hour. Runs none.

What no part names is in the last one, so that nothing is left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMED = (
    ("restore", "brink", "elsewhere"),
    ("rotation", "own_authority", "stores", "switched_off"),
    ("rotation_unnoticed",),
    ("mixed_runtimes", "crio"),
)


def modules(part: str) -> list[Path]:
    """part: 1 to one more than there are named ones, or * for all."""
    every = [path for path in sorted(FOLDER.glob("test_*.py")) if re.search(r"\bmark\.long\b", path.read_text("utf-8"))]
    named = [[FOLDER / f"test_{name}.py" for name in names] for names in NAMED]
    parts = [*named, [path for path in every if not any(path in some for some in named)]]
    if part == "*":
        return [path for some in parts for path in some]
    if not part.isdecimal() or not 1 <= int(part) <= len(parts):
        raise SystemExit(f"there is no part {part}: 1 to {len(parts)}")
    return parts[int(part) - 1]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{path}\n" for path in modules(sys.argv[1])))
