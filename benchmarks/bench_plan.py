"""What a run costs the operator as hosts become many, with all real roles: load, gather, plan and apply.

    python benchmarks/bench_plan.py [--hosts 10 100 1000] [--networks routed vxlan none] [--rounds 3] [--gate]

Hosts are those of the tests (tests/unit/obedient.py): they live in another process, do all they are told and keep what they
were given; there is no network and no machine. Each run is a process of its own: its processor time and the peak of its
memory are the operator's alone. One control plane in ten hosts, at most three.
--gate: only the routed network; ends with 1 where a no-change run, the loading of the inventory or one more host costs more
than it may.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))

from obedient import Obedient  # type: ignore[import-not-found]

import kprov.run.up as up
from kprov.artifacts.progress import Silent
from kprov.artifacts.provide import named
from kprov.inventory import load
from kprov.run.workspace import Workspace
from kprov.state.store import Store
from kprov.transport.base import Result
from kprov.transport.fake import Call, FakeTransport
from kprov.values.model import Cluster, Host
from kprov.values.resources import Artifact

CPU_MS, MEMORY_MB, LOAD_S, SLACK = 8.0, 250.0, 0.6, 1.2  # a host; at 1,000; of 1,000
NEWCOMER_KB = 120.0  # to each other host, and no more than now; it is meant to become 25 in one exec
_RUNS = ("first", "no change", "one kubelet setting", "one more", "one gone")


class Forgetful(list[Call]):
    """Keeps no calls: what was sent would count as the operator's memory."""

    def append(self, call: Call) -> None:
        pass


def address(name: str, _: int = 0) -> str:
    number = int(name[1:])
    return f"172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}"


@contextmanager
def hosts_elsewhere(path: str) -> Iterator[None]:
    """A process with hosts, which answers on a socket at `path` until the end."""
    if not (child := os.fork()):
        _serve(path)
        os._exit(0)
    while not os.path.exists(path):  # noqa: PTH110 - it is looked at in a loop
        time.sleep(0.01)
    try:
        yield
    finally:
        os.kill(child, 15)
        os.waitpid(child, 0)


def _serve(path: str) -> None:
    site = Obedient(address=address, prefix=12)

    def answer(connection: Connection) -> None:
        try:
            while True:
                name, command, stdin = connection.recv()
                host: Any = SimpleNamespace(name=name)
                connection.send(site.answer(host, command, stdin))
        except EOFError:
            connection.close()

    with Listener(path, family="AF_UNIX", backlog=128) as listener:
        while True:
            threading.Thread(target=answer, args=(listener.accept(),), daemon=True).start()


class Asked(threading.local):
    """One connection to the hosts a thread."""

    def __init__(self, path: str) -> None:
        self._connection = Client(path, family="AF_UNIX")

    def __call__(self, host: Host, command: str, stdin: bytes) -> Result:
        self._connection.send((host.name, command, stdin))
        answer: Result = self._connection.recv()
        return answer


