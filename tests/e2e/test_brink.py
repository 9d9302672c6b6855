"""A cluster comes back when every leaf of it has expired, by `up` over SSH alone; and after its state folder is lost.

One control plane and one worker.
"""

from __future__ import annotations

import pytest
from conftest import Make
from expired import expire
from lab_cluster import LabCluster, until

pytestmark = [pytest.mark.lab, pytest.mark.long]


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("keep-brink", {"cp1": ["control_plane"], "w1": ["worker"]})
    made.kprov("up", "--yes")
    made.kubectl("create", "secret", "generic", "kept", "--from-literal=a=b")
    return made


def well(cluster: LabCluster) -> None:
    until(lambda: all(cluster.nodes().values()), seconds=60, what="all nodes Ready")
    assert "nothing to change" in cluster.kprov("plan").stdout


def test_a_cluster_whose_every_leaf_has_expired_comes_back_by_up(cluster: LabCluster) -> None:
    containers = cluster.sh("w1", "/opt/kprov/bin/crictl ps -q").split()
    assert len(expire(cluster)) > 10
    assert "expired" in cluster.kprov("status", status=1).text
    cluster.kprov("up", "--yes")
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert cluster.sh("w1", "/opt/kprov/bin/crictl ps -q").split() == containers
    well(cluster)
