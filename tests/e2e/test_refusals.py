"""What kprov refuses before it touches anything, with a message a stranger can act on. Two bare machines."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Make
from lab_cluster import LabCluster
from snapshots import assert_same, snapshot

from kprov.artifacts.cache import default_root

pytestmark = [pytest.mark.lab, pytest.mark.alone]


@pytest.fixture(scope="module")
def machine(make_cluster: Make) -> Iterator[LabCluster]:
    """A bare machine. When all tests have been refused on it, nothing on it may differ from what it was."""
    machine = make_cluster("e2e-no", {"one": ["control_plane", "worker"], "two": ["worker"]})
    before = snapshot(machine)
    yield machine
    assert_same(before, snapshot(machine))


@pytest.fixture
def cluster(machine: LabCluster) -> Iterator[LabCluster]:
    """The machines with the inventory of one of them; afterwards nothing of kprov's may be there."""
    kept = machine.inventory.read_text()
    machine.edit(lambda document: document["hosts"].pop("two"))
    yield machine
    machine.inventory.write_text(kept)
    for name in machine.hosts:
        assert machine.sh(name, "ls -d /var/lib/kprov /run/kprov /etc/kubernetes /opt/kprov 2>/dev/null || true") == ""


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
    key = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    host(cluster, key=str(key))
    refused(cluster, "root", "stranger")


def test_an_unknown_host_key(cluster: LabCluster) -> None:
    cluster.edit(lambda document: document["hosts"]["one"].pop("host_key"))
    assert "SHA256:" in refused(cluster, "host key")


def test_a_changed_host_key(cluster: LabCluster) -> None:
    kind, body = cluster.lab.machine("one").host_key.split(" ")[:2]
    other = bytearray(base64.b64decode(body))
    other[-1] ^= 1
    host(cluster, host_key=f"{kind} {base64.b64encode(bytes(other)).decode()}")
    refused(cluster, "one", "host key", "found:", "needed:")


@pytest.fixture
def plain_user(cluster: LabCluster) -> Iterator[str]:
    """A user who gets in by key and may do nothing more; sudo is there and logs what is tried."""
    cluster.sh(
        "one",
        "useradd -m plain; mkdir -p /home/plain/.ssh; cp /root/.ssh/authorized_keys /home/plain/.ssh/; "
        "chown -R plain:plain /home/plain/.ssh; chmod 700 /home/plain/.ssh",
    )
    yield "plain"
    cluster.sh("one", "pkill -KILL -u plain; userdel -rf plain 2> /dev/null; rm -f /etc/sudoers.d/plain", check=False)


def test_a_user_without_sudo(cluster: LabCluster, plain_user: str) -> None:
    host(cluster, user=plain_user)
    refused(cluster, "sudo")


