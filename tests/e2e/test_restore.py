"""A cluster comes back after most of its members are gone, after all are, without a host that is away; wherever it is cut
off; and when all its certificates have ended. Three control planes and a worker, whose containers go on meanwhile.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Make, Say
from expired import expire
from lab_cluster import LabCluster, until

from kprov.lab import machines
from kprov.values.errors import LabError

pytestmark = [pytest.mark.lab, pytest.mark.long]

PLANES = ("cp1", "cp2", "cp3")
LOSE = "systemctl stop etcd; rm -rf /var/lib/etcd/member"
KILLS = 10
LONGEST = 40.0  # seconds; a restore that is killed later than this has ended


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("restore", {**{name: ["control_plane"] for name in PLANES}, "w1": ["worker"]})
    made.kprov("up", "--yes")
    made.kprov("backup")
    return made


def restore(cluster: LabCluster, file: str, *arguments: str, status: int | None = 0) -> str:
    return cluster.kprov(f"restore {file}".strip(), "--yes", *arguments, status=status).text


def revision(cluster: LabCluster, name: str) -> int:
    return int(cluster.get("configmap", name)["metadata"]["resourceVersion"])


def make(cluster: LabCluster, name: str) -> int:
    cluster.kubectl("create", "configmap", name, "--from-literal=a=b")
    return revision(cluster, name)


def well(cluster: LabCluster) -> None:
    until(lambda: all(cluster.nodes().values()), seconds=60, what="all nodes Ready")
    assert "nothing to change" in cluster.kprov("plan").stdout


def test_the_member_that_is_left_makes_a_cluster_again_and_nothing_it_has_is_lost(cluster: LabCluster) -> None:
    newest = make(cluster, "newest")
    pids = cluster.main_pids("w1")
    for name in ("cp1", "cp2"):
        cluster.sh(name, LOSE)
    said = cluster.kprov("status", status=1).stdout
    assert "no quorum" in said
    assert "kprov restore --from-member cp3 INVENTORY" in said
    assert "kprov restore --from-member cp3 INVENTORY" in cluster.kprov("up", "--yes", status=1).text
    assert "no etcd member answers" in cluster.kprov("backup", status=1).text
    assert "no etcd member with data on cp1" in restore(cluster, "", "--from-member", "cp1", status=1)
    restore(cluster, "", "--from-member", "cp3")
    assert revision(cluster, "newest") == newest
    assert make(cluster, "next") > newest
    assert cluster.main_pids("w1") == pids
    well(cluster)


def test_all_data_is_gone_and_a_restore_that_is_killed_goes_on(cluster: LabCluster, say: Say, tmp_path: Path) -> None:
    seed = int(time.time())
    say(f"killed by seed {seed}")
    chance = random.Random(seed)  # noqa: S311 (moments, not keys)
    before = make(cluster, "kept")
    cluster.kprov("backup")
    for name in PLANES:
        cluster.sh(name, "systemctl stop etcd; rm -rf /var/lib/etcd/*")
    assert "restore latest" in cluster.kprov("up", "--yes", status=1).text
    for number in range(KILLS):
        with (tmp_path / str(number)).open("wb") as log:
            words = [*cluster.command, "restore", "latest", str(cluster.inventory), "--yes"]
            with subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as process:
                try:
                    process.wait(chance.uniform(3, LONGEST))
                    say(f"number {number} ended by itself")
                    break
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
    restore(cluster, "latest")
    assert revision(cluster, "kept") == before
    assert make(cluster, "after") > before
    assert not (cluster.inventory.parent / ".kprov" / "restore" / "restore.json").exists()
    well(cluster)


def test_a_host_that_is_away_is_brought_in_later(cluster: LabCluster) -> None:
    cluster.kprov("backup")
    machines.stop(cluster.lab.machine("cp1"))
    assert "--without cp1" in restore(cluster, "latest", status=1)
    restore(cluster, "latest", "--without", "cp1")
    with suppress(LabError):  # its etcd finds no quorum, and systemd waits for it longer than the lab does
        machines.start(cluster.lab.machine("cp1"))
    cluster.kprov("up", "--yes")
    listed = cluster.sh("cp1", "ls /var/lib/etcd").split()
    assert "member" in listed
    assert any(name.startswith("before-") for name in listed)
    assert cluster.kprov("status").stdout.count("\netcd ") == len(PLANES)
    well(cluster)


def test_three_control_planes_whose_every_leaf_has_expired_come_back_by_up(cluster: LabCluster) -> None:
    newest = make(cluster, "before-the-end")
    assert len(expire(cluster)) > 30
    assert "has ended" in cluster.kprov("status", status=1).text
    cluster.kprov("up", "--yes")
    assert revision(cluster, "before-the-end") == newest
    well(cluster)


def test_a_backup_is_taken_before_a_member_leaves(cluster: LabCluster) -> None:
    said = cluster.kprov("down", "--limit", "cp3", "--yes").text
    assert "backup before cp3 leaves etcd: " in said
    assert "before cp3 leaves etcd" in cluster.kprov("backup list").stdout
