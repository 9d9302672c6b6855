"""Packages on hosts as people have them: locks held by others, sources that are broken, services that must not start."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest
from apply_room import Room
from test_session import until

from kprov.apply import wire
from kprov.apply.batch import Batch, stream
from kprov.apply.scripts import APPLY_COMMAND

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

MASK = "/run/systemd/system/haproxy.service"
HOLD = """
import fcntl, os, sys
os.makedirs("/var/lib/dpkg", exist_ok=True)
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def package(name: str = "haproxy") -> Batch:
    batch = Batch()
    operation = wire.Package(name=name, command=f"no-such-{name}", service=f"{name}.service", manager="apt")
    batch.add(f"package {name}", operation)
    return batch


@pytest.fixture
def apt(room: Room) -> Room:
    """A room where apt-get does what stands in /srv/NAME-OF-ITS-COMMAND, and says what it was called with."""
    room.stub("systemctl", "true")
    room.stub("dpkg-query", "true")
    room.stub(
        "apt-get",
        'echo "$*" >> /srv/calls; env > /srv/environment; ls -l /run/systemd/system > /srv/masked 2>&1\n'
        'for word; do [ ! -f "/srv/$word" ] || { . "/srv/$word"; exit; }; done',
    )
    return room


def does(room: Room, command: str, script: str) -> None:
    done = room.sh(f"cat > /srv/{command}", script.encode())
    assert done.returncode == 0


def notes(rows: list[list[str]]) -> list[str]:
    return [base64.b64decode(row[2]).decode() for row in rows if row[0] == "note"]


def test_a_service_is_masked_only_while_its_package_is_installed(apt: Room) -> None:
    assert apt.apply(package())[-1][0] == "done"
    assert "haproxy.service -> /dev/null" in apt.text("cat /srv/masked")
    assert apt.sh(f"[ -L {MASK} ]").returncode == 1
    assert "update" not in apt.text("cat /srv/calls")


def test_systemd_reads_its_units_once_when_the_package_is_there_and_not_for_each_of_its_scripts(apt: Room) -> None:
    apt.stub("systemctl", f'echo "$*; ${{SYSTEMD_OFFLINE-}}; $([ -L {MASK} ] && echo masked)" >> /srv/systemctl')
    assert apt.apply(package())[-1][0] == "done"
    assert "SYSTEMD_OFFLINE=1" in apt.text("cat /srv/environment").splitlines()
    said = apt.text("cat /srv/systemctl").splitlines()
    assert said == ["disable -q haproxy.service; 1; ", "daemon-reload; ; "]


def test_systemd_reads_its_units_after_a_package_that_failed(apt: Room) -> None:
    apt.stub("systemctl", 'echo "$*" >> /srv/systemctl')
    does(apt, "install", "exit 100")
    assert apt.apply(package())[-1][0] == "fail"
    assert apt.text("cat /srv/systemctl").splitlines() == ["daemon-reload"]


def test_a_package_that_cannot_be_had_is_told_by_its_cause_and_nothing_stays_masked(apt: Room) -> None:
    does(
        apt,
        "install",
        "echo 'Get:1 http://mirror trixie InRelease'; echo 'E: Unable to locate package haproxy'; exit 100",
    )
    does(
        apt,
        "update",
        "echo 'Get:1 http://mirror'; echo 'E: The repository http://broken has no Release file.'; exit 100",
    )
    row = apt.apply(package())[-1]
    assert row[0] == "fail"
    assert row[2].splitlines()[0] == "cannot install the package haproxy: E: Unable to locate package haproxy"
    assert "E: The repository http://broken has no Release file." in row[2]
    assert apt.sh(f"[ -L {MASK} ]").returncode == 1
    assert apt.text("ls /run/kprov") == ""


def test_a_broken_source_does_not_stand_in_the_way(apt: Room) -> None:
    does(apt, "install", "[ -e /srv/fetched ] || { echo 'E: Unable to locate package haproxy'; exit 100; }")
    does(apt, "update", "touch /srv/fetched; echo 'E: The repository http://broken has no Release file.'; exit 100")
    assert apt.apply(package())[-1][0] == "done"


def test_a_mask_that_a_killed_apply_left_is_taken_away_and_an_administrators_stays(apt: Room) -> None:
    apt.text(
        f"mkdir -p /run/systemd/system /run/kprov; ln -s /dev/null {MASK}; touch /run/kprov/masked.haproxy.service"
    )
    apt.text("ln -s /dev/null /run/systemd/system/theirs.service")
    assert apt.apply(Batch())[-1][0] == "done"
    assert apt.sh(f"[ -L {MASK} ]").returncode == 1
    assert apt.apply(package("theirs"))[-1][0] == "done"
    assert apt.sh("[ -L /run/systemd/system/theirs.service ]").returncode == 0


