"""Stand-ins for hosts: sshd processes on loopback addresses, each with a host key and empty folders of its own.

They are not machines: they share this machine's kernel, processors, accounts and programs, and have no systemd. What
kprov does on them is real (its probe, its apply, its files), inside a private mount namespace per stand-in, where the
root file system is an overlay over this machine's: what is written stays in memory, and /opt, /srv, /var/lib and root's
home are empty. They are folders of one file system, as on most machines, so that what arrived is moved into place.
Needs root, and a private network namespace around the process that starts them (`in_private_network`).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EMPTY = ("/opt", "/srv", "/var/lib", "/root")
PORT = 2200
_MARK = "KPROV_BENCH_NETWORK"
_TICK = os.sysconf("SC_CLK_TCK")
# An opaque folder of the upper layer hides what is below it.
_ROOT = f"""
set -e
folder=$1; shift
mount -t tmpfs -o mode=0755 standin /mnt
mkdir /mnt/upper /mnt/work /mnt/root
for path in {" ".join(EMPTY)}; do mkdir -p "/mnt/upper$path"; done
{
    sys.executable
} -c 'import os, sys; [os.setxattr("/mnt/upper" + path, "trusted.overlay.opaque", b"y") for path in sys.argv[1:]]' {
    " ".join(EMPTY)
}
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work standin /mnt/root
for path in /proc /sys /dev; do mount --rbind "$path" "/mnt/root$path"; done
mount -t tmpfs -o mode=0755 standin /mnt/root/run
mkdir -p /mnt/root/run/sshd "/mnt/root$folder"
mount --rbind "$folder" "/mnt/root$folder"
exec chroot /mnt/root "$@"
"""


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """One running sshd. `pid` is the listener's."""

    address: str
    pid: int
    log: Path


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Running stand-ins with what a client needs to reach them."""

    folder: Path
    standins: Sequence[StandIn]

    @property
    def key(self) -> Path:
        return self.folder / "id"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def ssh(self, address: str, *command: str) -> list[str]:
        """OpenSSH's own client with its defaults, strict host keys and nobody's configuration."""
        options = [f"IdentityFile={self.key}", "IdentitiesOnly=yes", f"UserKnownHostsFile={self.known_hosts}"]
        options += ["StrictHostKeyChecking=yes", f"Port={PORT}", "BatchMode=yes", "LogLevel=ERROR"]
        return ["ssh", "-F", "none", *(word for option in options for word in ("-o", option)), address, *command]

    def settle(self) -> None:
        """Waits until every connection has ended and its processes are accounted for."""
        deadline = time.monotonic() + 20
        while any(_children(standin.pid) for standin in self.standins):
            if time.monotonic() > deadline:
                raise TimeoutError("a stand-in still has an open connection")
            time.sleep(0.005)

    def cpu_seconds(self) -> float:
        """Processor time of everything that ever ran on the stand-ins; call `settle` first."""
        return sum(_cpu_seconds(standin.pid) for standin in self.standins)

    def logged(self) -> tuple[int, int]:
        """Logins and sessions as the servers themselves count them."""
        logs = [standin.log.read_text() for standin in self.standins]
        return (
            sum(log.count("Accepted publickey") for log in logs),
            sum(log.count("Starting session: ") for log in logs),
        )


def in_private_network() -> None:
    """Runs this program again in a network namespace whose loopback carries nothing but its own traffic."""
    if os.environ.get(_MARK):
        return
    if os.geteuid() != 0:
        sys.exit("stand-ins need root: they live in namespaces of their own")
    script = 'ip link set lo up && exec "$@"'
    os.environ[_MARK] = "1"
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def wire_bytes() -> int:
    """Bytes that loopback has carried in this network namespace, headers and both directions included."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    raise LookupError("there is no loopback")


@contextmanager
def lab(count: int) -> Iterator[Lab]:
    """That many stand-ins; they end with the block, by their process ids."""
    folder = Path(tempfile.mkdtemp(prefix="kprov-bench-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        _key(folder / "id")
        (folder / "authorized").write_text((folder / "id.pub").read_text())
        standins = [_start(folder, number, processes) for number in range(1, count + 1)]
        for standin in standins:
            _wait(standin)
        yield Lab(folder=folder, standins=standins)
    finally:
        for process in processes:
            for pid in _children(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.terminate()
            process.wait()
        shutil.rmtree(folder)


def _start(folder: Path, number: int, processes: list[subprocess.Popen[bytes]]) -> StandIn:
    address = f"127.100.{number // 250}.{number % 250 + 1}"
    _key(folder / f"host{number}")
    public = (folder / f"host{number}.pub").read_text().split()
    with (folder / "known_hosts").open("a") as known:
        known.write(f"[{address}]:{PORT} {public[0]} {public[1]}\n")
    config = folder / f"config{number}"
    config.write_text(
        f"Port {PORT}\nListenAddress {address}\nHostKey {folder}/host{number}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nMaxStartups 100\nLogLevel VERBOSE\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:" + os.environ.get("PATH", ""))
    if sshd is None:
        raise FileNotFoundError("openssh-server is not installed")
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        _ROOT,
        "sh",
        str(folder),
        sshd,
        "-D",
        "-e",
        "-f",
    ]
    log = folder / f"log{number}"
    with log.open("wb") as output:
        process = subprocess.Popen([*argv, str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    processes.append(process)
    return StandIn(address=address, pid=process.pid, log=log)


def _key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def _wait(standin: StandIn) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((standin.address, PORT), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"sshd did not start: {standin.log.read_text()}") from error
            time.sleep(0.02)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _cpu_seconds(pid: int) -> float:
    """Of a process and of all its descendants that have ended (proc(5), /proc/pid/stat: utime to cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICK
