"""What the machines of a lab are made from, made once and kept; and whether this computer has room for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kprov.lab import accelerators, base, image
from kprov.lab.commands import require_memory, require_space
from kprov.lab.layout import CACHE, Accelerator, MachineSpec

_CONTAINER_BYTES = 2**29
_VM_BYTES = 3 * 2**30


@dataclass(frozen=True, kw_only=True)
class Template:
    """The root of containers; of virtual machines the image, and how this computer runs them."""

    base: Path
    image: Path | None = None
    accelerator: Accelerator | None = None


def ensure(machines: Sequence[MachineSpec], suite: str) -> Template:
    """Make what is not there yet. Raises LabError."""
    root = base.ensure(suite)
    if not any(spec.vm for spec in machines):
        return Template(base=root)
    made = image.ensure(suite)
    return Template(base=root, image=made.folder, accelerator=accelerators.choose(made.kernel))


def require_room(machines: Sequence[MachineSpec]) -> None:
    """Raises LabError when this computer has too little disk or memory left for these machines."""
    sizes = [spec.vm for spec in machines if spec.vm]
    containers = len(machines) - len(sizes)
    require_space(CACHE, len(sizes) * _VM_BYTES + containers * _CONTAINER_BYTES)
    require_memory(sum(size.memory for size in sizes))
