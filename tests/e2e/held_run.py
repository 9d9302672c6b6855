"""Runs of `kprov up` that a test kills, or holds still, at a moment it chose: by the run's own progress, never by a clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lab_cluster import KPROV, LabCluster, until

STAGES = ("host", "etcd", "api-server", "controllers", "runtime", "objects", "node", "workloads", "addons", "ready")
UNIT = "kube-scheduler.service"  # the unit whose start is delayed to hold a run: nothing else waits for it
_HOLD = f"""d=/run/systemd/system/{UNIT}.d; mkdir -p $d && : > /run/hold &&
cat > $d/hold.conf << 'END' && systemctl daemon-reload
[Service]
ExecStartPre=+/bin/sh -c "while [ -e /run/hold ]; do sleep 0.1; done"
END
"""
_LET_GO = f"rm -rf /run/hold /run/systemd/system/{UNIT}.d; systemctl daemon-reload"
_APPLY = "pgrep -o -f '^sh /var/lib/kprov/stage[.]'"  # the oldest: apply.sh itself, and not one of its subshells


def start(cluster: LabCluster, *arguments: str) -> subprocess.Popen[str]:
    """An `up` in a session of its own, so that it can be killed as a whole."""
    return subprocess.Popen(
        [KPROV, "up", str(cluster.inventory), "--yes", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(run: subprocess.Popen[str]) -> None:
    """SIGKILL for a run and what it started; one that has ended is fine."""
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How far a run was when it died: the stage, and how many operations of it had been told as done."""

    stage: str
    done: int


def kill_in(cluster: LabCluster, stage: str, lines: int, delay: float) -> Moment | None:
    """Kills an `up` that many lines of its report after it came to a stage (or a later one), and then `delay` seconds.

    stage "" is the moment all hosts have answered. Returns None when the run ended before it could be killed.
    """
    desired = STAGES.index(stage) if stage else -1
    run = start(cluster, "--json")
    told: list[dict[str, object]] = []
    left: int | None = None
    try:
        assert run.stdout is not None
        for line in run.stdout:
            event = json.loads(line)
            told.append(event)
            if left is not None:
                left -= 1
            elif _reached(event, desired):
                left = lines
            if left is not None and (left <= 0 or event["event"] == "stage_ended"):
                time.sleep(delay)  # into the middle of an operation: any moment will do
                break
        kill(run)
        told += [json.loads(line) for line in run.stdout if line.endswith("}\n")]
    finally:
        kill(run)
        run.wait()
    assert run.returncode in (0, -signal.SIGKILL), told[-3:]
    if run.returncode == 0 or any(event["event"] == "summary" for event in told):
        return None
    stages = [str(event["stage"]) for event in told if "stage" in event]
    last = stages[-1] if stages else ""
    done = sum(event["event"] == "operation_done" and event["stage"] == last for event in told)
    return Moment(stage=last, done=done)


def _reached(event: dict[str, object], desired: int) -> bool:
    if event["event"] == "gathered":
        return desired < 0
    return event["event"] == "stage_started" and STAGES.index(str(event["stage"])) >= desired >= 0


@contextmanager
def held_in_the_middle(cluster: LabCluster, host: str) -> Iterator[subprocess.Popen[str]]:
    """An `up` that changes UNIT, with the host's apply program stopped in the middle; it goes on when the block ends.

    First the unit's start is delayed, so that the program waits for it; then the program is stopped for good. While it
    is, no deadline of its own runs out: what the block does may take its time.
    """
    cluster.sh(host, _HOLD)
    run, program = start(cluster), ""
    try:
        starting = f"systemctl show -p SubState --value {UNIT}"
        until(lambda: cluster.sh(host, starting).strip() == "start-pre", seconds=60, what=f"the run starts {UNIT}")
        program = cluster.sh(host, _APPLY).strip()
        cluster.sh(host, f"kill -STOP {program}")
        until(lambda: _state(cluster, host, program) == "T", seconds=20, what="the host's apply program stands still")
        cluster.sh(host, _LET_GO)
        yield run
    finally:
        cluster.sh(host, f"{_LET_GO}; [ -z '{program}' ] || kill -CONT {program} 2> /dev/null || true")
        try:
            run.wait(timeout=300)
        finally:
            kill(run)


def _state(cluster: LabCluster, host: str, pid: str) -> str:
    return cluster.sh(host, f"awk '$1 == \"State:\" {{print $2}}' /proc/{pid}/status").strip()


def locked(cluster: LabCluster, host: str, lock: str) -> bool:
    """Whether somebody holds a lock of kprov's on a host."""
    return cluster.sh(host, f"flock -n -s /var/lib/kprov/{lock} true || echo held").strip() == "held"
