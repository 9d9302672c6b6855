"""A node on a machine that has real Docker, podman, a web server and more already: refused while it cannot be, and otherwise
nothing of theirs is touched by `up`, `down` of the node, and `down` of the cluster. Long: packages are installed."""

from __future__ import annotations

from collections.abc import Iterator

import neighbours
import pytest
from lab_cluster import LabCluster, until
from snapshots import assert_same, snapshot

pytestmark = [pytest.mark.lab, pytest.mark.long]

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    made = LabCluster("e2e-foreign", tmp_path_factory.mktemp("foreign"), HOSTS)
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def packaged(cluster: LabCluster) -> LabCluster:
    """Docker on the distribution's containerd.service, with a container."""
    cluster.sh("w1", f"set -e\n{neighbours.PACKAGED}")
    return cluster


@pytest.fixture(scope="module")
def settled(packaged: LabCluster) -> LabCluster:
    """Docker with a containerd of its own, and all the others."""
    packaged.sh("w1", f"set -e\n{neighbours.STATIC}")
    until(lambda: "web" in packaged.sh("w1", "docker ps"), seconds=60, what="Docker runs its container again")
    packaged.sh("w1", f"set -e\n{neighbours.OTHERS}")
    return packaged


def seen(cluster: LabCluster) -> dict[str, set[str]]:
    """All but the kernel's settings, which machines of a lab share, and podman.service, which ends when nobody asks it."""
    found = {name: lines for name, lines in snapshot(cluster, "w1").items() if name != "sysctls"}
    return {**found, "running services": found["running services"] - {"podman.service"}}


def test_docker_on_a_packaged_containerd_is_named_and_left_alone(packaged: LabCluster) -> None:
    running = "docker inspect -f '{{.State.Pid}}' web"
    process, before = packaged.sh("w1", running), snapshot(packaged, "w1")
    told = packaged.kprov("up", "--yes", status=1).text
    assert "there is a containerd.service that is not kprov's" in told
    packaged.kprov("down", "--yes")
    assert packaged.sh("w1", running) == process
    assert_same(before, snapshot(packaged, "w1"))


def test_pods_pass_dockers_firewall_and_what_was_there_goes_on_beside_the_node(settled: LabCluster) -> None:
    """Where Docker turns forwarding on, it lets nothing pass but its own packets; kprov's rules let pods' pass."""
    settled.sh("w1", "iptables -P FORWARD DROP")  # machines of one kernel forward already, so that Docker did not
    before, asked = seen(settled), neighbours.answers(settled, "w1")
    settled.kprov("up", "--yes")
    settled.kprov("verify")
    assert settled.kprov("plan").status == 0
    assert neighbours.answers(settled, "w1") == asked, "beside the node"
    settled.kprov("down", "--yes", "--limit", "w1")
    assert neighbours.answers(settled, "w1") == asked, "the node is gone"
    assert_same(before, seen(settled))


def test_a_node_that_comes_and_goes_with_its_cluster_takes_nothing_along(settled: LabCluster) -> None:
    before, asked = seen(settled), neighbours.answers(settled, "w1")
    settled.kprov("up", "--yes")
    assert neighbours.answers(settled, "w1") == asked
    settled.kprov("down", "--yes")
    assert neighbours.answers(settled, "w1") == asked
    assert_same(before, seen(settled))
