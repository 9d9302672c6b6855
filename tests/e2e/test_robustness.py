"""Runs that are killed, hosts that drift, services that fail, locks, sudo: on one real machine that is a whole cluster."""

from __future__ import annotations

import getpass
import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Make, Say
from held_run import STAGES, Moment, held_in_the_middle, kill_in, locked, start
from lab_cluster import KPROV, LabCluster

from kprov.artifacts.catalog import resolve_versions
from kprov.artifacts.options.flags import RELEASES, flags_of
from kprov.lab import inventory

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("KPROV_KILL_SEED", "20261124"))
KILLS = 12
# Kernel settings and time stamps apart, this is all that kprov keeps on a host; contents of certificates and keys
# differ from one issue to the next, so only their owner and mode count. Below its hash a stamp has what its unit was asked,
# which differs between a host that is new and one that is changed.
LISTING = """cut -f1,2 /var/lib/kprov/ledger | sort
cut -f2 /var/lib/kprov/ledger | grep ^/ | sort | xargs stat -c '%n %a %U:%G %F'
cut -f2 /var/lib/kprov/ledger | grep ^/ | grep -vE '[.](crt|key)$|service$' | sort | xargs sha256sum 2>/dev/null
cd /var/lib/kprov/stamps && head -n 1 *
systemctl list-unit-files --no-legend 'kube*.service' 'etcd*' 'containerd*' 'kprov*'
systemctl is-active etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy"""


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    return make_cluster("e2e-rob", {"one": ["control_plane", "worker"]}, keys={})


def settings(cluster: LabCluster, **values: Any) -> None:
    cluster.edit(lambda document: document["cluster"].update(values))


# Each is there once and for all from the moment it first appears on the host.
LASTING = {
    **{
        f"content of {path}": f"[ ! -e {path} ] || sha256sum < {path}"
        for path in (
            *("/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/front-proxy-ca.crt", "/etc/etcd/pki/ca.crt"),
            *("/etc/kubernetes/pki/sa.pub", "/etc/kubernetes/kube-apiserver/encryption.yaml"),
        )
    },
    "birth of etcd's data": "[ ! -e /var/lib/etcd/member/wal ] || stat -c '%i born %W' /var/lib/etcd/member/wal",
}
IDENTITY = (
    "/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
    " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key"
    " --command-timeout=4s member list -w json"
)


class Lasting:
    """What must never change, as it was first seen."""

    def __init__(self, cluster: LabCluster) -> None:
        self.cluster = cluster
        self.first: dict[str, str] = {}

    def check(self) -> None:
        """Fails when something that was there is gone, or another."""
        now = {name: self.cluster.sh("one", script).strip() for name, script in LASTING.items()}
        now["etcd's cluster and members"] = self.members()
        trust = sorted((self.cluster.folder / ".kprov").rglob("trust.json"))
        assert len(trust) <= 1
        now["the CAs' keys"] = trust[0].read_text() if trust else ""
        for name, value in self.first.items():
            assert now[name] == value, f"{name} changed"
        self.first.update({name: value for name, value in now.items() if value})

    def members(self) -> str:
        """Ids of cluster and members; what was seen first when etcd does not run at this moment."""
        shown = self.cluster.sh("one", f"{IDENTITY} 2> /dev/null || true").strip()
        if not shown:
            return self.first.get("etcd's cluster and members", "")
        answer = json.loads(shown)
        assert len(answer["members"]) == 1, shown
        return f"{answer['header']['cluster_id']:x} {answer['members'][0]['ID']:x}"


def loose_keys(cluster: LabCluster) -> str:
    """Private keys that others than their owner may read, wherever kprov writes."""
    return cluster.sh(
        "one",
        "for folder in /etc/kubernetes /etc/etcd /var/lib/kprov /opt /tmp /run/kprov; do [ ! -d $folder ] ||"
        " find $folder -type f -perm /077 -exec grep -l 'PRIVATE KEY-----' {} + || true; done",
    )


