"""Which ports of other hosts the probe gets to: asked for real, in network namespaces with nft's rules between them."""

from __future__ import annotations

import os
import shlex
import shutil
import time

import pytest
from apply_room import Room

from kprov.observe.observation import Observation, parse
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")

RULES = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport { 10250, 20000-20063 } drop
        tcp dport 2379 reject with icmpx admin-prohibited
        tcp dport 2380 reject with tcp reset
    }
}
"""


def look(room: Room, *ports: int) -> Observation:
    question = Question(knocks=tuple(("127.0.0.1", port) for port in ports), facts=False)
    room.sh("cat > /srv/rules", RULES.encode())
    inside = f"ip link set lo up && nft -f /srv/rules && {PROBE_COMMAND}"
    done = room.sh(f"unshare -n sh -c {shlex.quote(inside)}", probe_program(question.queries()))
    assert (done.returncode, done.stderr) == (0, b"")
    return parse(done.stdout, host="h", asked=(), operator_clock=time.time())


def test_dropped_and_prohibited_ports_are_closed_and_ports_where_nobody_listens_are_open(room: Room) -> None:
    closed = look(room, 6443, 10250, 2379, 2380).closed
    assert closed == {("127.0.0.1", 10250): "no answer", ("127.0.0.1", 2379): "No route to host"}


def test_many_ports_that_are_dropped_are_asked_side_by_side(room: Room) -> None:
    began = time.monotonic()
    assert len(look(room, *range(20000, 20064)).closed) == 64
    assert time.monotonic() - began < 64 * 4 / 2


def test_without_bash_nothing_is_said(room: Room) -> None:
    room.text(": > /srv/none; mount --bind /srv/none /usr/bin/bash")
    assert look(room, 10250).closed == {}
