"""What every kind of lab machine can do, and which module does it; knows no lab."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from kprov.lab import container, vm
from kprov.lab.layout import Lab, Machine


class Kind(Protocol):
    """The functions of `container` and of `vm`; their docstrings say what each does."""

    def prepare(self, lab: Lab, machine: Machine, *, host_key: bytes, authorized_key: str) -> None: ...
    def boot(self, lab: Lab, machine: Machine, clock: timedelta) -> None: ...
    def running(self, machine: Machine) -> bool: ...
    def kernel(self, lab: Lab) -> str: ...
    def status(self, machine: Machine) -> str: ...
    def boot_mark(self, machine: Machine) -> str: ...
    def cut(self, lab: Lab, machine: Machine) -> None: ...
    def put(self, machine: Machine, source: Path, path: str) -> None: ...
    def enter(
        self, machine: Machine, argv: list[str], *, text: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]: ...


def of(machine: Machine) -> Kind:
    return container if machine.vm is None else vm
