"""How a virtual machine is started, as an argument list; decides only, starts nothing."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

from kprov.lab.layout import Accelerator, Lab, Machine, VmSize
from kprov.values.errors import LabError

PROGRAM = "qemu-system-x86_64"
# What is cut off is lost unless the guest synced it, as on a real disk: QEMU's own cache of an image's tables, too.
_DISK = "if=none,format=qcow2,cache=writeback,discard=unmap,werror=report,rerror=report"
_KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.show_status=1 TERM=dumb"
_CODE = 256  # MiB that hold translated code of an emulated machine


def tap(lab: Lab, machine: Machine) -> str:
    """Name of the machine's end of its network cable on this host; at most 15 characters."""
    return f"kprov-vm{lab.index}.{machine.address.rpartition('.')[2]}"


def mac(machine: Machine) -> str:
    """An address that no other machine of this host's labs has: the machine's IP address is in it."""
    octets = [int(octet) for octet in machine.address.split(".")]
    return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, *octets))


def size(machine: Machine) -> VmSize:
    """The size of a virtual machine. Raises LabError for a container."""
    if machine.vm is None:
        raise LabError("this is a container, not a virtual machine", where=machine.identity)
    return machine.vm


def arguments(
    lab: Lab, machine: Machine, *, kernel: Path, initrd: Path, accelerator: Accelerator, clock: datetime
) -> tuple[str, ...]:
    """The QEMU command of a machine. `clock`: the time (UTC) its hardware clock shows when it starts."""
    given, folder = size(machine), machine.folder
    return (
        PROGRAM,
        *("-name", machine.identity),
        *("-uuid", str(uuid.uuid5(uuid.NAMESPACE_DNS, machine.identity))),
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        *("-machine", "q35"),
        *_processor(accelerator),
        *("-smp", str(given.processors)),
        *("-m", f"{given.memory}M"),
        *("-kernel", str(kernel)),
        *("-initrd", str(initrd)),
        *("-append", _KERNEL),
        *("-rtc", f"base={clock:%Y-%m-%dT%H:%M:%S},clock=host"),
        *("-drive", f"id=disk,file={folder}/disk.qcow2,{_DISK}"),
        *("-device", "virtio-blk-pci,drive=disk,serial=disk"),
        *("-drive", f"id=seed,if=none,format=raw,readonly=on,file={folder}/seed.tar"),
        *("-device", "virtio-blk-pci,drive=seed,serial=seed"),
        *("-netdev", f"tap,id=net,ifname={tap(lab, machine)},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,id=card,netdev=net,mac={mac(machine)}"),
        *("-object", "rng-random,id=rng,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=rng"),
        *("-chardev", f"file,id=console,path={machine.console},append=on"),
        *("-serial", "chardev:console"),
        *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
    )


def _processor(accelerator: Accelerator) -> tuple[str, ...]:
    if accelerator == "kvm":
        return ("-accel", "kvm", "-cpu", "host")
    return ("-accel", f"tcg,thread=single,tb-size={_CODE}", "-cpu", "max")


def keeper_command(script: Path, machine: Machine, command: tuple[str, ...]) -> tuple[str, ...]:
    """The detached process that becomes the machine."""
    return ("/bin/sh", str(script), str(machine.folder), *command)


def probe(kernel: Path) -> tuple[str, ...]:
    """A command that shows whether KVM really runs a kernel: without a disk it panics, says so and ends."""
    return (
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none"),
        *("-machine", "q35"),
        *_processor("kvm"),
        *("-m", "512M"),
        *("-kernel", str(kernel)),
        *("-append", "console=ttyS0 panic=-1"),
        *("-serial", "stdio"),
    )


def proved(output: str) -> bool:
    """Whether the probe's kernel came as far as to look for a disk."""
    return "Unable to mount root fs" in output
