"""Part 4: one machine's clock is wrong: preflight says which one, and a node whose clock goes wrong later is found."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from lab_cluster import LabCluster, until
from shared_machines import serves

from kprov.lab import machines

pytestmark = pytest.mark.machines

SLOW = 600
WRONG = {
    "ten minutes ahead": timedelta(minutes=10),
    "ten minutes behind": timedelta(minutes=-10),
    "a year ahead": timedelta(days=365),
}


def set_clock(cluster: LabCluster, ahead: timedelta) -> None:
    """Sets the clock of the running machine, as somebody does by hand; its hardware clock stays as it is."""
    cluster.sh("w1", f"date -s @{time.time() + ahead.total_seconds():.0f}")


def boot_with_clock(cluster: LabCluster, ahead: timedelta) -> None:
    machine = cluster.lab.machine("w1")
    machines.stop(machine)
    machines.start(machine, clock=ahead)


@pytest.mark.parametrize("ahead", WRONG.values(), ids=WRONG.keys())
def test_a_machine_whose_clock_is_wrong_is_named_and_nothing_is_changed(
    untouched: LabCluster, ahead: timedelta
) -> None:
    set_clock(untouched, ahead)
    try:
        ran = untouched.kprov("up", "--yes", status=None)
    finally:
        set_clock(untouched, timedelta())
    assert ran.status != 0
    assert "the host's clock is wrong" in ran.text
    seconds = abs(round(ahead.total_seconds()))
    side = "ahead of" if ahead > timedelta() else "behind"
    assert any(f"{seconds + slip} s {side} the other machines" in ran.text for slip in range(-20, 21)), ran.text
    assert untouched.sh("w1", "ls /etc/kubernetes 2>/dev/null; true") == ""


def test_a_node_whose_clock_goes_wrong_later_is_found_and_comes_back(vm_cluster: LabCluster) -> None:
    """It boots with a wrong hardware clock; that clock is set right while it runs, and nothing is started by hand."""
    boot_with_clock(vm_cluster, timedelta(days=2 * 365))
    until(lambda: not vm_cluster.nodes()["w1"], seconds=SLOW, what="a node that is not Ready")
    told = vm_cluster.kprov("status", status=None).text
    assert "clock" in told, told
    set_clock(vm_cluster, timedelta())
    until(lambda: serves(vm_cluster), seconds=SLOW, what="the node")
    vm_cluster.kprov("verify")
