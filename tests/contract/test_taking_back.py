"""A host that does not get well gives back what it had: the apply program with a stand-in for systemd that knows units, and
starts those alone whose configuration is not bad."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch, stream
from kprov.apply.operations import write_gates
from kprov.apply.scripts import APPLY_COMMAND
from kprov.values.resources import Gate, Unit

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

# /srv/units/NAME: whether it runs, whether it is enabled, its start. A unit reads /srv/a/NAME.conf.
SYSTEMCTL = r"""
echo "$@" >> /srv/told
put() { echo "$2 $3 $4" > "/srv/units/$1"; }
start() { # unit
    read -r _ enabled _ < /srv/units/$1; n=$(($(cat /srv/starts) + 1)); echo $n > /srv/starts
    if grep -qs bad "/srv/a/${1%.service}.conf"; then put $1 loops $enabled $n; else put $1 runs $enabled $n; fi
}
verb=$1
case "$*" in *'-p Job --value'*) echo 0; exit ;; *--value*) echo '-'; exit ;; esac
for unit in "$@"; do case $unit in *.service)
    state=gone enabled= start=; loaded=not-found; mkdir -p /srv/units
    if [ -e /srv/units/$unit ]; then loaded=loaded; read -r state enabled start < /srv/units/$unit; fi
    case $verb in
    show)
        case $state in runs) active=active sub=running ;; loops) active=activating sub=auto-restart ;;
        *) active=inactive sub=dead ;; esac
        pid=0; [ $state != runs ] || pid=$((100 + start))
        printf 'Id=%s\nLoadState=%s\nActiveState=%s\nSubState=%s\n' $unit $loaded $active $sub
        printf 'UnitFileState=%s\nInvocationID=%s\nType=notify\nRestartUSec=100ms\n' "$enabled" "$start"
        printf 'MainPID=%s\nExecMainStartTimestampMonotonic=%s\nJob=0\n\n' $pid "${start:-0}" ;;
    stop) [ $loaded = not-found ] || put $unit stopped $enabled $start ;;
    restart | start) [ -e /srv/units/$unit ] || put $unit stopped disabled 0; start $unit ;;
    enable) [ $state != gone ] || state=stopped; put $unit $state enabled "${start:-0}" ;;
    disable) put $unit $state disabled "${start:-0}" ;;
    esac ;;
