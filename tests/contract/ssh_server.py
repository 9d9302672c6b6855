"""Real OpenSSH servers on loopback for tests: own configuration, own host keys, own port; ended by their pid.

With root, `users` exist only in the server's private mount namespace: the machine's accounts are not touched.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:" + os.environ.get("PATH", ""))
PASSWORD = "correct horse battery"  # of every user that has one
USERS = {  # name → login shell, sudoers rule
    "asked": ("/bin/sh", "asked ALL=(ALL:ALL) ALL"),
    "free": ("/bin/bash", "free ALL=(ALL:ALL) NOPASSWD: ALL"),
    "plain": ("/bin/sh", ""),
    "ttyonly": ("/bin/sh", "Defaults:ttyonly requiretty\nttyonly ALL=(ALL:ALL) NOPASSWD: ALL"),
    "nologin": ("/usr/sbin/nologin", ""),
}


@dataclass
class SshServer:
    """A running sshd. `folder` holds its files; `key` is a client key it accepts for every user."""

    folder: Path
    port: int = 0
    users: bool = False
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "log"

    @property
    def key(self) -> Path:
        return self.folder / "id"

    @property
    def other_key(self) -> Path:
        return self.folder / "other"

    @property
    def user(self) -> str:
        return getpass.getuser()

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    @property
    def known_hosts(self) -> Path:
        path = self.folder / "known_hosts"
        path.write_text(f"[127.0.0.1]:{self.port} {self.host_key}\n")
        return path

    def start(self) -> None:
        for name in ("host", "id", "other"):
            if not (self.folder / name).exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        shutil.copy(self.folder / "id.pub", self.folder / "authorized")
        (self.folder / "authorized").chmod(0o644)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = self.port or _free_port()
        (self.folder / "config").write_text(self._config())
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self._argv(), stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        self._wait()

    def stop(self) -> None:
        assert self.process is not None
        for pid in self.children():
            _kill(pid)
        self.process.terminate()
        self.process.wait()

    def children(self) -> list[int]:
        """Processes of open connections: those below the listener."""
        assert self.process is not None
        found, todo = [], [self.process.pid]
        while todo:
            parent = todo.pop()
            path = Path(f"/proc/{parent}/task/{parent}/children")
            below: list[int] = []
            with suppress(FileNotFoundError, ProcessLookupError):  # it may end at any moment
                below = [int(pid) for pid in path.read_text().split()]
            found += below
            todo += below
        return found

    def cut(self) -> None:
        """Kills the sshd processes of all open connections, not what they started."""
        for pid in self.children():
            try:
                name = Path(f"/proc/{pid}/comm").read_text()
            except OSError:
                continue  # it ended with the one killed before
            if name.startswith("sshd"):
                _kill(pid)

    def accepted(self) -> int:
        """How many logins it has let in."""
        return self.log.read_text().count("Accepted ")

    def _config(self) -> str:
        # SHLVL: bash reads ~/.bashrc under sshd unless it is nested; what is in it on this machine is not our test.
        nested = "" if self.users else "SetEnv SHLVL=5\n"
        return (
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\nMaxStartups 100\n"
            f"PermitRootLogin prohibit-password\nPasswordAuthentication {'yes' if self.users else 'no'}\n"
            f"KbdInteractiveAuthentication no\n{nested}{self.extra}"
        )

    def _argv(self) -> list[str]:
        assert SSHD is not None, "openssh-server is not installed"
        sshd = [SSHD, "-D", "-e", "-f", str(self.folder / "config")]
        if not self.users:
            return sshd
        etc = _accounts(self.folder)
        binds = "".join(f"mount --bind {etc}/{name} /etc/{name} && " for name in ("passwd", "shadow", "sudoers"))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{binds} exec "$0" "$@"', *sshd]

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"sshd does not listen: {self.log.read_text()}")


def _accounts(folder: Path) -> Path:
    """Account files with the test's users added, to be laid over the real ones in a namespace."""
    etc = folder / "etc"
    etc.mkdir()
    digest = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD.encode(), capture_output=True, check=True
    ).stdout.decode()
    passwd, shadow = Path("/etc/passwd").read_text(), Path("/etc/shadow").read_text()
    rules = "Defaults lecture=always, !syslog\nroot ALL=(ALL:ALL) ALL\n"
    for number, (name, (shell, rule)) in enumerate(USERS.items(), start=64100):
        home = folder / name
        home.mkdir()
        os.chown(home, number, 100)
        (home / ".bashrc").write_text('echo "noise of a login script"; echo "noise" >&2\n')
        passwd += f"{name}:x:{number}:100::{home}:{shell}\n"
        shadow += f"{name}:{digest.strip()}:19000:0:99999:7:::\n"
        rules += rule + "\n"
    for name, text, mode in (("passwd", passwd, 0o644), ("shadow", shadow, 0o640), ("sudoers", rules, 0o440)):
        (etc / name).write_text(text)
        (etc / name).chmod(mode)
    return etc


def make_folder() -> Path:
    """A folder every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="kprov-sshd-"))
    folder.chmod(0o755)
    return folder


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
