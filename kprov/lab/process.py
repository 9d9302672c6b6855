"""A machine's processes on this host: its keeper, its container, the init inside; recognised by more than a number.

A process is only ever signalled through a handle, after its start time and the boot it belongs to were compared.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kprov.lab.commands import environment, tail
from kprov.lab.layout import Machine
from kprov.values.errors import LabError

_POLL = 0.02
_PROC = Path("/proc")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that cannot be mistaken for another: `start` is its start time in clock ticks since boot."""

    pid: int
    parent: int
    start: int


def parse_stat(text: str) -> Process:
    """Read /proc/PID/stat (proc(5)); the program's name in it may hold blanks and brackets. Raises ValueError."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    if len(fields) < 20:
        raise ValueError(f"not the text of /proc/PID/stat: {text[:80]!r}")
    return Process(pid=int(head.split("(", 1)[0]), parent=int(fields[1]), start=int(fields[19]))


def parse_keeper(text: str, boot_id: str) -> Process | None:
    """The process a keeper file tells of, or None when it was written before this boot. Raises ValueError."""
    boot, _, stat = text.partition("\n")
    return parse_stat(stat) if boot == boot_id else None


def keeper(machine: Machine) -> Process | None:
    """The live keeper of a machine, if there is one."""
    try:
        text = (machine.folder / "keeper").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    told = parse_keeper(text, (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    return told if told is not None and is_alive(told) else None


def is_alive(process: Process) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    try:
        text = (_PROC / str(process.pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return parse_stat(text).start == process.start and text.rpartition(")")[2].split()[0] not in "ZX"


def children(pid: int) -> tuple[Process, ...]:
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                process = parse_stat((entry / "stat").read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
            if process.parent == pid:
                found.append(process)
    return tuple(found)


def container(machine: Machine) -> Process | None:
    """The machine's systemd-nspawn process."""
    held = keeper(machine)
    for child in children(held.pid) if held else ():
        if _program(child.pid) == "systemd-nspawn":
            return child
    return None


def leader(machine: Machine) -> Process | None:
    """The machine's init, once it is in a PID namespace of its own as number 1."""
    outer = container(machine)
    for child in children(outer.pid) if outer else ():
        if _namespaced_pid(child.pid) == 1:
            return child
    return None


def _program(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespaced_pid(pid: int) -> int | None:
    try:
        status = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return int(numbers[-1]) if len(numbers) > 1 else None
    return None


def spawn(argv: Sequence[str], *, extra_environment: dict[str, str], log: Path) -> None:
    """Start a process in a session of its own and no child of ours, so that it outlives us; output goes to `log`."""
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**environment(), **extra_environment},
            check=True,
        )


def wait_keeper(machine: Machine, *, timeout: float = 5) -> None:
    """Return when a machine's keeper has told who it is. Raises LabError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while keeper(machine) is None:
        if time.monotonic() > deadline:
            raise LabError("the machine's keeper does not start", where=machine.identity, log=console_tail(machine))
        time.sleep(_POLL)


def kill(process: Process, *, timeout: float = 10) -> None:
    """Kill exactly this process and wait until it is gone; one that is gone already is fine. Raises LabError."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(process):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
    wait_gone(process, timeout=timeout)


def wait_gone(process: Process, *, timeout: float) -> None:
    """Raises LabError when the process still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while is_alive(process):
        if time.monotonic() > deadline:
            raise LabError("a process does not end", found=f"process {process.pid} after {timeout:g} s")
        time.sleep(_POLL)


def console_tail(machine: Machine) -> str:
    """The last lines of a machine's console, as evidence for an error."""
    try:
        return tail(machine.console.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return ""


def enter(
    machine: Machine, argv: Sequence[str], *, text: str = "", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program inside the machine, in all its namespaces, with an environment of its own.

    Raises LabError when the machine does not run or the program takes more than `timeout` seconds.
    """
    init = leader(machine)
    if init is None:
        raise LabError("the machine does not run", where=machine.identity, todo="start it")
    command = ["nsenter", "-t", str(init.pid), "--all", "--root", "--wd", "--", "env", "-i", _PATH, "HOME=/root"]
    return ask(machine, [*command, "TERM=dumb", "LC_ALL=C.UTF-8", *argv], argv[0], text=text, timeout=timeout)


def ask(
    machine: Machine, command: Sequence[str], program: str, *, text: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command of this host that runs `program` inside the machine, whichever way it gets there.

    Raises LabError, with the end of the console, when it takes more than `timeout` seconds.
    """
    try:
        return subprocess.run(
            list(command),
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(
            "a program in the machine took too long",
            where=machine.identity,
            found=f"{program} ran for {timeout:g} s",
            log=console_tail(machine),
        ) from None