esac; done
exit 0
"""
PASSES, NEVER = "/bin/true", "/bin/false"


@pytest.fixture
def host(room: Room) -> Room:
    """A host on which a.service and b.service serve, seen well with what they have."""
    room.stub("systemctl", SYSTEMCTL)
    room.stub("journalctl", 'case $1 in _SYSTEMD_UNIT=*) echo "app: line 1: bad is no setting" ;; esac')
    room.text("mkdir -p /srv/units; echo 0 > /srv/starts")
    first = Batch()
    for name in "ab":
        put(first, f"/srv/a/{name}.conf", b"good\n")
        restart(first, f"{name}.service")
    assert room.apply(first)[-1] == ["done", "0", "-"]
    room.text("rm /srv/told; rm -f /srv/asked")
    return room


def put(batch: Batch, path: str, content: bytes, mode: str = "0640") -> None:
    batch.know(("file", path))
    sha256 = hashlib.sha256(content).hexdigest()
    payload = batch.attach(content, path)
    operation = wire.File(payload=payload, path=path, owner="root", group="root", mode=mode, sha256=sha256)
    batch.add(f"file {path}", operation)


def restart(batch: Batch, *units: str, gate: str = PASSES, heartbeat: bool = False, seconds: int = 60) -> None:
    for unit in units:
        batch.know(("unit", unit))
    batch.add("systemd", wire.ReloadUnits(enable=units))
    for unit in units:
        batch.add(f"unit {unit}", wire.Restart(unit=unit))
    for unit in units:
        gates = (Gate(kind="command", argument=gate, deadline=seconds),)
        write_gates(batch, Unit(name=unit, content=b"", gates=gates, heartbeat=heartbeat))
        batch.add(f"unit {unit}", wire.Stamp(unit=unit, value="new"))


def changing(*units: str) -> Batch:
    """A batch that keeps what is there, and takes the stamps."""
    batch = Batch()
    batch.add("what is there before the change", wire.Keep(units=units))
    for unit in units:
        batch.add(f"unit {unit}", wire.Unstamp(unit=unit))
    return batch


@dataclass(frozen=True)
class Ended:
    """failed: number and first line of what failed. back: lines told about going back."""

    failed: tuple[str, str] | None
    back: list[str] = field(default_factory=list)


def ended(room: Room, batch: Batch) -> Ended:
    rows = room.apply(batch)
    failed = next(((row[1], row[2].splitlines()[0]) for row in rows if row[0] == "fail"), None)
    back = next((base64.b64decode(row[2]).decode().splitlines() for row in rows if row[0] == "back"), [])
    return Ended(failed, back)


def state(room: Room) -> str:
    """All that going back must leave as it was."""
    return room.text(
        "cd /var/lib/kprov; ls -A stamps; cat stamps/*; cut -f 1,2,3,5 ledger | sort; ls -d previous 2> /dev/null;"
        "stat -c '%n %a %U:%G' /srv/a/*; cat /srv/a/*; cut -d ' ' -f 1,2 /srv/units/*"
    )


def test_a_host_whose_gate_fails_has_its_files_units_and_stamps_back_at_once(host: Room) -> None:
    before = state(host)
    batch = changing("a.service", "b.service", "c.service")
    put(batch, "/srv/a/a.conf", b"bad\n", mode="0600")
    put(batch, "/srv/a/b.conf", b"better\n")
    put(batch, "/srv/a/c.conf", b"new\n")
    restart(batch, "a.service", "b.service", "c.service", seconds=1)
    found = ended(host, batch)
    assert found.failed is not None
    assert "app: line 1: bad is no setting" in found.failed[1]
    assert sorted(found.back) == ["files 3", "unit a.service well", "unit b.service well", "unit c.service removed"]
    host.text("rm /srv/units/c.service")  # the stand-in does not know that its file went
    assert state(host) == before
    assert host.leftovers() == ""


def test_what_is_asked_again_is_what_the_unit_answered_well_before(host: Room) -> None:
    """A question of the new configuration may be one that the old one cannot answer."""
    host.stub("/srv/old", "echo old >> /srv/asked")
    first = changing("a.service")
    put(first, "/srv/a/a.conf", b"first\n")
    restart(first, "a.service", gate="/srv/old")
    assert ended(host, first).failed is None
    host.text("rm /srv/asked")
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"second\n")
    restart(batch, "a.service", gate=NEVER, seconds=1)
    assert ended(host, batch).back == ["files 1", "unit a.service well"]
    assert host.text("cat /srv/asked /srv/a/a.conf").split() == ["old", "first"]


def test_a_unit_that_does_not_run_as_before_is_told_and_has_no_stamp(host: Room) -> None:
    host.stub("/srv/once", "[ ! -e /srv/broken ]")
    first = changing("a.service")
    restart(first, "a.service", gate="/srv/once", seconds=10)
    assert ended(host, first).failed is None
    host.text("touch /srv/broken")
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"second\n")
    restart(batch, "a.service", gate="/srv/once", seconds=10)
    assert ended(host, batch).back[1].startswith("unit a.service ill ")
    assert host.text("ls /var/lib/kprov/stamps; cat /srv/a/a.conf").split() == ["b.service", "good"]


def test_units_that_were_not_restarted_are_left_alone(host: Room) -> None:
    batch = changing("a.service", "b.service")
    put(batch, "/srv/a/b.conf", b"better\n")
    put(batch, "/srv/a/a.conf", b"bad\n")
    restart(batch, "a.service", seconds=1)
    assert ended(host, batch).back == ["files 2", "unit a.service well"]
    assert "b.service" not in host.text("grep -E '^(stop|start|restart)' /srv/told")
    assert host.text("ls /var/lib/kprov/stamps").split() == ["a.service", "b.service"]


def test_what_fails_before_anything_changed_says_nothing_of_going_back(host: Room) -> None:
    before = state(host)
    host.text("printf '#!/bin/sh\nexit 1\n' > /srv/judge; chmod +x /srv/judge")
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"bad\n")
    batch.add("check", wire.Check(path="/srv/a/a.conf", words=("/srv/judge", "{}")))
    restart(batch, "a.service")
    found = ended(host, batch)
    assert found.failed is not None
    assert found.back == []
    assert state(host) == before
    assert host.text("grep -cE '^(stop|start|restart)' /srv/told; true").strip() == "0"


def test_modes_and_files_that_went_come_back(host: Room) -> None:
    host.text("echo state > /srv/a/a.state; chmod 600 /srv/a/a.state")
    before = state(host)
    batch = changing("a.service")
    batch.add("mode", wire.Mode(path="/srv/a/a.conf", owner="daemon", group="daemon", mode="0600"))
    batch.add("state file", wire.Remove(kind="file", path="/srv/a/a.state", before="absent"))
    restart(batch, "a.service", gate=NEVER, seconds=1)
    assert ended(host, batch).back == ["files 1", "unit a.service well"]
    assert state(host) == before


def test_a_program_of_another_disk_comes_back(host: Room) -> None:
    """There its previous version cannot be a second name of it."""
    host.text("mkdir -p /opt/kprov/bin; echo old > /opt/kprov/bin/app; chmod 755 /opt/kprov/bin/app")
    batch = changing("a.service")
    content = b"newer\n"
    digest, source = hashlib.sha256(content).hexdigest(), batch.attach(content)
    batch.know(("binary", "/opt/kprov/bin/app"))
    there = wire.Binary(path="/opt/kprov/bin/app", mode="0700", sha256=digest, source=source, encoding="raw")
    batch.add("binary", there)
    restart(batch, "a.service", gate=NEVER, seconds=1)
    assert ended(host, batch).back == ["files 1", "unit a.service well"]
    assert host.text("cat /opt/kprov/bin/app; stat -c %a /opt/kprov/bin/app").split() == ["old", "755"]


def test_a_change_that_passes_leaves_nothing_kept(host: Room) -> None:
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"better\n")
    restart(batch, "a.service")
    assert ended(host, batch) == Ended(None)
    assert host.text("cat /srv/a/a.conf; ls /var/lib/kprov").split() == [
        *("better", "apply.lock", "before", "generation", "ledger", "stamps"),
    ]  # fmt: skip


def test_what_a_later_stage_restarts_goes_back_with_what_an_earlier_one_changed(host: Room) -> None:
    before = state(host)
    earlier = changing("a.service")
    put(earlier, "/srv/a/a.conf", b"bad\n")
    assert ended(host, earlier) == Ended(None)
    assert host.observe().unconfirmed
    later = changing("a.service")
    restart(later, "a.service", seconds=1)
    assert ended(host, later).back == ["files 1", "unit a.service well"]
    assert state(host) == before


def killed(room: Room, batch: Batch, when: str, *, crash: bool = False) -> None:
    """Sends a batch and cuts the line, as the end of kprov does, as soon as `when` is true on the host.

    crash: the program on the host ends then too, as with the host's power.
    """
    command = ["nsenter", "-t", str(room.pid), "-m", "-p", "sh", "-c", APPLY_COMMAND]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"".join(stream(batch, "g1")))
        process.stdin.close()
        while room.sh(when).returncode != 0:
            time.sleep(0.05)
        if crash:
            (program,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(program), signal.SIGKILL)
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
    room.text("flock /var/lib/kprov/apply.lock true")


RESTARTED = "grep -q '^restart' /srv/told"


def test_a_host_that_is_left_alone_after_the_restart_goes_back_by_itself(host: Room) -> None:
    before = state(host)
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"bad\n")
    restart(batch, "a.service", seconds=1)
    killed(host, batch, RESTARTED)
    assert state(host) == before


def test_a_host_that_is_left_alone_with_a_change_that_is_well_ends_it(host: Room) -> None:
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"better\n")
    restart(batch, "a.service")
    killed(host, batch, RESTARTED)
    assert host.text("cat /srv/a/a.conf; head -n 1 /var/lib/kprov/stamps/a.service").split() == ["better", "new"]
    assert not host.observe().unconfirmed


def test_after_a_crash_the_next_run_goes_back_to_what_was_seen_well_last(host: Room) -> None:
    """What the crashed run left is no version to go back to."""
    before = state(host)
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"bad\n")
    restart(batch, "a.service")
    killed(host, batch, RESTARTED, crash=True)
    assert host.observe().unconfirmed
    again = changing("a.service")
    put(again, "/srv/a/a.conf", b"as bad\n")
    restart(again, "a.service", seconds=1)
    assert ended(host, again).back == ["files 1", "unit a.service well"]
    assert state(host) == before
    assert not host.observe().unconfirmed


def test_a_kubelet_that_reaches_no_cluster_is_sent_back(host: Room) -> None:
    host.stub("busctl", 'echo "t 17"')
    before = state(host)
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"well by itself\n")
    restart(batch, "a.service", heartbeat=True)
    assert ended(host, batch) == Ended(None)
    assert not host.observe().unconfirmed
    asked = Batch()
    asked.add(
        "", wire.Ask(program="kubectl", asked=("get", "leases"))
    )  # the host that asks the cluster may be this one
    host.apply(asked)
    back = Batch()
    back.add("", wire.GoBack())
    rows = host.apply(back)
    assert rows[0] == ["told", "1", "files 1\nunit a.service well"]
    assert rows[-1] == ["done", "0", "-"]
    assert state(host) == before
    assert host.apply(back)[-1][:2] == ["fail", "1"]


def test_what_reached_the_cluster_is_forgotten_with_the_next_work(host: Room) -> None:
    host.stub("busctl", 'echo "t 17"')
    batch = changing("a.service")
    put(batch, "/srv/a/a.conf", b"better\n")
    restart(batch, "a.service", heartbeat=True)
    assert ended(host, batch) == Ended(None)
    host.apply(changing())
    assert host.text("ls /var/lib/kprov").split().count("previous") == 0
