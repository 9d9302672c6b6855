"""`kprov open` as a user runs it: the lines it prints for programs, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab_cluster import KPROV, LabCluster


@dataclass
class Tunnel:
    """An open one: what its first line said, and its process."""

    said: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return str(self.said["url"])

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def next_line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))


@contextmanager
def tunnel(
    cluster: LabCluster, name: str, *arguments: str, env: Mapping[str, str] | None = None, browser: bool = False
) -> Iterator[Tunnel]:
    """Ends with Ctrl-C at the end of the block, and in order."""
    process = subprocess.Popen(
        [KPROV, "open", name, cluster.inventory, "--json", *([] if browser else ["--no-browser"]), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield Tunnel(said=json.loads(line), process=process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["event"] == "closed"
    finally:
        process.kill()
        process.wait()
