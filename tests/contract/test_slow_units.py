"""Deadlines of units on slow hosts: what a unit works through does not count. apply.sh with a stand-in for systemctl."""

from __future__ import annotations

import os

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

# Each tells its number as this computer's /proc has it, and ends with its input.
IDLE = """
import os, sys
open("/srv/pid", "w").write(os.readlink("/proc/self"))
print("ready", flush=True)
sys.stdin.read()
"""
BUSY = """
import os, sys, threading
open("/srv/pid", "w").write(os.readlink("/proc/self"))
threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()
print("ready", flush=True)
while True: pass
"""
SYSTEMCTL = """
case "$*" in
*MainPID*) cat /srv/pid; echo; echo 0 ;;
*Job*) echo 0 ;;
is-active*) ;;
*) echo active ;;
esac
"""
# Passes at the look of this number.
PASSES = "n=$(cat /srv/looks 2> /dev/null || echo 0); n=$((n + 1)); echo $n > /srv/looks; [ $n -ge $1 ]"


def waited(room: Room, program: str, *, look: int, deadline: int) -> list[list[str]]:
    """What a gate says that passes at this look, with more than a second between two."""
    room.stub("systemctl", SYSTEMCTL)
    room.stub("journalctl", ":")
    room.stub("sleep", "exec /bin/sleep 1.1")
    room.stub("passes", PASSES)
    batch = Batch()
    batch.add("gate", wire.Gate(unit="x.service", kind="command", seconds=deadline, argument=f"passes {look}"))
    with room.running(program):
        return room.apply(batch)


def test_a_unit_that_stands_still_has_its_deadline(room: Room) -> None:
    assert waited(room, IDLE, look=5, deadline=3)[-1][0] == "fail"


def test_a_unit_that_works_is_waited_for(room: Room) -> None:
    assert waited(room, BUSY, look=5, deadline=3)[-1][0] == "done"


def test_a_unit_that_works_without_end_is_given_up(room: Room) -> None:
    assert waited(room, BUSY, look=10**6, deadline=1)[-1][0] == "fail"


def test_a_gate_is_not_asked_before_the_restart_is_over_and_systemd_no_more_afterwards(room: Room) -> None:
    """The process of before may answer well, with its last breath."""
    jobs = (
        "n=$(cat /srv/jobs 2> /dev/null || echo 0); n=$((n + 1)); echo $n > /srv/jobs; [ $n -ge 3 ] && echo 0 || echo 7"
    )
    room.stub("systemctl", f"case \"$*\" in *'-p Job'*) {jobs} ;; *PID*) echo 0; echo 0 ;; *) echo active ;; esac")
    room.stub("sleep", "exec /bin/sleep 0.01")
    room.stub("passes", "cat /srv/jobs >> /srv/asked; " + PASSES)
    batch = Batch()
    for unit in ("x.service", "y.service"):
        batch.add("gate", wire.Gate(unit=unit, kind="command", seconds=20, argument="passes 3"))
    assert room.apply(batch)[-1][0] == "done"
    assert room.text("cat /srv/asked").split() == ["3", "3", "3", "4"], "the job of the second unit is asked for, too"
