"""Part 3: a machine loses power while `kprov up` works on it: no half file, and the next run goes on.

QEMU's process is killed: what the machine did not sync is lost as far as QEMU had not written it.
"""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest
from conftest import Say
from lab_cluster import LabCluster, until
from shared_machines import serves

from kprov.lab import machines

pytestmark = pytest.mark.machines

SEED = int(os.environ.get("KPROV_SEED", str(random.randrange(10**6))))  # noqa: S311
CUTS = int(os.environ.get("KPROV_CUTS", "4"))
LATEST = 240.0  # seconds after the begin of a run
SLOW = 600


def cut(begun: LabCluster, seconds: float) -> str:
    """Begins a run and cuts the worker's power after some seconds. Returns what the run said."""
    command = [*begun.command, "up", str(begun.inventory), "--yes"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + seconds
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
    machines.crash(begun.lab.machine("w1"))
    said, _ = running.communicate(timeout=begun.limit)
    machines.start(begun.lab.machine("w1"))
    return said


def test_a_run_goes_on_after_each_power_cut(begun: LabCluster, say: Say) -> None:
    chance = random.Random(SEED)  # noqa: S311
    say(f"power cuts: KPROV_SEED={SEED} KPROV_CUTS={CUTS}")
    for number in range(1, CUTS + 1):
        seconds = chance.uniform(5, LATEST)
        said = cut(begun, seconds)
        say(f"cut {number} after {seconds:.0f} s: {said.strip().splitlines()[-1] if said.strip() else 'nothing said'}")
        # A file of kprov's is whole or not there: what is empty was renamed before it was on the disk.
        empty = begun.sh(
            "w1", "find /etc/kubernetes /etc/systemd/system /opt/kprov/bin -type f -empty 2>/dev/null; true"
        )
        assert empty == "", f"seed {SEED}, cut {number}: {empty}"
    begun.kprov("up", "--yes")
    until(lambda: serves(begun), seconds=SLOW, what="the node")
    assert begun.kprov("plan").status == 0


def test_a_node_that_lost_power_serves_again_by_itself(vm_cluster: LabCluster) -> None:
    machines.crash(vm_cluster.lab.machine("w1"))
    machines.start(vm_cluster.lab.machine("w1"))
    until(lambda: serves(vm_cluster), seconds=SLOW, what="the node")
    vm_cluster.kprov("verify")
