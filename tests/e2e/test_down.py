"""`kprov down` gives a machine back as it was, and SSH never notices."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Make
from lab_cluster import LabCluster
from snapshots import assert_same, difference, snapshot

pytestmark = [pytest.mark.lab, pytest.mark.alone]


# All that put files, users, addresses and data on hosts.
ADDONS = dict.fromkeys(("storage", "monitoring", "logging", "node-local-dns"), True)


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    return make_cluster("e2e-down", {"one": ["control_plane", "worker"]}, {"addons": ADDONS})


@contextmanager
def talking(cluster: LabCluster, answers: list[int]) -> Iterator[None]:
    """Keeps one SSH session talking, word and echo by turns, and counts the echoes; fails when one does not come."""
    machine = cluster.lab.machine("one")
    known = cluster.folder / "known_hosts"
    known.write_text(f"{machine.address} {machine.host_key}\n")
    options = ("StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "BatchMode=yes", "ServerAliveInterval=5")
    session = subprocess.Popen(
        [
            *("ssh", "-F", "none", "-i", str(cluster.lab.key)),
            *(word for option in options for word in ("-o", option)),
            *(f"root@{machine.address}", "while read -r word; do echo $word; done"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    enough = threading.Event()
    broken: list[str] = []

    def talk() -> None:
        assert session.stdin is not None
        assert session.stdout is not None
        try:
            while not enough.wait(0.1):
                word = f"word{len(answers)}"
                session.stdin.write(f"{word}\n")
                if (answer := session.stdout.readline()) != f"{word}\n":
                    broken.append(f"{word}: {answer!r}")
                    return
                answers.append(len(answers))
        except OSError as error:
            broken.append(str(error))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(timeout=60)
        session.kill()
        session.wait()
        thread.join()
    assert not broken, f"the SSH session broke: {broken}"


def test_down_is_the_reverse_of_up(cluster: LabCluster) -> None:
    before = snapshot(cluster)
    answers: list[int] = []
    with talking(cluster, answers):
        cluster.kprov("up", "--yes")
        changed = difference(before, snapshot(cluster))
        assert {"files", "contents", "units", "users", "firewall", "routes", "links", "sysctls"} <= changed.keys()
        held = cluster.get("pvc", "-A")["items"]
        assert {item["metadata"]["namespace"] for item in held} == {"monitoring", "logging"}, "there is data"
        heard = len(answers)
        assert heard > 0
        cluster.kprov("down", "--yes")
    assert len(answers) > heard, "the session was silent while the machine was taken down"
    assert_same(before, snapshot(cluster))


def test_a_second_down_has_nothing_to_do(cluster: LabCluster) -> None:
    before = snapshot(cluster)
    cluster.kprov("down", "--yes")
    assert_same(before, snapshot(cluster))