def test_killed_at_many_moments_the_next_run_finishes_the_work(cluster: LabCluster, say: Say) -> None:
    say(f"kills: seed {SEED} (KPROV_KILL_SEED=… for others)")
    chance = random.Random(SEED)  # noqa: S311 (moments, not keys)
    lasting = Lasting(cluster)
    moments: list[Moment] = []

    def kill(stage: str, lines: int) -> None:
        began = time.monotonic()
        moment = kill_in(cluster, stage, lines, chance.uniform(0, 0.4))
        say(f"  {moment} after {time.monotonic() - began:.0f} s")
        if moment is not None:
            moments.append(moment)
        lasting.check()
        assert loose_keys(cluster) == "", f"a key is readable by others after a kill at {moment}"

    for stage in ("", *STAGES[:-1]):
        kill(stage, chance.randint(0, 8))
    say(f"kills while installing: {moments}")
    cluster.kprov("up", "--yes")
    lasting.check()
    assert set(lasting.first) == {*LASTING, "the CAs' keys", "etcd's cluster and members"}
    assert cluster.kprov("plan").status == 0
    after_kills = cluster.sh("one", LISTING)
    for number in range(3 * KILLS):
        if len(set(moments)) >= KILLS:
            break
        flags = {name: {"v": str(number % 9 + 1)} for name in ("kube-apiserver", "kube-scheduler", "kubelet")}
        settings(cluster, extra_args={**flags, "etcd": {"log-level": ("warn", "error")[number % 2]}})
        kill(chance.choice(("etcd", "api-server", "controllers", "node")), chance.randint(0, 6))
    cluster.edit(lambda document: document["cluster"].pop("extra_args", None))
    cluster.kprov("up", "--yes")
    lasting.check()
    say(f"kills in all: {moments}")
    assert len(set(moments)) >= 10, f"too few runs were still at work when they were killed (seed {SEED}): {moments}"
    assert cluster.kprov("plan").status == 0
    assert cluster.sh("one", LISTING) == after_kills
    left = cluster.sh("one", "find / -xdev -name '*.kprov-new' -o -xdev -path '/var/lib/kprov/stage.*'")
    assert left == "", "a killed run left something half done"
    # An undisturbed installation of the same inventory looks the same.
    cluster.kprov("down", "--yes")
    cluster.kprov("up", "--yes")
    assert cluster.sh("one", LISTING) == after_kills
    assert cluster.nodes() == {"one": True}


def test_a_connection_lost_in_the_middle_is_told_and_resumed(cluster: LabCluster) -> None:
    settings(cluster, extra_args={"kube-scheduler": {"v": "1"}})
    with held_in_the_middle(cluster, "one") as run:
        cluster.sh("one", "kill -9 $(pgrep -f '[s]shd: root@notty')")
        output, _ = run.communicate(timeout=120)
    assert run.returncode == 3, output
    assert "one" in output
    assert "connection" in output
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    cluster.kprov("up", "--yes")


@pytest.mark.parametrize("other_folder", [False, True], ids=["same operator", "another operator"])
def test_of_two_runs_the_second_says_who_holds_the_lock(cluster: LabCluster, *, other_folder: bool) -> None:
    settings(cluster, extra_args={"kube-scheduler": {"v": "3" if other_folder else "2"}})
    arguments: list[str] = []
    if other_folder:
        copy = cluster.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(cluster.folder / ".kprov" / "e2e-rob", copy)
        copy.chmod(0o700)
        arguments = ["--state-dir", str(copy)]
    with held_in_the_middle(cluster, "one") as first:
        assert locked(cluster, "one", "run.lock")
        assert locked(cluster, "one", "apply.lock")
        said = cluster.sh("one", "cat /var/lib/kprov/run.lock").strip()
        second = cluster.kprov("up", "--yes", *arguments, status=1)
        assert first.poll() is None
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    who = f"{getpass.getuser()}@{socket.gethostname()} pid {first.pid}"
    assert re.fullmatch(rf"{re.escape(who)} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC", said), said
    assert said in " ".join(second.text.split())
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


def test_a_folder_in_a_file_s_place_is_somebody_s_and_is_not_deleted(cluster: LabCluster) -> None:
    file = "/var/lib/kubelet/config.yaml"
    cluster.sh("one", f"mv {file} {file}.was; mkdir {file}; touch {file}/mine")
    assert f"mv {file} {file}.old" in cluster.kprov("up", "--yes", status=1).text
    assert cluster.sh("one", f"ls {file}; rm -r {file}; mv {file}.was {file}").strip() == "mine"
    assert cluster.kprov("plan").status == 0