def test_a_wrong_sudo_password_is_tried_once_and_told(cluster: LabCluster, plain_user: str, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.touch(mode=0o600)
    wrong.write_text("not-the-planted-one")
    cluster.sh("one", f"echo '{plain_user}:right' | chpasswd; echo '{plain_user} ALL=(ALL) ALL' > /etc/sudoers.d/plain")
    since = cluster.sh("one", "date +%s").strip()
    host(cluster, user=plain_user, become_password={"file": str(wrong)})
    text = refused(cluster, "one", "sudo", "password")
    assert "not-the-planted-one" not in text
    tried = cluster.sh(
        "one", f"journalctl --no-pager --since @{since} | grep -c 'pam_unix(sudo:auth): authentication fail'"
    )
    assert tried.strip() == "1", "each attempt counts towards a lock-out"


@pytest.mark.parametrize("port", [2379, 6443])
def test_a_port_that_another_program_has(cluster: LabCluster, port: int) -> None:
    cluster.sh("one", f"systemd-run --quiet --unit=squatter systemd-socket-activate -l {port} cat")
    try:
        refused(cluster, str(port), "do:")
    finally:
        cluster.sh("one", "systemctl stop squatter")


def test_data_that_another_etcd_left(cluster: LabCluster) -> None:
    cluster.sh("one", "mkdir -p /var/lib/etcd/member/wal")
    try:
        refused(cluster, "/var/lib/etcd")
    finally:
        cluster.sh("one", "rm -rf /var/lib/etcd/member")


def test_a_kubeconfig_of_another_cluster(cluster: LabCluster) -> None:
    foreign = "apiVersion: v1\nkind: Config\nclusters: [{name: old, cluster: {server: 'https://old.example:6443'}}]\n"
    cluster.sh("one", f'mkdir /etc/kubernetes; printf "%s" "{foreign}" > /etc/kubernetes/kubelet.conf')
    try:
        refused(cluster, "/etc/kubernetes/kubelet.conf")
        assert cluster.sh("one", "cat /etc/kubernetes/kubelet.conf") == foreign
    finally:
        cluster.sh("one", "rm -r /etc/kubernetes")


def test_a_disk_that_is_nearly_full(cluster: LabCluster) -> None:
    cluster.sh("one", "mkdir -p /opt && mount -t tmpfs -o size=20m tmpfs /opt")
    try:
        refused(cluster, "/opt", "needed:")
    finally:
        cluster.sh("one", "umount /opt")


def test_a_disk_that_fills_up_during_the_upload(cluster: LabCluster) -> None:
    """Not a refusal: work had begun. It is told, no half program is in place, and `down` takes away what there is."""
    cluster.sh("one", "mkdir -p /opt && mount -t tmpfs -o size=60m tmpfs /opt")
    try:
        cluster.edit(lambda document: document["cluster"].update({"preflight_ignore": ["DiskSpace"]}))
        told = cluster.kprov("up", "--yes", status=3).text
        assert "No space left on device" in told
        assert "/opt/kprov" in told
        for program in cluster.sh("one", "find /opt/kprov/bin -type f").split():
            cluster.sh("one", f"{program} --version > /dev/null 2>&1 || {program} version > /dev/null 2>&1")
        cluster.kprov("down", "--yes")
    finally:
        cluster.sh("one", "umount /opt")


@pytest.mark.parametrize(
    ("hide", "what_is_seen", "words"),
    [
        ("/usr/bin/apt-get /usr/sbin/haproxy /usr/sbin/nft", "", ("cannot install packages", "debian", "haproxy")),
        ("/proc/sys/kernel/osrelease", "4.14.0-lab", ("kernel is too old", "4.14.0-lab", "4.19")),
        ("/usr/bin/uname", "#!/bin/sh\necho sparc64", ("architecture", "sparc64", "amd64")),
        ("/sys/module /proc/sys/net", "", ("kernel modules", "br_netfilter")),
    ],
    ids=["system", "kernel", "architecture", "kernel module"],
)
def test_a_machine_that_cannot_be_a_node(
    cluster: LabCluster, hide: str, what_is_seen: str, words: tuple[str, ...]
) -> None:
    """The machine's own files are covered by others: its kernel is this computer's and cannot be another."""
    with covered(cluster, hide.split(), what_is_seen):
        refused(cluster, *words)


@contextmanager
def covered(cluster: LabCluster, paths: Sequence[str], content: str) -> Iterator[None]:
    """What is at these paths of the machine is hidden: behind an empty folder, or a file with this content."""
    cluster.sh("one", f"cat > /run/cover <<'END'\n{content}\nEND\n[ -z '{content}' ] || chmod 755 /run/cover")
    mounted = []
    try:
        for path in paths:
            cluster.sh(
                "one",
                f"if [ -d {path} ]; then mount -t tmpfs tmpfs {path}; "
                f"elif [ -e {path} ]; then mount --bind /run/cover {path}; else exit 0; fi",
            )
            mounted.append(path)
        yield
    finally:
        for path in mounted:
            cluster.sh("one", f"umount {path}", check=False)
        cluster.sh("one", "rm /run/cover")


def test_swap_that_kubelet_may_not_see(cluster: LabCluster) -> None:
    cluster.edit(lambda document: document["cluster"].update(swap="keep", kubelet={"failSwapOn": True}))
    swaps = "Filename Type Size Used Priority\n/dev/sdz1 partition 1048572 0 -2"
    with covered(cluster, ["/proc/swaps"], swaps):
        refused(cluster, "swap", "failSwapOn")


def test_two_machines_of_one_hostname(cluster: LabCluster) -> None:
    second = cluster.lab.machine("two")
    cluster.edit(
        lambda document: document["hosts"].update(
            {
                "two": {
                    **document["hosts"]["one"],
                    "address": str(second.address),
                    "host_key": second.host_key,
                    "groups": ["worker"],
                }
            }
        )
    )
    cluster.sh("two", "hostname one")
    try:
        refused(cluster, "one", "two", "hostname")
    finally:
        cluster.sh("two", "hostname two")


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
    refused(cluster, "kubelet", "sha256", env={"KPROV_CACHE": str(copy)})


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
