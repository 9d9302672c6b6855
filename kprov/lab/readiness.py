"""Waits until a lab machine is up: its SSH server speaks and its systemd has started everything. Changes nothing."""

from __future__ import annotations

import socket
import time

from kprov.lab import process
from kprov.lab.layout import Machine
from kprov.values.errors import LabError

_POLL = 0.1
_UP = ("running", "degraded")


def wait_ready(machine: Machine, *, timeout: float = 60) -> None:
    """Return when SSH answers and systemd is running (or degraded). Raises LabError after `timeout` seconds."""
    begin = time.monotonic()
    seen = "nothing"
    while True:
        elapsed = time.monotonic() - begin
        if process.leader(machine) is None:
            seen = "no init in the container"
            gone = process.keeper(machine) is None
        else:
            gone = False
            seen = _status(machine)
            if seen in _UP and _speaks_ssh(machine.address):
                return
        if gone or elapsed > timeout:
            raise LabError(
                "the machine did not come up",
                where=machine.identity,
                found=f"{seen}, after {elapsed:.0f} s",
                needed="systemd running and an SSH server that answers",
                log=process.console_tail(machine),
            )
        time.sleep(_POLL)


def _status(machine: Machine) -> str:
    try:
        done = process.enter(machine, ["systemctl", "is-system-running"], timeout=10)
    except LabError:  # it went away between two looks, as it does in a reboot
        return "no init in the container"
    return done.stdout.strip() or "systemd does not answer yet"


def _speaks_ssh(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