def test_a_service_that_does_not_get_healthy_shows_its_journal_and_leaves_the_rest_alone(cluster: LabCluster) -> None:
    everything = f"{LISTING}; sha256sum /var/lib/kprov/stamps/*"
    before, listing = cluster.main_pids("one"), cluster.sh("one", everything)
    settings(cluster, extra_args={"kube-scheduler": {"show-hidden-metrics-for-version": "0.1"}})  # judged at its start
    ran = cluster.kprov("up", "--yes", status=3)
    assert "kube-scheduler.service" in ran.text
    assert "must be omitted or have the value" in ran.text, "the program's own words"
    assert "now: 1 previous file put back; kube-scheduler.service runs again as before, and answered" in ran.text
    after = cluster.main_pids("one")
    assert {unit for unit in before if before[unit] != after.get(unit)} == {"kube-scheduler.service"}
    assert cluster.sh("one", everything) == listing, "the host is as it was"
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    cluster.kprov("up", "--yes")
    assert cluster.main_pids("one") == after, "nothing was left to be done on the host"
    assert cluster.kprov("plan").status == 0


@pytest.mark.long
def test_a_file_that_its_program_refuses_never_gets_its_name(cluster: LabCluster) -> None:
    """What no look at the inventory finds is found by containerd itself, before anything is touched."""
    before, file = cluster.main_pids("one"), "/etc/containerd/config.toml"
    was = cluster.sh("one", f"sha256sum {file}; ls /var/lib/kprov/stamps")
    settings(cluster, containerd={"plugins": {"io.containerd.gc.v1.scheduler": {"startup_delay": "never"}}})
    ran = cluster.kprov("up", "--yes", status=3)
    assert f"containerd refuses the new {file}, which was not put in place" in ran.text
    assert 'invalid duration "never"' in ran.text
    assert cluster.sh("one", f"sha256sum {file}; ls /var/lib/kprov/stamps") == was
    assert cluster.main_pids("one") == before
    cluster.edit(lambda document: document["cluster"].pop("containerd"))
    assert cluster.kprov("plan").status == 0


@pytest.mark.long
def test_the_data_on_flags_is_what_the_programs_say(cluster: LabCluster) -> None:
    versions = resolve_versions()
    for component, release in RELEASES.items():
        program = subprocess.run([KPROV, "artifacts", "path", component], capture_output=True, text=True).stdout.strip()
        said = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
        named = set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", said, re.MULTILINE))
        known = flags_of(component, versions[release])
        assert known is not None
        if component == "etcd":  # its help is written by hand
            assert named - known.keys() == {"discovery", "discovery-proxy"}  # gone from the program
        else:
            assert named - {"help"} == {
                name for name, flag in known.items() if name in named or not flag.deprecated
            } - {"help"}


@pytest.mark.long
def test_a_kubelet_that_ends_after_its_first_healthy_answer_is_not_healthy(cluster: LabCluster) -> None:
    """Seen by plan, up and status; once it stays up, the next run makes it well."""
    folder = "/run/systemd/system/kubelet.service.d"
    cluster.sh("one", f"mkdir -p {folder} && printf '[Service]\nRuntimeMaxSec=1\n' > {folder}/ends.conf")
    cluster.sh("one", "systemctl daemon-reload; systemctl restart --no-block kubelet; sleep 8")
    assert "kubelet.service" in cluster.kprov("plan", status=2).text
    told = cluster.kprov("status", status=1).text
    assert "kubelet.service does not stay up" in told
    assert f"kubelet.service is changed by {folder}/ends.conf" in told
    assert "it ended 5 times within" in cluster.kprov("up", "--yes", status=3).text
    cluster.sh("one", f"rm -r {folder}; systemctl daemon-reload")
    cluster.kprov("up", "--yes")
    cluster.kprov("status")


ETCDCTL = (
    "/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
    " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key"
)


@pytest.mark.long
def test_a_full_store_is_told_and_gets_a_larger_quota(cluster: LabCluster) -> None:
    settings(cluster, etcd={"quota_bytes": 64 << 20})
    cluster.kprov("up", "--yes")
    cluster.sh("one", "head -c 900000 /dev/zero | tr '\\0' x > /tmp/value")
    cluster.sh("one", f"for n in $(seq 1 120); do {ETCDCTL} put /fill/$n < /tmp/value || break; done > /dev/null 2>&1")
    assert "etcd's store is full (ALARM NOSPACE)" in cluster.kprov("status", status=1).text
    # What renews leases ends when it cannot, so that there may be units to start.
    assert "EtcdAlarm" in cluster.kprov("plan", status=None).text
    settings(cluster, etcd={"quota_bytes": 512 << 20})
    cluster.kprov("up", "--yes")
    cluster.sh("one", f"for n in $(seq 121 180); do {ETCDCTL} put /fill/$n < /tmp/value; done > /dev/null")
    cluster.sh("one", f"{ETCDCTL} del --prefix /fill/ && rm /tmp/value")
    cluster.kprov("status")
    settings(cluster, etcd={"quota_bytes": 64 << 20})
    assert "EtcdOutgrown" in cluster.kprov("up", "--yes", status=1).text
    cluster.edit(lambda document: document["cluster"].pop("etcd"))
    cluster.kprov("up", "--yes")


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
    assert cluster.sh("one", "readlink -f /bin/sh").strip().endswith("dash")
    cluster.sh("one", "echo LANG=de_DE.UTF-8 > /etc/default/locale; mount -o remount,noexec /tmp")
    try:
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
    finally:
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


