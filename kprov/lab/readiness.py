"""Waits until a lab machine is up: its SSH server speaks and its systemd has started everything. Changes nothing."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from kprov.lab import kinds, process
from kprov.lab.layout import Machine
from kprov.values.errors import LabError

_POLL = 0.1
_UP = ("running", "degraded")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a machine may take: seconds without a new line on its console, and seconds in all."""

    quiet: float
    all: float


CONTAINER = Patience(quiet=60, all=60)
VM = Patience(quiet=240, all=1200)  # emulated on a busy computer: three minutes of console, and services that are slow


def wait_ready(machine: Machine, patience: Patience | None = None) -> None:
    """Return when SSH answers and systemd is running (or degraded). Raises LabError when patience is over."""
    given = patience or (CONTAINER if machine.vm is None else VM)
    begin = told = time.monotonic()
    kind, said = kinds.of(machine), 0
    while True:
        seen = kind.status(machine)
        if seen in _UP and _speaks_ssh(machine.address):
            return
        now, size = time.monotonic(), _console_size(machine)
        if size != said:
            told, said = now, size
        gone = process.keeper(machine) is None
        if gone or now - told > given.quiet or now - begin > given.all:
            raise LabError(
                "the machine did not come up",
                where=machine.identity,
                found=f"{'it ended' if gone else seen}, after {now - begin:.0f} s",
                needed="systemd running and an SSH server that answers",
                log=process.console_tail(machine),
            )
        time.sleep(_POLL)


def _console_size(machine: Machine) -> int:
    try:
        return machine.console.stat().st_size
    except FileNotFoundError:
        return 0


def _speaks_ssh(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
