"""What kprov refuses before it touches anything, with a message a stranger can act on. One bare machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Make
from lab_cluster import LabCluster

from kprov.artifacts.cache import default_root

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def machine(make_cluster: Make) -> LabCluster:
    return make_cluster("e2e-no", {"one": ["control_plane", "worker"]})


@pytest.fixture
def cluster(machine: LabCluster) -> Iterator[LabCluster]:
    """The machine with its inventory as it was; afterwards nothing may have been touched."""
    kept = machine.inventory.read_text()
    yield machine
    machine.inventory.write_text(kept)
    assert machine.sh("one", "ls /var/lib/kprov/manifest /etc/kubernetes/pki /opt/kprov 2>/dev/null || true") == ""


def host(cluster: LabCluster, **values: Any) -> None:
    cluster.edit(lambda document: document["hosts"]["one"].update(values))


def refused(cluster: LabCluster, *words: str, **options: Any) -> str:
    text = cluster.kprov("up", "--yes", status=1, **options).text
    for word in words:
        assert word in text, text
    assert "Traceback" not in text
    return text


def test_a_host_that_does_not_answer(cluster: LabCluster) -> None:
    host(cluster, address=str(cluster.lab.network[200]))
    refused(cluster, "one", "do:")


def test_a_key_that_is_not_accepted(cluster: LabCluster, tmp_path: Path) -> None:
    import subprocess

    key = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    host(cluster, key=str(key))
    refused(cluster, "root", "stranger")


def test_an_unknown_host_key_and_a_changed_one(cluster: LabCluster) -> None:
    pinned = cluster.lab.machine("one").host_key
    cluster.edit(lambda document: document["hosts"]["one"].pop("host_key"))
    assert "SHA256:" in refused(cluster, "host key")
    kind, body = pinned.split(" ")[:2]
    host(cluster, host_key=f"{kind} {body[:-8]}{body[-8:][::-1]}" if body[-8:] != body[-8:][::-1] else pinned)
    refused(cluster, "host key")


def test_a_user_without_sudo(cluster: LabCluster) -> None:
    cluster.sh(
        "one",
        "useradd -m plain; mkdir -p /home/plain/.ssh; cp /root/.ssh/authorized_keys /home/plain/.ssh/; "
        "chown -R plain:plain /home/plain/.ssh; chmod 700 /home/plain/.ssh",
    )
    host(cluster, user="plain")
    refused(cluster, "sudo")


def test_a_port_that_another_program_has(cluster: LabCluster) -> None:
    cluster.sh("one", "systemd-run --quiet --unit=squatter systemd-socket-activate -l 6443 cat")
    try:
        refused(cluster, "6443", "do:")
    finally:
        cluster.sh("one", "systemctl stop squatter")


def test_data_that_another_etcd_left(cluster: LabCluster) -> None:
    cluster.sh("one", "mkdir -p /var/lib/etcd/member/wal")
    try:
        refused(cluster, "/var/lib/etcd")
    finally:
        cluster.sh("one", "rm -rf /var/lib/etcd/member")


def test_a_kubeconfig_of_another_cluster(cluster: LabCluster) -> None:
    cluster.sh("one", "mkdir -p /etc/kubernetes; touch /etc/kubernetes/kubelet.conf")
    try:
        refused(cluster, "/etc/kubernetes/kubelet.conf")
    finally:
        cluster.sh("one", "rm -rf /etc/kubernetes")


def test_a_disk_that_is_nearly_full(cluster: LabCluster) -> None:
    cluster.sh("one", "mkdir -p /opt && mount -t tmpfs -o size=20m tmpfs /opt")
    try:
        refused(cluster, "/opt", "needed:")
    finally:
        cluster.sh("one", "umount /opt")


def test_two_hosts_that_are_one(cluster: LabCluster) -> None:
    cluster.edit(lambda document: document["hosts"].update({"two": {**document["hosts"]["one"], "groups": ["worker"]}}))
    refused(cluster, "one", "two")


def test_a_damaged_artifact_in_the_cache(cluster: LabCluster, tmp_path: Path) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(default_root(), copy, copy_function=os.link)
    kubelet = next(path for path in copy.rglob("kubelet") if path.is_file() and "1.37" in str(path))
    size = kubelet.stat().st_size
    kubelet.unlink()  # the link, not the file behind it
    kubelet.write_bytes(b"\x7fELF" + b"\0" * (size - 4))
    for twin in copy.rglob("kubelet*.gz"):
        twin.unlink()
    cluster.edit(lambda document: document["cluster"].update({"artifacts": {"source": "modules"}}))
    text = cluster.kprov("up", "--yes", status=None, env={"KPROV_CACHE": str(copy)}).text
    assert "kubelet" in text
    assert "sha256" in text


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\x7fELF\x00\x01\x02\x00" * 9, "text"),
        (b"cluster:\n\tname: x\n", "tab"),
        (BOMB.encode(), "alias"),
        (b"# " + b"x" * 10_000_000, "too large"),
    ],
    ids=["empty", "binary", "tabs", "bomb", "10 MB"],
)
def test_files_that_are_no_inventory(cluster: LabCluster, content: bytes, word: str) -> None:
    cluster.inventory.write_bytes(content)
    refused(cluster, word)


def test_a_folder_is_no_inventory(cluster: LabCluster, tmp_path: Path) -> None:
    kept, cluster.inventory = cluster.inventory, tmp_path
    try:
        refused(cluster, str(tmp_path))
    finally:
        cluster.inventory = kept
