"""Runs that are killed, hosts that drift, services that fail, locks, sudo: on one real machine that is a whole cluster."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Make
from lab_cluster import KPROV, LabCluster, until

from kprov.lab import inventory

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("KPROV_KILL_SEED", "20261124"))
KILLS_AT_INSTALL, KILLS_AT_CHANGE = 8, 4
# Kernel settings and time stamps apart, this is all that kprov keeps on a host; contents of certificates and keys
# differ from one issue to the next, so only their owner and mode count.
LISTING = """cut -f1,2 /var/lib/kprov/manifest | sort
cut -f2 /var/lib/kprov/manifest | grep ^/ | sort | xargs stat -c '%n %a %U:%G %F'
cut -f2 /var/lib/kprov/manifest | grep ^/ | grep -vE '[.](crt|key)$|service$' | sort | xargs sha256sum 2>/dev/null
cd /var/lib/kprov/stamps && sha256sum *
systemctl list-unit-files --no-legend 'kube*.service' 'etcd*' 'containerd*' 'kprov*'
systemctl is-active etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy"""


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    return make_cluster("e2e-rob", {"one": ["control_plane", "worker"]})


def settings(cluster: LabCluster, **values: Any) -> None:
    cluster.edit(lambda document: document["cluster"].update(values))


def start(cluster: LabCluster, *arguments: str) -> subprocess.Popen[str]:
    command = [KPROV, "up", str(cluster.inventory), "--yes", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def kill_after(cluster: LabCluster, seconds: float) -> bool:
    """Kills an `up` by SIGKILL after that time; whether it was still at work."""
    run = start(cluster)
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return True
    return False


def fingerprint(cluster: LabCluster) -> str:
    return cluster.sh("one", "cat /etc/kubernetes/pki/ca.crt /etc/etcd/pki/ca.crt 2>/dev/null | sha256sum", check=False)


def test_killed_at_many_moments_the_next_run_finishes_the_work(cluster: LabCluster) -> None:
    moments = random.Random(SEED)  # noqa: S311 (moments, not keys)
    killed = 0
    trust = ""
    for number in range(KILLS_AT_INSTALL):
        killed += kill_after(cluster, moments.uniform(0.8, 2.5) + number * 0.9)
        shown = fingerprint(cluster)
        keys = sorted((cluster.folder / ".kprov").rglob("trust.json"))
        assert len(keys) <= 1
        if keys:
            trust = trust or keys[0].read_text()
            assert keys[0].read_text() == trust, "the authorities were made twice"
        loose = cluster.sh(
            "one",
            "find /etc/kubernetes /etc/etcd /var/lib/kprov -name '*.key*' -perm /077 2>/dev/null; true",
            check=False,
        )
        assert loose == "", "a key is readable by others"
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0
    after_kills = cluster.sh("one", LISTING, check=False)
    assert shown != ""
    for _ in range(KILLS_AT_CHANGE):
        settings(
            cluster, extra_args={"kube-scheduler": {"v": str(moments.randint(1, 9))}, "etcd": {"log-level": "warn"}}
        )
        killed += kill_after(cluster, moments.uniform(0.9, 3.0))
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0
    assert cluster.sh("one", LISTING, check=False) == after_kills
    assert killed >= 10, f"only {killed} runs were still at work when they were killed (seed {SEED})"
    assert cluster.sh("one", "find / -xdev -name '*.kprov-new' -o -xdev -path '/var/lib/kprov/stage.*'") == ""
    # An undisturbed installation of the same inventory looks the same.
    cluster.kprov("down", "--yes")
    cluster.kprov("up", "--yes")
    assert cluster.sh("one", LISTING, check=False) == after_kills
    assert cluster.nodes() == {"one": True}


def test_a_connection_lost_in_the_middle_is_told_and_resumed(cluster: LabCluster) -> None:
    settings(cluster, extra_args={"kube-apiserver": {"v": "1"}})
    run = start(cluster)
    until(
        lambda: cluster.sh("one", "pgrep -f 'stage[.].*apply.sh' || true").strip(),
        seconds=20,
        what="an apply is at work",
    )
    cluster.sh("one", "for s in $(pgrep -f '[s]shd: root@notty'); do kill -9 $s; done")
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 3, output
    assert "one" in output
    assert "connection" in output
    cluster.kprov("up", "--yes")
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0


@pytest.mark.parametrize("other_folder", [False, True], ids=["same operator", "another operator"])
def test_of_two_runs_the_second_says_who_holds_the_lock(cluster: LabCluster, *, other_folder: bool) -> None:
    settings(cluster, extra_args={"kube-scheduler": {"v": "3" if other_folder else "2"}})
    folder = cluster.folder / ".kprov" / "e2e-rob"
    arguments: list[str] = []
    if other_folder:
        copy = cluster.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        copy.chmod(0o700)
        arguments = ["--state-dir", str(copy)]
    first = start(cluster)
    until(
        lambda: cluster.sh("one", "cat /var/lib/kprov/run.lock").strip(), seconds=20, what="the first run has the lock"
    )
    until(
        lambda: cluster.sh("one", "flock -n -s /var/lib/kprov/run.lock true || echo held").strip() == "held",
        seconds=20,
        what="the first run holds the lock",
    )
    second = cluster.kprov("up", "--yes", *arguments, status=1)
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert "pid" in second.text
    assert "since" in second.text
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    cluster.kprov("up", "--yes")


DRIFTS = {
    "edited unit": (
        "echo '# x' >> /etc/systemd/system/kube-scheduler.service",
        "kube-scheduler.service",
        {"kube-scheduler"},
    ),
    "changed mode": ("chmod 0644 /etc/kubernetes/pki/sa.key", "sa.key", set()),
    "deleted certificate": ("rm /etc/kubernetes/kube-scheduler/client.crt", "kube-scheduler/client.crt", set()),
    "stopped service": ("systemctl stop kube-proxy", "kube-proxy.service", {"kube-proxy"}),
    "foreign folder": (
        "rm /var/lib/kubelet/config.yaml; mkdir /var/lib/kubelet/config.yaml",
        "/var/lib/kubelet/config.yaml",
        {"kubelet"},
    ),
    "foreign file": ("echo x > /etc/kubernetes/scheduler-config.yaml", "scheduler-config.yaml", {"kube-scheduler"}),
    "changed sysctl": ("sysctl -qw net.ipv4.ip_forward=0", "net.ipv4.ip_forward", set()),
    "missing stamp": ("rm /var/lib/kprov/stamps/kube-proxy.service", "kube-proxy.service", {"kube-proxy"}),
    "changed program": ("echo x >> /opt/kprov/bin/ctr", "/opt/kprov/bin/ctr", set()),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_is_named_and_repaired_and_only_what_it_touches_restarts(cluster: LabCluster, name: str) -> None:
    script, named, restarted = DRIFTS[name]
    before = cluster.main_pids("one")
    cluster.sh("one", script)
    planned = cluster.kprov("plan", status=2)
    assert named in planned.text
    cluster.kprov("up", "--yes")
    after = cluster.main_pids("one")
    assert {unit.removesuffix(".service") for unit in after if before.get(unit) != after[unit]} == restarted
    assert cluster.kprov("plan").status == 0


def test_a_service_that_does_not_get_healthy_shows_its_journal_and_leaves_the_rest_alone(cluster: LabCluster) -> None:
    before = cluster.main_pids("one")
    settings(cluster, extra_args={"kube-scheduler": {"no-such-flag": "1"}})
    ran = cluster.kprov("up", "--yes", status=3)
    assert "unknown flag: --no-such-flag" in ran.text
    assert "kube-scheduler.service" in ran.text
    after = cluster.main_pids("one")
    assert {unit for unit in before if before[unit] != after.get(unit)} == {"kube-scheduler.service"}
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0


def test_check_and_limit(cluster: LabCluster) -> None:
    assert cluster.kprov("up", "--check").status == 0
    assert cluster.kprov("up", "--yes", "--limit", "worker").status == 0
    assert "names no host" in cluster.kprov("up", "--yes", "--limit", "nobody", status=1).text


@pytest.fixture
def as_user(cluster: LabCluster) -> Iterator[Any]:
    """Rewrites the inventory for another user of the machine; root's comes back afterwards."""
    kept = cluster.inventory.read_text()

    def write(user: str) -> None:
        inventory.write(cluster.lab, cluster.inventory, user=user)

    yield write
    cluster.inventory.write_text(kept)


def test_sudo_users_a_foreign_locale_and_noexec_are_no_hindrance(cluster: LabCluster, as_user: Any) -> None:
    assert cluster.sh("one", "command -v python3 || echo none").strip() == "none"
    assert cluster.sh("one", "readlink -f /bin/sh").strip().endswith("dash")
    cluster.sh("one", "echo LANG=de_DE.UTF-8 > /etc/default/locale; mount -o remount,noexec /tmp")
    for user in ("deploy", "admin"):
        as_user(user)
        assert cluster.kprov("plan").status == 0
        settings(cluster, extra_args={"kube-scheduler": {"v": "4"}})
        seen = sampled(cluster)
        cluster.edit(lambda document: document["cluster"].pop("extra_args"))
        cluster.kprov("up", "--yes")
        password = cluster.lab.admin_password.reveal()
        assert password not in seen
        assert password not in (cluster.folder / ".kprov" / "e2e-rob" / "kprov.log").read_text()
    cluster.sh("one", "rm /etc/default/locale; mount -o remount,exec /tmp")


def sampled(cluster: LabCluster) -> str:
    """Runs `up` and returns its output and what the machine's process list showed meanwhile."""
    run = start(cluster, "--verbose")
    shown = []
    while run.poll() is None:
        shown.append(cluster.sh("one", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true", check=False))
        time.sleep(0.05)
    output = run.stdout.read() if run.stdout else ""
    assert run.returncode == 0, output
    return output + "".join(shown)


def test_a_wrong_sudo_password_is_told_after_one_attempt(cluster: LabCluster, as_user: Any) -> None:
    as_user("admin")
    wrong = cluster.folder / "wrong"
    wrong.write_text("not-the-password\n")
    wrong.chmod(0o600)
    cluster.edit(
        lambda document: [host.update(become_password={"file": str(wrong)}) for host in document["hosts"].values()]
    )
    ran = cluster.kprov("plan", status=1)
    assert "sudo" in ran.text
    assert "not-the-password" not in ran.text


def test_no_secret_is_where_it_does_not_belong(cluster: LabCluster) -> None:
    text = next((cluster.folder / ".kprov").rglob("trust.json")).read_text().replace("\\n", "\n")
    bodies = re.findall(r"BEGIN PRIVATE KEY-----\n(.+?)\n-----END", text, re.DOTALL)
    needles = [body.splitlines()[1][:40] for body in bodies]  # the first line of a key is mostly its type
    assert len(set(needles)) >= 4
    log = (cluster.folder / ".kprov" / "e2e-rob" / "kprov.log").read_text()
    found: dict[str, str] = {}
    for needle in needles:
        assert needle not in log
        places = cluster.sh(
            "one",
            f"grep -rlF -e '{needle}' /etc /var/lib/kprov /var/log /tmp /run /root 2>/dev/null; true",
            check=False,
        ).split()
        allowed = {"/etc/kubernetes/pki/sa.key"} | {place for place in places if place.startswith("/run/credentials/")}
        found.update(dict.fromkeys(set(places) - allowed, needle[:6]))
        journal = cluster.sh("one", f"journalctl --no-pager | grep -cF -e '{needle}' || true").strip()
        assert journal == "0"
    assert not found


def test_a_lost_state_folder_is_noticed_and_nothing_is_made_anew(cluster: LabCluster) -> None:
    folder = cluster.folder / ".kprov"
    away = cluster.folder / "away"
    folder.rename(away)
    before = fingerprint(cluster)
    try:
        ran = cluster.kprov("up", "--yes", status=1)
        assert "backup" in ran.text
        assert fingerprint(cluster) == before
        assert not list(folder.rglob("trust.json")) if folder.exists() else True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        away.rename(folder)
    assert cluster.kprov("plan").status == 0