def test_a_lock_of_somebody_else_is_waited_for_and_told(apt: Room) -> None:
    does(apt, "install", "[ ! -e /srv/busy ] || { echo 'E: Could not get lock'; exit 100; }")
    does(apt, "update", "exit 100")
    apt.text("touch /srv/busy")
    entered = ["nsenter", "-t", str(apt.pid), "-m", "-p", sys.executable, "-c", HOLD]
    with subprocess.Popen(entered, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        applied = subprocess.Popen(
            ["nsenter", "-t", str(apt.pid), "-m", "-p", "sh", "-c", APPLY_COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert applied.stdin is not None
        assert applied.stdout is not None
        applied.stdin.write(b"".join(stream(package(), "g1")))
        applied.stdin.close()
        rows = [applied.stdout.readline().decode().rstrip("\n").split("\t")]  # comes while it waits
        assert "python" in notes(rows)[0]
        assert "holds the lock" in notes(rows)[0]
        apt.text("rm /srv/busy")
        holder.stdin.close()
        rows += [line.decode().rstrip("\n").split("\t") for line in applied.stdout]
        applied.wait()
    assert rows[-1][0] == "done"
    assert len(notes(rows)) == 1
    assert until(lambda: apt.sh(f"[ -L {MASK} ]").returncode == 1)


def test_what_fetches_from_the_internet_has_the_hosts_proxy_back(apt: Room) -> None:
    proxy = "export http_proxy=http://proxy.invalid:3128 no_proxy='*' NO_PROXY='*' KPROV_NO_PROXY=mirror.internal; "
    done = apt.sh(proxy + APPLY_COMMAND, b"".join(stream(package(), "g1")))
    assert b"done" in done.stdout
    environment = apt.text("cat /srv/environment").splitlines()
    assert "http_proxy=http://proxy.invalid:3128" in environment
    assert "no_proxy=mirror.internal" in environment
    assert "NO_PROXY=mirror.internal" in environment


def test_a_package_that_stays_is_not_told_as_gone(apt: Room) -> None:
    does(apt, "purge", "echo 'E: dpkg was interrupted, you must manually run dpkg --configure -a'; exit 100")
    apt.text("mkdir -p /var/lib/kprov/before; echo haproxy > /var/lib/kprov/before/package.haproxy")
    batch = Batch()
    batch.add("package haproxy", wire.RemovePackage(name="haproxy", before="absent", manager="apt"))
    row = apt.apply(batch)[-1]
    assert row[0] == "fail"
    assert "dpkg was interrupted" in row[2].splitlines()[0]


def test_a_gate_that_fails_names_what_somebody_set_beside_kprovs_unit(room: Room) -> None:
    drop_in = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
    room.stub("systemctl", f'case "$*" in *DropInPaths*) echo {drop_in} ;; is-active*) exit 3 ;; esac')
    room.stub("journalctl", "true")
    batch = Batch()
    batch.add(
        "unit kubelet.service: active",
        wire.Gate(unit="kubelet.service", kind="active", seconds=1, argument="kubelet.service"),
    )
    row = room.apply(batch)[-1]
    assert row[0] == "fail"
    assert f"settings beside kprov's: {drop_in}" in row[2]


def begun() -> Batch:
    batch = Batch()
    batch.know(("package", "haproxy"), "haproxy-made")
    batch.add("packages", wire.BeginPackages(manager="apt", packages=("haproxy:haproxy-made:haproxy.service",)))
    return batch


def waited_for() -> Batch:
    batch = Batch()
    operation = wire.Package(name="haproxy", command="haproxy-made", service="haproxy.service", manager="apt")
    batch.add("package haproxy", operation)
    return batch


def installs(room: Room, *, status: int = 0) -> None:
    """Takes until /srv/go is there."""
    room.stub("dpkg-query", 'echo base; [ ! -e /srv/installed ] || printf "haproxy\\nliblua\\n"')
    does(
        room,
        "install",
        f"until [ -e /srv/go ]; do sleep 0.05; done; [ {status} = 0 ] || {{ echo 'E: no'; exit {status}; }}\n"
        "touch /srv/installed; printf '#!/bin/sh\\n' > /usr/local/sbin/haproxy-made; chmod 755 /usr/local/sbin/haproxy-made",
    )


def calls(room: Room) -> list[str]:
    return [line for line in room.text("cat /srv/calls").splitlines() if "install" in line]


def test_packages_are_installed_beside_what_comes_next_and_waited_for_where_they_are_needed(apt: Room) -> None:
    installs(apt)
    assert apt.apply(begun())[-1][0] == "done"
    assert until(lambda: apt.sh(f"[ -L {MASK} ]").returncode == 0), "its service is masked, though the exec has ended"
    assert apt.apply(begun())[-1][0] == "done", "a second one does not wait, and does not unmask"
    assert apt.sh(f"[ -L {MASK} ]").returncode == 0
    apt.text("(sleep 0.5; touch /srv/go) > /dev/null 2>&1 &")
    assert apt.apply(waited_for())[-1][0] == "done"
    assert len(calls(apt)) == 1
    assert apt.sh(f"[ -L {MASK} ]").returncode == 1
    assert apt.text("cat /var/lib/kprov/before/package.haproxy") == "haproxy\nliblua\n"
    assert apt.text("cut -f 1-3,5 /var/lib/kprov/ledger") == "package\thaproxy\thaproxy-made\tabsent\n"


def test_what_was_not_installed_beside_is_installed_where_it_is_needed(apt: Room) -> None:
    installs(apt, status=100)
    apt.text("touch /srv/go")
    assert apt.apply(begun())[-1][0] == "done"
    row = apt.apply(waited_for())[-1]
    assert row[0] == "fail"
    assert row[2].splitlines()[0] == "cannot install the package haproxy: E: no"
    installs(apt)
    assert apt.apply(waited_for())[-1][0] == "done"
    assert apt.text("cat /var/lib/kprov/before/package.haproxy") == "haproxy\nliblua\n"
