"""`kprov open` as a user runs it: what it prints, for people and for programs, and Ctrl-C."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
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


@dataclass(frozen=True)
class Shown:
    """What `kprov open` shows to people."""

    url: str
    user: str
    password: str = field(repr=False)

    def statuses(self, path: str) -> tuple[int, int, int]:
        """What a path answers with to nobody, with a wrong password, and with what was shown."""
        address = urllib.parse.urljoin(self.url, path)
        logins = (None, (self.user, "wrong"), (self.user, self.password))
        answers = [httpx.get(address, auth=login, timeout=30, follow_redirects=False) for login in logins]
        return answers[0].status_code, answers[1].status_code, answers[2].status_code


@contextmanager
def shown(cluster: LabCluster, name: str) -> Iterator[Shown]:
    """The command as a user types it, without a browser. Ends with Ctrl-C at the end of the block, and in order."""
    process = subprocess.Popen(
        [KPROV, "open", name, cluster.inventory, "--no-browser"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        text = "".join(iter(process.stdout.readline, "Ctrl-C ends it, and that password\n"))
        found = re.search(r"(http://127\.0\.0\.1:\d+/\S*)\nuser (\S+), password (\S+)\n", text)
        assert found, text
        yield Shown(*found.groups())
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=20)
        assert (process.returncode, said, complained) == (0, "", "closed\n")
    finally:
        process.kill()
        process.wait()


def _read(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")
