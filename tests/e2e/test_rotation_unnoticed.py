"""CAs and keys of three control planes are replaced while a cluster's users ask it, and they meet nothing."""

from __future__ import annotations

import json

import pytest
from conftest import Make, Say
from lab_cluster import KPROV, LabCluster

pytestmark = [pytest.mark.lab, pytest.mark.long]


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("unnoticed", {f"cp{number}": ["control_plane", "worker"] for number in (1, 2, 3)})
    made.kprov("up", "--yes")
    return made


@pytest.mark.parametrize("kind", ["etcd", "front-proxy", "encryption"])
def test_a_rotation_is_not_noticed(cluster: LabCluster, say: Say, kind: str) -> None:
    step = [str(KPROV), "certs", "rotate", str(cluster.inventory), kind, "--yes"]
    ran = cluster.kprov("probe", "--rate", "5", "--json", "--", *step, status=None)
    told = json.loads(ran.stdout)
    for row in told["probe"]:
        say(
            f"{kind}, {row['kind']}: {row['requests']} requests, {row['retries']} retries, {row['failures']} failures,"
            f" longest gap {row['longest_gap_seconds']} s, {row['lost']} lost"
        )
    assert told["command"] == 0, ran.stderr[-4000:]
    assert told["faults"] == []
