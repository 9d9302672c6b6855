"""What upstream publishes, out of pinned Go modules (modules/NAME): folders of them, and programs built from them.

A module that cannot be had on the day skips the test, with what the Go client said; one that is not as pinned fails it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent / "modules"
_MISMATCH = "SECURITY ERROR"


def folder(name: str | Path, module: str) -> Path:
    """The files of a module that modules/NAME, or another folder, pins."""
    answer = _fetched(name, ["go", "mod", "download", "-json", module], {})
    return Path(json.loads(answer)["Dir"])


def program(
    name: str, package: str, target: Path, *, ldflags: Sequence[str] = (), tags: str = "", cgo: bool = False
) -> Path:
    """A static program at `target`. cgo: with C in it."""
    chosen = ["-tags", tags] if tags else []
    linker = ["-s", "-w", *(("-linkmode", "external", "-extldflags", "-static") if cgo else ()), *ldflags]
    settings = {"CGO_ENABLED": "1" if cgo else "0"}
    _fetched(name, ["go", "list", "-deps", *chosen, package], settings)
    command = ["go", "build", "-trimpath", *chosen, "-ldflags", " ".join(linker), "-o", str(target), package]
    subprocess.run(command, cwd=_ROOT / name, env=_environment(settings), check=True)
    return target


def _fetched(name: str | Path, command: Sequence[str], settings: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=_ROOT / name, env=_environment(settings), capture_output=True, text=True, check=False
    )
    told = f"{done.stderr}{done.stdout if done.returncode else ''}"
    assert _MISMATCH not in told, told
    if done.returncode != 0:
        pytest.skip(f"the modules of {name} cannot be had: {told.strip()[-300:]}")
    return done.stdout


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", **settings}
