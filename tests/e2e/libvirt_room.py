"""Libvirt in namespaces of its own, with its networks: nothing of it is seen outside, or left when it is closed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

PROGRAM = Path(__file__).with_name("libvirt.sh")
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")


class LibvirtRoom:
    """A running libvirtd; `run` starts programs beside it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._held = subprocess.Popen(
            [*_UNSHARE, "/bin/sh", str(PROGRAM), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(folder / "libvirt.log").open("w"),
            text=True,
        )
        assert self._held.stdout
        if self._held.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError(f"libvirt does not start\n{(folder / 'libvirt.log').read_text()}")
        children = Path(f"/proc/{self._held.pid}/task/{self._held.pid}/children").read_text().split()
        self.pid = int(children[0])

    def close(self) -> None:
        self._held.kill()  # and with it what it has made: --kill-child
        self._held.wait()

    def run(
        self, *argv: str, folder: Path, environment: Mapping[str, str], timeout: float, log: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in `folder`. Its output goes to `log`, where somebody may follow it, or is returned."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid"]
        change = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), *argv]
        output = log.open("a") if log else subprocess.PIPE
        return subprocess.run(
            [*enter, *change],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            timeout=timeout,
            check=False,
        )
