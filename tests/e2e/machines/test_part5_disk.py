"""Part 5: a machine's disk is full, or read-only after an error: what kprov says of it, and that the node comes back."""

from __future__ import annotations

import pytest
from lab_cluster import LabCluster, until
from shared_machines import serves

from kprov.lab import machines

pytestmark = pytest.mark.machines

SLOW = 600


def test_a_disk_that_is_too_full_is_refused_before_anything_is_changed(untouched: LabCluster) -> None:
    untouched.sh("w1", "fallocate -l $(($(stat -f -c '%a * %S' /) - 100000000)) /full")
    try:
        ran = untouched.kprov("up", "--yes", status=None)
    finally:
        untouched.sh("w1", "rm /full")
    assert ran.status != 0
    assert "MiB free of" in ran.text
    assert untouched.sh("w1", "ls /etc/kubernetes 2>/dev/null; true") == ""


def test_a_disk_that_fills_up_later_is_told_and_given_back(vm_cluster: LabCluster) -> None:
    def pressure() -> str:
        conditions = vm_cluster.get("node", "w1")["status"]["conditions"]
        return next(one["status"] for one in conditions if one["type"] == "DiskPressure")

    vm_cluster.sh("w1", "fallocate -l $(($(stat -f -c '%a * %S' /) - 50000000)) /full")
    until(lambda: pressure() == "True", seconds=SLOW, what="disk pressure")
    told = vm_cluster.kprov("status", status=None).text
    assert "DiskPressure" in told or "disk" in told, told
    vm_cluster.sh("w1", "rm /full")
    until(lambda: pressure() == "False", seconds=SLOW, what="the end of disk pressure")


def test_a_disk_that_became_read_only_is_told_with_what_to_do(vm_cluster: LabCluster) -> None:
    """The kernel does to itself what ext4 does after an error."""
    vm_cluster.sh("w1", "echo u > /proc/sysrq-trigger; sleep 5; touch /nothing 2>&1 | grep -q Read-only")
    ran = vm_cluster.kprov("up", "--yes", status=None)
    assert ran.status != 0
    assert "read-only" in ran.text, ran.text
    machines.crash(vm_cluster.lab.machine("w1"))
    machines.start(vm_cluster.lab.machine("w1"))
    until(lambda: serves(vm_cluster), seconds=SLOW, what="the node")
    vm_cluster.kprov("up", "--yes")
    vm_cluster.kprov("verify")
