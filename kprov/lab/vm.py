"""Lab machines that are virtual machines with a kernel of their own: made, booted, looked into, cut off."""

from __future__ import annotations

import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kprov.lab import guest, network, process, qemu, qmp, seed
from kprov.lab.commands import environment, run
from kprov.lab.image import Image
from kprov.lab.layout import Lab, Machine
from kprov.values.errors import LabError

_KEEPER = Path(__file__).with_name("vm.sh")
_SSH_FAILED = 255
_OPTIONS = ("BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "ConnectTimeout=30", "LogLevel=ERROR")
_ENVIRONMENT = (
    "env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8"
)


def prepare(lab: Lab, machine: Machine, *, host_key: bytes, authorized_key: str) -> None:
    """Make the machine's folder with its disk and the files that are its own. Raises LabError."""
    machine.folder.mkdir(parents=True, exist_ok=True)
    texts = tuple(_read(Path(name)) for name in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"))
    files = seed.content(lab, machine, host_key=host_key, authorized_key=authorized_key, nameservers=texts)
    guest.write_private(machine.folder / "seed.tar", files)
    (machine.folder / "known_hosts").write_text(f"{machine.address} {machine.host_key}\n", encoding="ascii")
    size, disk = qemu.size(machine).disk, str(machine.folder / "disk.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(_image(lab).disk), disk, f"{size}G"])


def boot(lab: Lab, machine: Machine, clock: timedelta) -> None:
    """Start a machine that does not run. `clock`: how far its hardware clock is ahead. Raises LabError."""
    image, accelerator = _image(lab), lab.accelerator or "tcg"
    network.add_tap(qemu.tap(lab, machine), lab.bridge)
    command = qemu.arguments(
        lab,
        machine,
        kernel=image.kernel,
        initrd=image.initrd,
        accelerator=accelerator,
        clock=datetime.now(UTC) + clock,
    )
    process.spawn(qemu.keeper_command(_KEEPER, machine, command), extra_environment={}, log=machine.console)


def running(machine: Machine) -> bool:
    """Whether the machine has power."""
    return process.keeper(machine) is not None


def kernel(lab: Lab) -> str:
    """Release of the kernel that the lab's virtual machines are started with."""
    return _image(lab).release


def status(machine: Machine) -> str:
    """What the machine's systemd says of itself, or why it says nothing."""
    try:
        done = enter(machine, ["systemctl", "is-system-running"], timeout=60)
    except LabError:
        return "SSH does not answer"
    return done.stdout.strip() or "systemd does not answer yet"


def boot_mark(machine: Machine) -> str:
    """Something that is another one after the next boot; empty when the machine does not answer."""
    try:
        return enter(machine, ["cat", "/proc/sys/kernel/random/boot_id"], timeout=60).stdout.strip()
    except LabError:
        return ""


def cut(lab: Lab, machine: Machine) -> None:
    """Cut the machine's power and take its cable away; one that does not run is fine. Raises LabError."""
    held = process.keeper(machine)
    if held is not None:
        process.kill(held)
    network.drop_tap(qemu.tap(lab, machine))


def plug(machine: Machine, *, connected: bool) -> None:
    """Pull the machine's network cable, or put it back; its kernel sees the link go. Raises LabError."""
    qmp.execute(machine.folder / "qmp", "set_link", name="card", up=connected)


def put(machine: Machine, source: Path, path: str) -> None:
    """Copy a file of this host to `path` in the machine. Raises LabError."""
    with source.open("rb") as content:
        done = subprocess.run(
            [*_ssh(machine), f"cat >{shlex.quote(path)}"],
            stdin=content,
            capture_output=True,
            env=environment(),
            timeout=600,
            check=False,
        )
    if done.returncode:
        raise LabError(
            "a file could not be copied", where=machine.identity, found=done.stderr.decode(errors="replace").strip()
        )


def enter(
    machine: Machine, argv: list[str], *, text: str = "", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program inside the machine as root, by SSH. Raises LabError when it does not answer or takes too long."""
    if not running(machine):
        raise LabError("the machine does not run", where=machine.identity, todo="start it")
    command = [*_ssh(machine), f"{_ENVIRONMENT} {shlex.join(argv)}"]
    done = process.ask(machine, command, argv[0], text=text, timeout=timeout)
    if done.returncode == _SSH_FAILED:
        raise LabError(
            "the machine does not answer",
            where=machine.identity,
            found=done.stderr.strip() or "the connection was lost",
            log=process.console_tail(machine),
        )
    return done


def _ssh(machine: Machine) -> list[str]:
    known = f"UserKnownHostsFile={machine.folder / 'known_hosts'}"
    options = [word for option in (*_OPTIONS, known) for word in ("-o", option)]
    return ["ssh", "-F", "none", "-i", str(machine.key), *options, f"root@{machine.address}"]


def _image(lab: Lab) -> Image:
    if lab.image is None:
        raise LabError("this lab has no image for virtual machines", where=f"lab {lab.name}")
    return Image(folder=lab.image)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
