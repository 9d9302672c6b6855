"""How a machine's container is started, as an argument list and an environment; decides only, starts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kprov.lab.layout import REAL_FOLDERS, Lab, Machine

# With "1" instead of "network", /sys becomes writable and systemd-networkd waits for udev for ever.
ENVIRONMENT = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}


def arguments(lab: Lab, machine: Machine, *, kernel_modules: Path | None) -> tuple[str, ...]:
    """The systemd-nspawn command of a machine. `kernel_modules`: the host's module folder, when it has one.

    See systemd-nspawn(1). The machine gets all capabilities and system calls that the host knows, as kubelet and
    container runtimes need them: it is a test machine, not a security boundary.
    """
    return (
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--keep-unit",
        "--register=no",
        f"--directory={machine.root}",
        f"--machine={machine.identity}",
        f"--hostname={machine.name}",
        f"--network-bridge={lab.bridge}",
        "--capability=all",
        "--system-call-filter=@known",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--setenv=TERM=dumb",  # no colours in the console's log
        "--bind=/dev/kmsg",
        *_binds(machine, kernel_modules),
    )


def _binds(machine: Machine, kernel_modules: Path | None) -> Sequence[str]:
    binds = [f"--bind={machine.real_folder(path)}:{path}" for path in REAL_FOLDERS]
    if kernel_modules is not None:
        binds.append(f"--bind-ro={kernel_modules}:/lib/modules")  # so that modprobe works as on any machine
    return binds


def keeper_command(script: Path, machine: Machine, container: Sequence[str]) -> tuple[str, ...]:
    """The detached process that holds the machine: keeper.sh around its container."""
    return ("/bin/sh", str(script), str(machine.folder), str(machine.root), *container)
