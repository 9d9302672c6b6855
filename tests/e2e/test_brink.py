"""A cluster comes back when every leaf of it has expired, by `up` over SSH alone; and after its state folder is lost.

One control plane and one worker.
"""

from __future__ import annotations

import json
from pathlib import Path

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
    image = made.load_agnhost()
    made.kubectl("run", "mine", f"--image={image}", "--image-pull-policy=Never", "--", "pause")
    until(lambda: workload(made), seconds=90, what="a pod")
    return made


def workload(cluster: LabCluster) -> str:
    """The container of a pod that is nobody's but the user's."""
    [status] = cluster.get("pod", "mine")["status"]["containerStatuses"]
    assert status["ready"]
    return str(status["containerID"])


def well(cluster: LabCluster) -> None:
    until(lambda: all(cluster.nodes().values()), seconds=60, what="all nodes Ready")
    assert "nothing to change" in cluster.kprov("plan").stdout


def test_a_cluster_whose_every_leaf_has_expired_comes_back_by_up(cluster: LabCluster) -> None:
    container = workload(cluster)
    assert len(expire(cluster)) > 10
    assert "has ended" in cluster.kprov("status", status=1).text
    cluster.kprov("up", "--yes")
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert workload(cluster) == container
    well(cluster)


def test_a_backup_from_before_a_rotation_of_keys_is_restored_and_written_anew(cluster: LabCluster) -> None:
    """Its Secrets are encrypted by a key that is no more, and it is encrypted for one that has been replaced."""
    made = json.loads(cluster.kprov("backup", "--json").stdout)
    for kind in ("encryption", "backups"):
        assert "replaced" in cluster.kprov("certs rotate", kind, "--yes").text
    cluster.kubectl("create", "secret", "generic", "later", "--from-literal=a=b")
    container = workload(cluster)
    assert "the Secret" in cluster.kprov(f"backup verify {made['path']}").text
    cluster.kprov(f"restore {made['path']}", "--yes")
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert "later" not in cluster.kubectl("get", "secrets")
    assert "rotation of the encryption key: phase issue" in cluster.kprov("status", status=None).text
    assert "the encryption key: replaced" in cluster.kprov("certs rotate", "--yes").text
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert workload(cluster) == container
    well(cluster)


def test_a_lost_state_folder_is_read_back_from_the_hosts_and_the_cluster_goes_on(
    cluster: LabCluster, tmp_path: Path
) -> None:
    folder = cluster.inventory.parent / ".kprov" / cluster.lab.name
    folder.rename(tmp_path / "gone")
    container = workload(cluster)
    refused = cluster.kprov("up", "--yes", status=1).text
    assert "kprov adopt" in refused
    told = cluster.kprov("status", status=1).stdout
    assert "(StateFolder)" in told
    assert "kprov adopt" in told
    before = cluster.main_pids("w1"), cluster.main_pids("cp1")
    said = cluster.kprov("adopt", "--yes").stdout
    assert "members of etcd: cp1" in said
    assert "its private key is lost" in said
    assert (cluster.main_pids("w1"), cluster.main_pids("cp1")) == before, "no host is changed"
    assert "never replaced" in cluster.kprov("adopt", "--yes", status=1).text
    said = cluster.kprov("up", "--yes").text
    assert "go on with `kprov certs rotate INVENTORY`" in said
    assert "replaced; the old one is accepted nowhere" in cluster.kprov("certs rotate", "--yes", "--now").text
    (cluster.folder / "admin.conf").unlink(missing_ok=True)
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert workload(cluster) == container, "workloads go on"
    well(cluster)
    cluster.kprov("backup")
    # The folder of before is an older copy by now: nothing may be done with it.
    said = cluster.kprov("up", "--yes", "--state-dir", str(tmp_path / "gone"), status=1).text
    assert "a copy from before its CAs were replaced" in said


def test_folder_and_certificates_are_gone_and_new_cas_issue_at_once(cluster: LabCluster, tmp_path: Path) -> None:
    container = workload(cluster)
    assert len(expire(cluster)) > 10
    (cluster.inventory.parent / ".kprov" / cluster.lab.name).rename(tmp_path / "gone")
    assert "issued by the new CAs at once" in cluster.kprov("adopt", "--yes").stdout
    cluster.kprov("up", "--yes")
    (cluster.folder / "admin.conf").unlink(missing_ok=True)
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert workload(cluster) == container
    well(cluster)
