"""Prints how many clusters of the tests this computer carries side by side: two, or three where it is quick. Starts none.

Clusters mostly wait, and need the processors in bursts. On a slow computer a third one makes the others late.
"""

from __future__ import annotations

import os
import sys
import timeit
from pathlib import Path

QUICK = 0.35  # seconds for the loop below: 0.24 on a computer that carries three, about 0.5 on one that does not
ROOM = 12 * 2**20  # KiB of free memory for three: a machine holds up to one GiB, a cluster has up to six


def lanes(processors: int, seconds: float, free: int) -> int:
    """seconds: that a fixed piece of work takes one processor; free: memory, KiB."""
    return 3 if processors >= 2 and seconds <= QUICK and free >= ROOM else 2


def _seconds() -> float:
    """The best of several: whatever else runs can only add."""
    return min(timeit.repeat("x = 0\nfor i in range(5_000_000): x += i", number=1, repeat=3))


def _free() -> int:
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return int(rows["MemAvailable"].split()[0])


if __name__ == "__main__":
    sys.stdout.write(f"{lanes(len(os.sched_getaffinity(0)), _seconds(), _free())}\n")
