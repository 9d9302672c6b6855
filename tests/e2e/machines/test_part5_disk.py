"""Part 5: a machine's disk is full, or read-only after an error: what kprov says of it, and that the node comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_cluster import LabCluster, until

from kprov.lab import machines
from kprov.lab.layout import VmSize

pytestmark = pytest.mark.machines

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
SLOW = 600


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    folder = tmp_path_factory.mktemp("vm5")
    made = LabCluster("vm-disk", folder, HOSTS, suite="trixie", vms={"w1": VmSize(disk=6)})
    yield made
    made.destroy()


def test_a_disk_that_is_too_full_is_refused_before_anything_is_changed(cluster: LabCluster) -> None:
    cluster.sh("w1", "fallocate -l $(($(stat -f -c '%a * %S' /) - 100000000)) /full")
    ran = cluster.kprov("up", "--yes", status=None)
    assert ran.status != 0
    assert "MiB free of" in ran.text
    assert cluster.sh("w1", "ls /etc/kubernetes 2>/dev/null; true") == ""
    cluster.sh("w1", "rm /full")
    cluster.kprov("up", "--yes")


def test_a_disk_that_fills_up_later_is_told_and_given_back(cluster: LabCluster) -> None:
    def pressure() -> str:
        conditions = cluster.get("node", "w1")["status"]["conditions"]
        return next(one["status"] for one in conditions if one["type"] == "DiskPressure")

    cluster.sh("w1", "fallocate -l $(($(stat -f -c '%a * %S' /) - 50000000)) /full")
    until(lambda: pressure() == "True", seconds=SLOW, what="disk pressure")
    told = cluster.kprov("status", status=None).text
    assert "DiskPressure" in told or "disk" in told, told
    cluster.sh("w1", "rm /full")
    until(lambda: pressure() == "False", seconds=SLOW, what="the end of disk pressure")


def test_a_disk_that_became_read_only_is_told_with_what_to_do(cluster: LabCluster) -> None:
    """The kernel does to itself what ext4 does after an error."""
    cluster.sh("w1", "echo u > /proc/sysrq-trigger; sleep 5; touch /nothing 2>&1 | grep -q Read-only")
    ran = cluster.kprov("up", "--yes", status=None)
    assert ran.status != 0
    assert "read-only" in ran.text, ran.text
    machines.crash(cluster.lab.machine("w1"))
    machines.start(cluster.lab.machine("w1"))
    until(lambda: cluster.nodes()["w1"], seconds=SLOW, what="the node")
    cluster.kprov("up", "--yes")
    cluster.kprov("verify")
