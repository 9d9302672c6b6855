"""Lab machines that are systemd-nspawn containers: made, booted, looked into, cut off. They share this host's kernel."""

from __future__ import annotations

import platform
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

from kprov.lab import cgroups, guest, network, nspawn, process
from kprov.lab.layout import Lab, Machine
from kprov.values.errors import LabError

_KEEPER = Path(__file__).with_name("keeper.sh")


def prepare(lab: Lab, machine: Machine, *, host_key: bytes, authorized_key: str) -> None:
    """Make the machine's folders and files. Raises LabError."""
    guest.prepare(lab, machine, host_key=host_key, authorized_key=authorized_key)


def boot(lab: Lab, machine: Machine, clock: timedelta) -> None:
    """Start a machine that does not run, whatever an earlier run left of it. Raises LabError."""
    if clock:
        raise LabError(
            "a container has this computer's clock", where=machine.identity, todo="make it a virtual machine"
        )
    cgroups.sweep(machine.identity)
    network.drop_link(machine.identity)
    guest.mount(lab, machine)
    groups = cgroups.make(machine.identity)
    (machine.folder / "groups").write_text("".join(f"{group}\n" for group in groups), encoding="ascii")
    modules = Path("/lib/modules")
    arguments = nspawn.arguments(lab, machine, kernel_modules=modules.resolve() if modules.is_dir() else None)
    command = nspawn.keeper_command(_KEEPER, machine, arguments)
    process.spawn(command, extra_environment=nspawn.ENVIRONMENT, log=machine.console)


def running(machine: Machine) -> bool:
    """Whether the machine has an init."""
    return process.leader(machine) is not None


def kernel(lab: Lab) -> str:
    """Release of the kernel that all containers share."""
    return platform.release()


def status(machine: Machine) -> str:
    """What the machine's systemd says of itself, or why it says nothing."""
    try:
        done = enter(machine, ["systemctl", "is-system-running"], timeout=10)
    except LabError:  # it went away between two looks, as it does in a reboot
        return "no init in the container"
    return done.stdout.strip() or "systemd does not answer yet"


def boot_mark(machine: Machine) -> str:
    """Something that is another one after the next boot; empty when the machine does not run."""
    init = process.leader(machine)
    return f"{init.pid}/{init.start}" if init is not None else ""


def cut(lab: Lab, machine: Machine) -> None:
    """End all processes of the machine and take its cable away; one that does not run is fine. Raises LabError."""
    held, outer = process.keeper(machine), process.container(machine)
    if held is not None:
        process.kill(held)
    if outer is not None:
        process.kill(outer)
    cgroups.sweep(machine.identity)
    network.drop_link(machine.identity)


def put(machine: Machine, source: Path, path: str) -> None:
    """Copy a file of this host to `path` in the machine."""
    shutil.copyfile(source, machine.root / path.lstrip("/"))


def enter(
    machine: Machine, argv: list[str], *, text: str = "", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program inside the machine as root, in its namespaces. Raises LabError."""
    return process.enter(machine, argv, text=text, timeout=timeout)
