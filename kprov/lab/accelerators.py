"""Finds out whether this computer's KVM runs virtual machines; starts nothing but a kernel without a disk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kprov.lab import qemu
from kprov.lab.commands import environment
from kprov.lab.layout import Accelerator

_DEVICE = "/dev/kvm"
_SECONDS = 30.0  # a kernel gets there in two


def choose(kernel: Path) -> Accelerator:
    """KVM where a kernel was seen to boot by it, emulation otherwise: a device that is there proves nothing."""
    if os.access(_DEVICE, os.R_OK | os.W_OK) and qemu.proved(_output(qemu.probe(kernel))):
        return "kvm"
    return "tcg"


def told(accelerator: Accelerator) -> str:
    """How virtual machines run here, for whoever waits for them."""
    if accelerator == "kvm":
        return "virtual machines run by KVM"
    return (
        "virtual machines are emulated, as KVM does not boot a kernel on this computer: "
        "they work, ten times slower; a node takes ten minutes"
    )


def _output(argv: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        return output.decode(errors="replace") if isinstance(output, bytes) else output
    return done.stdout
