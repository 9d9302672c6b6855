"""`kprov open` as a user runs it: the lines it prints for programs, and Ctrl-C."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab_cluster import KPROV, LabCluster


@dataclass
class Tunnel:
    """An open one: what its first line said, and its process."""

    said: dict[str, Any]
    lines: queue.Queue[str]  # what it prints after that, as it comes; empty at its end

    @property
    def url(self) -> str:
        return str(self.said["url"])

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def next_line(self) -> dict[str, Any]:
        return dict(json.loads(self.lines.get(timeout=60)))


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
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    try:
        line = lines.get(timeout=60)
        assert line, process.stderr.read() if process.stderr else ""
        yield Tunnel(said=json.loads(line), lines=lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        reader.join(10)
        *_, last, end = lines.queue
        assert (json.loads(last)["event"], end) == ("closed", "")
    finally:
        process.kill()
        process.wait()


def _read(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")
