"""Part 4: one machine's clock is wrong: preflight says which one, and a node whose clock goes wrong later is found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from lab_cluster import LabCluster, until

from kprov.lab import machines
from kprov.lab.layout import VmSize

pytestmark = pytest.mark.machines

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
SLOW = 600
WRONG = {
    "ten minutes ahead": timedelta(minutes=10),
    "ten minutes behind": timedelta(minutes=-10),
    "a year ahead": timedelta(days=365),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    folder = tmp_path_factory.mktemp("vm4")
    made = LabCluster("vm-clock", folder, HOSTS, suite="trixie", vms={"w1": VmSize()})
    yield made
    made.destroy()


def with_clock(cluster: LabCluster, ahead: timedelta) -> None:
    machine = cluster.lab.machine("w1")
    machines.stop(machine)
    machines.start(machine, clock=ahead)


@pytest.mark.parametrize("ahead", WRONG.values(), ids=WRONG.keys())
def test_a_machine_whose_clock_is_wrong_is_named_and_nothing_is_changed(cluster: LabCluster, ahead: timedelta) -> None:
    with_clock(cluster, ahead)
    ran = cluster.kprov("up", "--yes", status=None)
    assert ran.status != 0
    assert "the host's clock is wrong" in ran.text
    seconds = abs(round(ahead.total_seconds()))
    side = "ahead of" if ahead > timedelta() else "behind"
    assert any(f"{seconds + slip} s {side} the other machines" in ran.text for slip in range(-20, 21)), ran.text
    assert cluster.sh("w1", "ls /etc/kubernetes 2>/dev/null; true") == ""


def test_a_node_whose_clock_goes_wrong_later_is_found_and_comes_back(cluster: LabCluster) -> None:
    with_clock(cluster, timedelta())
    cluster.kprov("up", "--yes")
    with_clock(cluster, timedelta(days=2 * 365))
    until(lambda: not cluster.nodes()["w1"], seconds=SLOW, what="a node that is not Ready")
    told = cluster.kprov("status", status=None).text
    assert "clock" in told, told
    with_clock(cluster, timedelta())
    until(lambda: cluster.nodes()["w1"], seconds=SLOW, what="the node")
    cluster.kprov("verify")
