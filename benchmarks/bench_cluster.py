"""From bare machines to a cluster that is Ready: `kprov up`, and another way of making the same cluster, in turn.

    python benchmarks/bench_cluster.py [--control-planes 1] [--workers 2] [--rounds 3] [--against COMMAND]
                                       [--link 1gbit[:20ms]] [--processors 1]

Makes a lab for each run (systemd-nspawn machines, see docs/support.md); making it is not timed. COMMAND is run with the path
of the lab's inventory behind it, in the place of `kprov up`, and ends when all nodes are Ready and cluster DNS answers: a
script around kubeadm, for example. Who begins changes from round to round. Then one more worker joins what kprov made.

Machines' processor time is that of their control groups, the operator's that of the command and what it started; bytes are
those that the lab's bridge sent. --link gives each machine's link a rate and a delay (tc), --processors a limit to each
machine. Figures are medians; seconds of different computers cannot be compared, ratios can. Needs root; leaves nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from kprov.lab import Lab, MachineSpec, inventory, machines

KPROV = str(Path(sys.executable).parent / "kprov")
LAB = "bench-cluster"
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a cluster is made. command: gets the path of the inventory behind it."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run, in seconds and bytes. machines, operator: processor time."""

    wall: float
    machines: float
    operator: float
    sent: int


@contextmanager
def laboratory(options: argparse.Namespace, folder: Path) -> Iterator[tuple[Lab, Path]]:
    """Fresh machines and their inventory, with the last worker, that joins later, left out of it."""
    groups = {"cp": ("control_plane",), "w": ("worker",)}
    counts = {"cp": options.control_planes, "w": options.workers + 1}
    specs = [
        MachineSpec(name=f"{kind}{number}", groups=groups[kind])  # type: ignore[arg-type]
        for kind, count in counts.items()
        for number in range(1, count + 1)
    ]
    machines.destroy(LAB)
    lab = machines.create(LAB, specs)
    try:
        path = folder / "inventory.yaml"
        inventory.write(lab, path, cluster_keys={"addons": {"metrics-server": False}})
        shape(lab, options.link, options.processors)
        yield lab, path
    finally:
        machines.destroy(lab)


def shape(lab: Lab, link: str, processors: float) -> None:
    """Give links a rate and a delay, and machines a limit of processor time. Fails where the kernel has no means for it."""
    if link:
        rate, _, delay = link.partition(":")
        # A rate alone is the token bucket's, which more kernels have than the one that delays.
        words = (
            ["netem", "rate", rate, "delay", delay]
            if delay
            else ["tbf", "rate", rate, "burst", "1mb", "latency", "50ms"]
        )
        for machine in lab.machines:
            machines.run_in(machine, ["tc", "qdisc", "replace", "dev", "host0", "root", *words])
        for port in Path(f"/sys/class/net/{lab.bridge}/brif").iterdir():
            subprocess.run(["tc", "qdisc", "replace", "dev", port.name, "root", *words], check=True)
    for machine in lab.machines:
        if processors:
            group = CGROUPS / "cpu" / machine.identity
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(int(processors * 100000)))


def processor_time(lab: Lab) -> float:
    """Seconds that all machines used since they were made."""
    total = 0.0
    for machine in lab.machines:
        first = CGROUPS / "cpuacct" / machine.identity / "cpuacct.usage"
        if first.exists():
            total += int(first.read_text()) / 1e9
        else:
            lines = (CGROUPS / machine.identity / "cpu.stat").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("usage_usec")) / 1e6
    return total


def bytes_sent(lab: Lab) -> int:
    return int(Path(f"/sys/class/net/{lab.bridge}/statistics/tx_bytes").read_text())


def timed(command: Sequence[str], lab: Lab, log: Path) -> Cost:
    """Run a command to its end. Raises CalledProcessError, with the log's path in its arguments, when it fails."""
    before, machines_before, sent_before = os.times(), processor_time(lab), bytes_sent(lab)
    began = time.monotonic()
    with log.open("w") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False)
    wall, after = time.monotonic() - began, os.times()
    if done.returncode != 0:
        print(log.read_text()[-4000:], file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, [*command, f"(log: {log})"])
    operator = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(
        wall=wall, machines=processor_time(lab) - machines_before, operator=operator, sent=bytes_sent(lab) - sent_before
    )


def without(path: Path, name: str) -> Path:
    """The same inventory, beside it, without a host."""
    document = yaml.safe_load(path.read_text())
    del document["hosts"][name]
    other = path.with_name("before.yaml")
    other.write_text(yaml.safe_dump(document, sort_keys=False))
    return other


def one_round(way: Way, options: argparse.Namespace, rows: dict[str, list[Cost]]) -> None:
    with tempfile.TemporaryDirectory(prefix="kprov-bench-cluster-") as name:
        folder = Path(name)
        with laboratory(options, folder) as (lab, whole):
            last = lab.machines[-1].name
            first = without(whole, last)
            rows.setdefault(way.name, []).append(timed([*way.command, str(first)], lab, folder / "log"))
            if way.name == "kprov":
                joining = timed([KPROV, "up", str(whole), "--yes"], lab, folder / "joining.log")
                rows.setdefault("kprov, one worker more", []).append(joining)


def show(rows: dict[str, list[Cost]]) -> None:
    print(f"{'medians':<26}{'wall s':>8}{'machines CPU s':>16}{'operator CPU s':>16}{'MB sent':>9}")
    middle = {
        name: [
            statistics.median(values)
            for values in zip(*((c.wall, c.machines, c.operator, c.sent) for c in costs), strict=True)
        ]
        for name, costs in rows.items()
    }
    for name, (wall, used, operator, sent) in middle.items():
        print(f"{name:<26}{wall:>8.1f}{used:>16.1f}{operator:>16.1f}{sent / 1e6:>9.0f}")
    for name in middle.keys() - {"kprov", "kprov, one worker more"}:
        ratios = [own / other for own, other in zip(middle["kprov"], middle[name], strict=True)]
        print(f"kprov / {name}: wall {ratios[0]:.2f}, machines {ratios[1]:.2f}, operator {ratios[2]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control-planes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", default="", help="a command that makes the same cluster")
    parser.add_argument(
        "--link", default="", help="RATE or RATE:DELAY of each machine's link, both ways, as tc writes them"
    )
    parser.add_argument("--processors", type=float, default=0, help="how many each machine may use")
    options = parser.parse_args()
    ways = [Way(name="kprov", command=(KPROV, "up", "--yes"))]
    if options.against:
        ways.append(Way(name="the other", command=tuple(shlex.split(options.against))))
    rows: dict[str, list[Cost]] = {}
    for number in range(options.rounds):
        for way in ways if number % 2 else reversed(ways):
            one_round(way, options, rows)
    show(rows)


if __name__ == "__main__":
    main()
