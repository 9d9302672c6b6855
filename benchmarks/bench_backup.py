"""What a backup costs against `etcdctl snapshot save` over plain ssh, at several sizes of etcd, in turn and in one run.

    python benchmarks/bench_backup.py [--sizes 100 1024 2048] [--rounds 3]

Makes a lab of its own (one systemd-nspawn machine, see docs/support.md), brings a cluster up, fills etcd with random values
to each size (MiB), and takes the same snapshot both ways: by `kprov backup`, which counts, checks and encrypts, and by ssh
that saves a snapshot there and brings it here with `cat`. Prints seconds, bytes on the operator's disk, and the most memory
that each operator's process had. Needs root; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from kprov.lab import MachineSpec, inventory, machines

KPROV = Path(sys.executable).parent / "kprov"
LAB = "bench-backup"
MIB = 2**20
PIECE = 1_000_000  # bytes of a value
CERTS = "/etc/etcd/pki"
ETCDCTL = (
    f"/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert={CERTS}/ca.crt "
    f"--cert={CERTS}/healthcheck-client.crt --key={CERTS}/healthcheck-client.key"
)
PLAIN = (
    f"rm -f /var/lib/plain.db && {ETCDCTL} --command-timeout=1500s snapshot save /var/lib/plain.db > /dev/null 2>&1 "
    "&& cat /var/lib/plain.db && rm -f /var/lib/plain.db"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """memory: the most that any process of it held, MiB."""

    seconds: float
    bytes: int
    memory: float


class Cluster:
    """A lab machine with a control plane on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory.yaml"
        machines.destroy(LAB)
        self.lab = machines.create(LAB, [MachineSpec(name="cp1", groups=("control_plane",))])
        keys = {"addons": {"metrics-server": False}, "etcd": {"quota_bytes": 8 * 2**30}}
        inventory.write(self.lab, self.inventory, cluster_keys=keys)
        subprocess.run([KPROV, "up", self.inventory, "--yes"], check=True, stdout=subprocess.DEVNULL)

    def destroy(self) -> None:
        machines.destroy(self.lab)

    def fill(self, to: int, there: int) -> None:
        """Writes values until etcd holds `to` MiB."""
        first, last = there * MIB // PIECE, to * MIB // PIECE
        script = (
            f"i={first}; while [ $i -lt {last} ]; do head -c {PIECE * 3 // 4} /dev/urandom | base64 -w0 "
            f"| {ETCDCTL} put bench/$i > /dev/null || exit 1; i=$((i + 1)); done"
        )
        machines.run_in(self.lab.machine("cp1"), ["sh", "-c", script], timeout=3600)

    def ssh(self) -> list[str]:
        host = yaml.safe_load(self.inventory.read_text())
        known = {**host.get("ssh", {}), **host["hosts"]["cp1"], **host["hosts"]["cp1"].get("ssh", {})}
        words = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return [*words, "-i", str(known["key"]), f"root@{known['address']}"]

    def by_kprov(self) -> Cost:
        target = self.folder / "backups"
        target.mkdir(exist_ok=True)
        seconds, memory = _measured([str(KPROV), "backup", str(self.inventory), "--to", str(target)])
        [made] = target.glob("*.age")
        size = made.stat().st_size
        made.unlink()
        return Cost(seconds=seconds, bytes=size, memory=memory)

    def by_ssh(self) -> Cost:
        target = self.folder / "plain.db"
        with target.open("wb") as output:
            seconds, memory = _measured([*self.ssh(), PLAIN], output.fileno())
            os.fsync(output.fileno())
        size = target.stat().st_size
        target.unlink()
        return Cost(seconds=seconds, bytes=size, memory=memory)


def _measured(command: Sequence[str], output: int = subprocess.DEVNULL) -> tuple[float, float]:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=output, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1024, 2048], help="MiB in etcd")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-backup-") as name:
        cluster = Cluster(Path(name))
        try:
            there = 0
            for size in sorted(given.sizes):
                cluster.fill(size, there)
                there = size
                _compare(cluster, size, given.rounds)
        finally:
            cluster.destroy()


def _compare(cluster: Cluster, size: int, rounds: int) -> None:
    own: list[Cost] = []
    plain: list[Cost] = []
    for _ in range(rounds):
        plain.append(cluster.by_ssh())
        own.append(cluster.by_kprov())
    fast, floor = (statistics.median(cost.seconds for cost in costs) for costs in (own, plain))
    sys.stdout.write(
        f"{size} MiB: kprov {fast:.2f} s, {own[0].bytes / MIB:.0f} MiB, memory {max(cost.memory for cost in own):.0f} MiB; "
        f"ssh {floor:.2f} s, {plain[0].bytes / MIB:.0f} MiB, memory {max(cost.memory for cost in plain):.0f} MiB; "
        f"ratio {fast / floor:.2f}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