def test_what_programs_read(cluster: LabCluster) -> None:
    """The shapes of --json: what they hold is other tests' matter."""
    cluster.kprov("up", "--yes")
    status = json.loads(cluster.kprov("status", "--json").stdout)
    assert {"hosts", "members", "nodes"} <= status.keys()
    for component in status["hosts"][0]["components"]:
        assert component.keys() == {"name", "version", "unit", "health", "expires_in"}
        assert (component["unit"], component["health"]) == ("active", "ok")
    settings(cluster, extra_args={"kube-scheduler": {"v": "4"}})
    plan = json.loads(cluster.kprov("plan", "--json", status=2).stdout)
    assert plan["changes"] is True
    (change,) = plan["hosts"]["one"]["changes"]
    assert change.keys() == {"stage", "kind", "name", "action", "reasons"}
    (restart,) = plan["hosts"]["one"]["restarts"]
    assert restart.keys() == {"stage", "unit", "running", "reason"}
    assert change["name"] == restart["unit"] == "kube-scheduler.service"
    cluster.edit(lambda document: document["cluster"].pop("extra_args"))
    events = [json.loads(line) for line in cluster.kprov("up", "--yes", "--json").stdout.splitlines()]
    assert all({"event", "time"} <= event.keys() for event in events)
    assert [event["event"] for event in events][-1] == "summary"
    assert events[-1].keys() >= {"changed", "restarted", "failed", "operations", "stages", "seconds", "execs"}
    assert (events[-1]["changed"], events[-1]["failed"]) == ([], [])


ENCRYPTION = "/etc/kubernetes/kube-apiserver/encryption.yaml"
SIGNING_KEY = "/etc/kubernetes/pki/sa.key"


def test_no_secret_is_where_it_does_not_belong(cluster: LabCluster) -> None:
    cluster.kprov("up", "--yes")
    text = next((cluster.folder / ".kprov").rglob("trust.json")).read_text().replace("\\n", "\n")
    bodies = re.findall(r"BEGIN PRIVATE KEY-----\n(.+?)\n-----END", text, re.DOTALL)
    needles = {body.splitlines()[1][:40] for body in bodies}  # the first line of a key is mostly its type
    assert len(needles) >= 4
    encryption_key = cluster.sh("one", f"awk '/secret:/ {{print $NF}}' {ENCRYPTION}").strip()
    assert len(encryption_key) > 30
    needles.add(encryption_key)
    cluster.sh("one", f"chmod 640 {ENCRYPTION} {SIGNING_KEY}; echo >> {ENCRYPTION}")
    shown = cluster.kprov("plan", "--diff", "--verbose", status=2).text
    assert ENCRYPTION in shown
    shown += cluster.kprov("up", "--yes", "--diff", "--verbose").text
    shown += cluster.kprov("status", "--json").text
    shown += (cluster.folder / ".kprov" / "e2e-rob" / "kprov.log").read_text()
    shown += cluster.sh("one", "journalctl --no-pager; cat /proc/[0-9]*/cmdline 2> /dev/null; true")
    found: dict[str, str] = {}
    for needle in needles:
        assert needle not in shown
        places = cluster.sh(
            "one",
            f"grep -rlF -e '{needle}' /etc /var/lib/kprov /var/log /var/tmp /tmp /run /root 2>/dev/null; true",
            check=False,
        ).split()
        allowed = {SIGNING_KEY, ENCRYPTION} | {place for place in places if place.startswith("/run/credentials/")}
        found.update(dict.fromkeys(set(places) - allowed, needle[:6]))
    assert not found


def test_a_lost_state_folder_is_noticed_and_nothing_is_made_anew(cluster: LabCluster) -> None:
    lasting = Lasting(cluster)
    lasting.check()
    folder = cluster.folder / ".kprov"
    away = cluster.folder / "away"
    folder.rename(away)
    try:
        ran = cluster.kprov("up", "--yes", status=1)
        assert "backup" in ran.text
        assert not list(folder.rglob("trust.json")) if folder.exists() else True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        away.rename(folder)
    lasting.check()
    assert cluster.kprov("plan").status == 0
