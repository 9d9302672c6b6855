"""Restores a snapshot for trial into an etcd of its own on this computer, and looks at what came back.

It serves on a socket in a folder that only its owner may open, for some seconds, and is gone with all it held.
"""

from __future__ import annotations

import base64
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kprov.plan.backup import PREFIX, SECRETS, Restored, count
from kprov.values.errors import BackupError
from kprov.values.resources import Artifact

PROGRAMS = ("etcd", "etcdctl", "etcdutl")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_START = 60.0  # seconds until it serves
_SOCKET = "unix://trial:0"  # a file of that name in the folder it is started in
_PEER = "unix://peer:0"
_MARGIN = 256 << 20


def architecture() -> str:
    """Return this computer's, in Go's words. Raises BackupError where etcd cannot run."""
    found = _ARCHITECTURES.get(platform.machine(), "")
    if sys.platform != "linux" or not found:
        raise BackupError(
            "a backup cannot be tried on this computer, as etcd does not run here",
            found=f"{sys.platform}, {platform.machine()}",
            needed="Linux on x86_64 or aarch64",
            todo="verify it on such a computer, with a copy of the state folder",
        )
    return found


def need_room(folder: Path, size: int) -> None:
    """Raise BackupError unless a snapshot of that many bytes and what is made of it fit."""
    free = shutil.disk_usage(folder).free
    needed = 2 * size + _MARGIN
    if free < needed:
        raise BackupError(
            "there is too little room to try the backup",
            where=str(folder),
            found=f"{free >> 20} MiB free",
            needed=f"{needed >> 20} MiB",
            todo="make room there, or name another folder with TMPDIR",
        )


def restored(snapshot: Path, artifacts: Mapping[str, Artifact], opens: Callable[[str, bytes], bool]) -> Restored:
    """Return what the snapshot is when it is restored beside itself. Raises BackupError.

    artifacts: PROGRAMS. opens: whether what is stored at a key of etcd, a Secret, is readable with the cluster's keys.
    """
    folder = snapshot.parent
    programs = {name: artifacts[name].local for name in PROGRAMS}
    status = json.loads(_run(folder, programs["etcdutl"], "snapshot", "status", snapshot.name, "-w", "json"))
    _run(
        folder, programs["etcdutl"], "snapshot", "restore", snapshot.name, "--data-dir=data", "--name=trial",
        f"--initial-cluster=trial={_PEER}", f"--initial-advertise-peer-urls={_PEER}",
    )  # fmt: skip
    revision = int(status["revision"])
    with _serving(folder, programs):

        def get(*words: str) -> str:
            return _ask(folder, programs, "get", "--prefix", f"--rev={revision}", *words)

        keys = get("--keys-only", PREFIX).split()
        found = json.loads(get("--limit=1", "-w", "json", SECRETS)).get("kvs", [])
    secret, readable = "", True
    for row in found:
        path = base64.b64decode(row["key"]).decode(errors="replace")
        secret, readable = path.removeprefix(SECRETS), opens(path, base64.b64decode(row.get("value", "")))
    return Restored(
        hash=int(status["hash"]),
        revision=revision,
        keys=int(status["totalKey"]),
        counts=count(keys),
        secret=secret,
        readable=readable,
    )


@contextmanager
def _serving(folder: Path, programs: Mapping[str, str]) -> Iterator[None]:
    words = [
        programs["etcd"], "--name=trial", "--data-dir=data", "--log-level=error",
        f"--listen-client-urls={_SOCKET}", f"--advertise-client-urls={_SOCKET}",
        f"--listen-peer-urls={_PEER}", f"--initial-advertise-peer-urls={_PEER}", f"--initial-cluster=trial={_PEER}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(words, cwd=folder, stdout=log, stderr=log) as process:
        try:
            _await(folder, programs, process)
            yield
        finally:
            process.kill()


def _await(folder: Path, programs: Mapping[str, str], process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START
    while True:
        try:
            _ask(folder, programs, "get", "health")
        except BackupError as error:
            if process.poll() is not None or time.monotonic() > ends:
                log = (folder / "log").read_text(errors="replace")[-2000:]
                raise BackupError("the restored etcd does not serve", found=error.found, log=log) from None
            time.sleep(0.2)
        else:
            return


def _ask(folder: Path, programs: Mapping[str, str], *words: str) -> str:
    return _run(folder, programs["etcdctl"], f"--endpoints={_SOCKET}", "--command-timeout=120s", *words)


def _run(folder: Path, *words: str) -> str:
    done: Any = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise BackupError(
            f"{Path(words[0]).name} {words[1]} {words[2]} failed on the snapshot",
            found=lines[-1] if lines else f"exit code {done.returncode}",
            log="\n".join(lines[-8:]),
            todo="use another backup",
        )
    return str(done.stdout)