def inventory(count: int, network: str, *, setting: bool = False) -> str:
    """The text of an inventory of `count` hosts. setting: whether kubelets have one that is not kprov's."""
    planes = range(1, 1 + min(3, max(1, count // 10)) // 2 * 2 + 1)
    rows = [
        f"  n{number}: {{address: {address(f'n{number}')}, groups: [{_group(number, planes)}]}}"
        for number in range(1, count + 1)
    ]
    lines = ["cluster:", "  name: bench", "  pod_cidr: 10.0.0.0/12", "  addons: {metrics-server: false}"]
    lines += [f"  network: {{mode: {network}}}"] if network != "routed" else []
    lines += ["  kubelet: {maxPods: 90}"] if setting else []
    return "\n".join([*lines, "hosts:", *rows, ""])


def _group(number: int, planes: Iterable[int]) -> str:
    return "control_plane" if number in planes else "worker"


def run(folder: Path, path: str, text: str) -> dict[str, float]:
    """One `kprov up` of that inventory, in a process of its own. Raises RuntimeError when it failed."""
    (folder / "inventory.yaml").write_text(text)
    reading, writing = os.pipe()
    if not (child := os.fork()):
        code = 1
        try:
            with os.fdopen(writing, "w") as answer:
                json.dump(_up(folder, path), answer)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as answers:
        said = answers.read()
    if os.waitpid(child, 0)[1] or not said:
        raise RuntimeError("the run failed; see above")
    measured: dict[str, float] = json.loads(said)
    return measured


def _up(folder: Path, path: str) -> dict[str, Any]:
    content = folder / "content"
    content.write_bytes(b"x")
    known = folder / "versions.json"  # of programs, as the operator's cache keeps them from run to run
    versions: dict[str, str] = json.loads(known.read_text()) if known.exists() else {}

    def provide(cluster: Cluster, archs: Iterable[str], *_: Any, **__: Any) -> dict[tuple[str, str], Artifact]:
        found = {}
        for key, one in named(cluster, archs).items():
            sha256 = hashlib.sha256((one.reference or one.name).encode()).hexdigest()
            found[key] = replace(one, sha256=sha256, size=1, local=str(content))
            versions[sha256] = one.version
        return found

    up.provide, up.packed, up.cached = provide, lambda *_, **__: (content, "raw"), lambda _: versions  # type: ignore
    began = _cpu()
    cluster = load(folder / "inventory.yaml").cluster
    loaded = _cpu()
    transport = FakeTransport(handler=Asked(path), calls=Forgetful())
    store = Store.open(folder / "state", cluster.name)
    workspace = Workspace(
        cluster=cluster,
        store=store,
        transport=transport,
        cache=folder,
        lock_file=None,
        emit=lambda _: None,
        progress=Silent(),
    )
    with up.prepare(workspace, draft=False) as prepared:
        quiet = prepared.plan.settled
        outcome = up.apply(workspace, prepared) if not quiet else None
    known.write_text(json.dumps(versions))
    if outcome is not None and outcome.failures:
        raise RuntimeError(str(outcome.failures[0]))
    ended, total, count = _cpu(), transport.counters.total, len(cluster.hosts)
    last = transport.counters[cluster.hosts[-2].name]
    return {
        "load": loaded - began,
        "cpu": ended - began,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "execs": total.execs / count,
        "bytes": (total.bytes_sent + total.bytes_received) / count,
        "old_execs": last.execs,
        "old_sent": last.bytes_sent,
        "quiet": quiet,
    }


def _cpu() -> float:
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def measure(count: int, network: str, rounds: int, which: Sequence[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each kind of run and what it cost; of the one that changes nothing the median."""
    with tempfile.TemporaryDirectory(prefix="kprov-bench-") as name, hosts_elsewhere(f"{name}/hosts"):
        folder, path = Path(name), f"{name}/hosts"
        plain = inventory(count, network)
        yield "first", run(folder, path, plain)
        quiet = [run(folder, path, plain) for _ in range(rounds)]
        yield "no change", {key: statistics.median(one[key] for one in quiet) for key in quiet[0]}
        if not quiet[0]["quiet"]:
            raise RuntimeError("a second run had something to change")
        texts = {
            "one kubelet setting": inventory(count, network, setting=True),
            "one more": inventory(count + 1, network, setting="one kubelet setting" in which),
            "one gone": inventory(count, network, setting="one kubelet setting" in which),
        }
        for kind in which:
            yield kind, run(folder, path, texts[kind])


def warm() -> None:
    """Load what a run loads while it works, which would count ten times as much at ten hosts as at a hundred."""
    with tempfile.TemporaryDirectory(prefix="kprov-bench-") as name, hosts_elsewhere(f"{name}/hosts"):
        (Path(name) / "inventory.yaml").write_text(inventory(2, "routed"))
        _up(Path(name), f"{name}/hosts")


def show(count: int, network: str, kind: str, cost: Mapping[str, float]) -> None:
    print(
        f"{network:8}{count:>6}  {kind:20}{cost['cpu'] / count * 1000:>12.1f}{cost['load']:>9.2f}{cost['peak']:>10.0f}"
        f"{cost['execs']:>8.2f}{cost['bytes'] / 1000:>10.1f}",
        flush=True,
    )


def missed(count: int, kind: str, cost: Mapping[str, float]) -> Iterator[str]:
    """What costs more than it may."""
    if kind == "no change":
        if cost["cpu"] / count * 1000 > CPU_MS * SLACK:
            yield f"{cost['cpu'] / count * 1000:.1f} ms a host for no change at {count}; at most {CPU_MS:g}"
        if count >= 1000 and cost["peak"] > MEMORY_MB:
            yield f"{cost['peak']:.0f} MB for no change at {count}; at most {MEMORY_MB:g}"
        if count >= 1000 and cost["load"] > LOAD_S * SLACK:
            yield f"{cost['load']:.2f} s to load an inventory of {count}; at most {LOAD_S:g}"
    if kind == "one more" and cost["old_sent"] > NEWCOMER_KB * 1000:
        yield f"{cost['old_sent'] / 1000:.1f} kB to another host for one more at {count}; at most {NEWCOMER_KB:g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--networks", nargs="+", default=["routed", "vxlan", "none"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gate", action="store_true")
    options = parser.parse_args()
    networks = ["routed"] if options.gate else options.networks
    which = ["one more"] if options.gate else list(_RUNS[2:])
    warm()
    print("network  hosts  run                 CPU ms/host   load s  peak MiB  execs/h  kB/host")
    over: list[str] = []
    for network in networks:
        for count in options.hosts:
            for kind, cost in measure(count, network, options.rounds, which):
                show(count, network, kind, cost)
                over += missed(count, kind, cost)
    for line in over:
        print(f"too much: {line}")
    return 1 if over and options.gate else 0


if __name__ == "__main__":
    sys.exit(main())
