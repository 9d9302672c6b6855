"""`kprov probe`: asks a cluster what its users ask, all the time that a command runs, and counts what they would meet.

What it asks goes through kprov's own connections to the hosts; it prints nothing. What it counts means is judged in
plan/probe_judge.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from kprov.plan.probe_judge import Row
from kprov.run.probe_ground import Ground
from kprov.run.probe_lanes import Bounds, Lanes
from kprov.run.workspace import Workspace


def probe(workspace: Workspace, bounds: Bounds, command: Callable[[], int]) -> tuple[int, tuple[Row, ...]]:
    """Run a command, and ask the cluster meanwhile; returns the command's exit code and what was counted.

    Raises KprovError before the command begins, and where nothing could be read back at its end.
    """
    with ExitStack() as stack:
        ground = Ground(workspace, stack)
        stack.callback(ground.remove)
        ground.prepare()
        lanes = Lanes(ground, bounds)
        lanes.begin()
        try:
            status = command()
        finally:
            lanes.end()
        return status, lanes.rows()
