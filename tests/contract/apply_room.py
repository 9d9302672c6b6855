"""A room for kprov's shell programs: namespaces where the folders that they write to are empty, and programs can be put
before the real ones."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kprov.apply.batch import Batch, stream
from kprov.apply.scripts import APPLY_COMMAND
from kprov.observe.observation import Observation, parse
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program

FOLDERS = ("/opt", "/srv", "/run", "/var/lib", "/usr/local/sbin")  # the last is the first one of their PATH


@dataclass(frozen=True, kw_only=True)
class Room:
    """Namespaces of mounts and processes; `pid` holds them open."""

    pid: int

    def sh(self, script: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "sh", "-c", script], input=stdin, capture_output=True
        )

    def text(self, script: str) -> str:
        done = self.sh(script)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def apply(self, batch: Batch) -> list[list[str]]:
        """The answers as rows: `ok NUMBER -`, `told NUMBER TEXT`, `fail NUMBER TEXT`, `done 0 -`."""
        done = self.sh(APPLY_COMMAND, b"".join(stream(batch, "g1")))
        assert done.stderr == b""
        rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
        return [[*row[:2], base64.b64decode(row[2]).decode()] if row[0] in ("fail", "told") else row for row in rows]

    def observe(self, question: Question | None = None) -> Observation:
        """What the probe says here."""
        asked = question or Question(facts=False)
        done = self.sh(PROBE_COMMAND, probe_program(asked.queries()))
        assert (done.returncode, done.stderr) == (0, b"")
        return parse(done.stdout, host="room", asked=asked.keys, operator_clock=0.0)

    def stub(self, path: str, program: str) -> None:
        """Puts a shell program at `path`, or before the real one when it is a bare name."""
        place = path if "/" in path else f"/usr/local/sbin/{path}"
        done = self.sh(
            f"mkdir -p {place.rpartition('/')[0]} && cat > {place} && chmod 755 {place}",
            f"#!/bin/sh\n{program}\n".encode(),
        )
        assert done.returncode == 0, done.stderr

    def cost(self, batch: Batch) -> int:
        """How many processes an apply starts."""
        before = self.started()
        assert self.apply(batch)[-1][0] == "done"
        return self.started() - before

    def leftovers(self) -> str:
        return self.text("find /opt /srv /var/lib -name '*.kprov-new' -o -name 'stage.*' -o -name unfinished")

    def started(self) -> int:
        """How many processes this room has seen so far: in a process namespace of one's own they are numbered."""
        return int(self.text("sh -c 'echo $$'"))

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[None]:
        """A Python program of the room, once it has printed `ready`; it is to end when its input does."""
        command = ["nsenter", "-t", str(self.pid), "-m", "-p", "python3", "-c", program, *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
            process.stdin.close()


@pytest.fixture
def room() -> Iterator[Room]:
    mounts = " && ".join(f"mount -t tmpfs -o mode=0755 room {folder}" for folder in FOLDERS)
    script = (
        f"{mounts} && mkdir /srv/full /srv/a && mount -t tmpfs -o size=64k room /srv/full && echo ready && exec cat"
    )
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Room(pid=int(children[0]))
        process.stdin.close()
