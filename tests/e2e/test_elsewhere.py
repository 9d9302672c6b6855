"""A cluster lives again on other machines with other names and addresses, on another operator's computer, out of one file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyrage
import pytest
from conftest import Make
from lab_cluster import until

pytestmark = [pytest.mark.lab, pytest.mark.long]

NAME = "keep-old"


def taken(make_cluster: Make, folder: Path, key: str) -> Path:
    """A backup of a cluster that is gone when this ends."""
    made = make_cluster(NAME, {"cp1": ["control_plane"], "w1": ["worker"]})
    recipient = str(pyrage.x25519.Identity.from_str(key).to_public())
    made.edit(lambda inventory: inventory["cluster"].update(backup={"recipients": [recipient]}))
    made.kprov("up", "--yes")
    made.kubectl("create", "secret", "generic", "kept", "--from-literal=a=b")
    image = made.load_agnhost()
    made.kubectl("create", "deployment", "web", f"--image={image}", "--replicas=2", "--", "/agnhost", "pause")
    until(lambda: "2/2" in made.kubectl("get", "deployment", "web"), seconds=90, what="pods")
    made.kprov("backup")
    [file] = (made.inventory.parent / ".kprov" / NAME / "backups").glob("*.age")
    made.destroy()
    return Path(shutil.copy(file, folder))


def test_other_machines_with_other_names_take_over_out_of_one_file(make_cluster: Make, tmp_path: Path) -> None:
    secret = str(pyrage.x25519.Identity.generate())
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(secret)
    file = taken(make_cluster, tmp_path, secret)
    cluster = make_cluster("keep-new", {"n1": ["control_plane"], "n2": ["worker"]})
    cluster.edit(lambda inventory: inventory["cluster"].update(name=NAME))
    said = cluster.kprov(f"restore {file}", "--yes", "--identity", str(key)).text
    assert "came back from the backup" in said
    assert "begins again with" in said
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    until(
        lambda: cluster.nodes() == {"n1": True, "n2": True},
        seconds=60,
        what="the nodes of the new machines, and no others",
    )
    cluster.load_agnhost()
    until(lambda: "2/2" in cluster.kubectl("get", "deployment", "web"), seconds=120, what="the Deployment on new nodes")
    addresses = cluster.get("endpointslices", "kubernetes")["endpoints"][0]["addresses"]
    assert addresses == [cluster.lab.machine("n1").address]
    assert "coredns" in cluster.kubectl("-n", "kube-system", "get", "pods")
    assert "nothing to change" in cluster.kprov("plan").stdout
    cluster.kprov("backup")
