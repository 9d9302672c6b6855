"""What add-ons cost on a cluster that runs already: until all are ready, the second run, and their memory per node.

    python benchmarks/bench_addons.py [--addons metrics-server monitoring logging storage] [--workers 2] [--rounds 5]

Makes a lab of its own (systemd-nspawn machines, see docs/support.md), brings a cluster up without add-ons, then switches
all of them on at once, and measures with what `kprov up --json` says of itself. Images are in the operator's cache and not
on the nodes before. Memory is the working set of each pod as its kubelet tells it, and of each unit that an add-on has on
hosts what its processes hold for themselves, a while after all are ready; machines of a lab share one kernel, so that what
the kernel itself needs is in no figure. Needs root; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from kprov.addon.choose import by_name
from kprov.lab import MachineSpec, inventory, machines
from kprov.lab.memory import held
from kprov.values.addon import Addon

KPROV = Path(sys.executable).parent / "kprov"
LAB = "bench-addons"
DEFAULT = ("metrics-server", "monitoring", "logging", "storage")
STORES = frozenset({"monitoring", "logging"})
SETTLED = 60.0  # seconds until memory is looked at
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Run:
    """One `kprov up`, by its own closing line. bytes: sent to all hosts, and received."""

    seconds: float
    execs: int
    sent: int
    received: int
    changed: bool


class Cluster:
    """A lab cluster, driven by the kprov command and asked with its kubectl."""

    def __init__(self, name: str, folder: Path, workers: int) -> None:
        self.inventory = folder / "inventory.yaml"
        self._kubectl = _output([str(KPROV), "artifacts", "path", "kubectl"]).strip()
        specs = [MachineSpec(name="cp1", groups=("control_plane",))]
        specs += [MachineSpec(name=f"w{number}", groups=("worker",)) for number in range(1, workers + 1)]
        machines.destroy(name)
        self.lab = machines.create(name, specs)
        inventory.write(self.lab, self.inventory, cluster_keys={"addons": {"metrics-server": False}})
        self._config = folder / "admin.conf"

    def destroy(self) -> None:
        machines.destroy(self.lab)

    def switch_on(self, names: Sequence[str]) -> None:
        document = yaml.safe_load(self.inventory.read_text())
        document["cluster"]["addons"] = {"metrics-server": False, **dict.fromkeys(names, True)}
        self.inventory.write_text(yaml.safe_dump(document, sort_keys=False))

    def up(self) -> Run:
        last = json.loads(self._kprov("up", "--yes", "--json").splitlines()[-1])
        return Run(
            seconds=last["seconds"],
            execs=last["execs"],
            sent=last["bytes_sent"],
            received=last["bytes_received"],
            changed=bool(last["changed"]),
        )

    def memory(self, addons: Sequence[Addon]) -> dict[tuple[str, str], int]:
        """(node, add-on) → bytes."""
        nodes = [machine.name for machine in self.lab.machines]
        return held(self.lab, addons, nodes, lambda path: json.loads(self._ask(path)))

    def _kprov(self, *arguments: str) -> str:
        return _output([str(KPROV), arguments[0], str(self.inventory), *arguments[1:]])

    def _ask(self, path: str) -> str:
        if not self._config.exists():
            self._kprov("kubeconfig", "-o", str(self._config))
        return _output([self._kubectl, "--kubeconfig", str(self._config), "get", "--raw", path])


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout


def quiet(cluster: Cluster, rounds: int) -> Run:
    """The median of runs with nothing to do. Raises RuntimeError when there was something to do after all."""
    runs = [cluster.up() for _ in range(rounds)]
    if any(run.changed for run in runs):
        raise RuntimeError("a run should have had nothing to change")
    return sorted(runs, key=lambda run: run.seconds)[rounds // 2]


def show(rows: Mapping[str, Run]) -> None:
    print(f"{'':<34}{'wall s':>8}{'execs':>8}{'MB sent':>10}{'kB received':>13}")
    for name, run in rows.items():
        print(f"{name:<34}{run.seconds:>8.2f}{run.execs:>8}{run.sent / 1e6:>10.2f}{run.received / 1e3:>13.1f}")


def show_memory(memory: Mapping[tuple[str, str], int], nodes: Sequence[str]) -> None:
    addons = sorted({addon for _, addon in memory})
    print("\nMiB" + " " * 17 + "".join(f"{node:>10}" for node in nodes) + f"{'in all':>10}")
    for addon in addons:
        values = [memory.get((node, addon), 0) / MIB for node in nodes]
        print(f"{addon:<20}" + "".join(f"{value:>10.1f}" for value in values) + f"{sum(values):>10.1f}")


def gate(name: str, value: float, limit: float) -> None:
    print(f"  {name:<54}{value:>8.2f}   gate {limit:>6.1f}   {'holds' if value <= limit else 'MISSED'}")


def measure(cluster: Cluster, names: Sequence[str], rounds: int) -> None:
    cluster.up()
    before = quiet(cluster, rounds)
    cluster.switch_on(names)
    first = cluster.up()
    after = quiet(cluster, rounds)
    show({"nothing to do, no add-ons": before, f"{len(names)} add-ons, until all are ready": first,
          "nothing to do, all of them on": after})  # fmt: skip
    time.sleep(SETTLED)
    memory = cluster.memory([addon for addon in by_name(names) if addon.name in names])
    show_memory(memory, [machine.name for machine in cluster.lab.machines])
    print()
    gate("execs with nothing to do, with / without", after.execs / before.execs, 1.3)
    gate("seconds with nothing to do, with / without", after.seconds / before.seconds, 1.3)
    if set(names) >= STORES:
        gate(
            "MiB of monitoring and logging",
            sum(size for (_, name), size in memory.items() if name in STORES) / MIB,
            300,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addons", nargs="+", default=list(DEFAULT))
    parser.add_argument("--lab", default=LAB, help="name of the lab that is made")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kprov-bench-addons-") as folder:
        cluster = Cluster(options.lab, Path(folder), options.workers)
        try:
            measure(cluster, options.addons, options.rounds)
        finally:
            cluster.destroy()


if __name__ == "__main__":
    main()
