"""What a no-change run costs the operator as hosts become many: processor time, memory, bytes, execs.

    python benchmarks/bench_scale.py [--hosts 3 20 100 200] [--rounds 3]

At most 20 stand-ins serve all of them: a further host is another name for the same sshd and wants what is there already,
so that the operator works as if for a host of its own. Each run is a process of its own, which has the first run's
imports behind it; memory is the peak of that process. Remote processor time is everything sshd started.
Needs root and openssh-server; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import standins
import workload
from bench_up import Bench

from kprov.observe.gather import gather
from kprov.plan.host import plan_host
from kprov.transport import SshTransport

STAND_INS = 20


def no_change(bench: Bench, count: int) -> dict[str, Any]:
    """One run over `count` names. Raises RuntimeError when there was something to change after all."""
    usage, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    first = {f"n{number}": bench.names[number % len(bench.names)] for number in range(count)}
    addresses = {name: bench.lab.standins[bench.names.index(served)].address for name, served in first.items()}
    hosts = [workload.host(name, addresses[name], standins.PORT, bench.lab.key) for name in first]
    transport = SshTransport(known_hosts=(bench.lab.known_hosts,))
    fleet = gather(transport, hosts, {}, forks=50)
    try:
        if fleet.failures:
            raise next(iter(fleet.failures.values()))
        pems = {name: authority.cert_pem for name, authority in bench.authorities.items()}
        for name, served in first.items():
            desired = workload.desired(served, bench.names, bench.artifact, "1")
            if not plan_host(name, desired, fleet.observations[name], authorities=pems, now=bench.now).empty:
                raise RuntimeError(f"{name} should have had nothing to change")
    finally:
        fleet.close()
    after, total = resource.getrusage(resource.RUSAGE_SELF), transport.counters.total
    return {
        "wall": time.monotonic() - started,
        "cpu": after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime,
        "peak": _peak_mib(),
        "execs": total.execs / count,
        "connections": total.connections / count,
        "sent": total.bytes_sent / count,
        "received": total.bytes_received / count,
    }


def in_own_process(bench: Bench, count: int) -> dict[str, float]:
    """The run in a child, with what it cost the stand-ins. Raises RuntimeError when the child failed."""
    bench.lab.settle()
    remote, wire = bench.lab.cpu_seconds(), standins.wire_bytes()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with os.fdopen(writing, "w") as answer:
            json.dump(no_change(bench, count), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        text = answers.read()
    if os.waitpid(child, 0)[1] or not text:
        raise RuntimeError("the run failed; see above")
    bench.lab.settle()
    measured: dict[str, float] = json.loads(text)
    measured["remote"] = (bench.lab.cpu_seconds() - remote) / count
    measured["wire"] = (standins.wire_bytes() - wire) / count
    return measured


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def show(count: int, runs: Sequence[dict[str, float]]) -> float:
    """One row of medians. Returns the operator's processor time in seconds."""
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    print(
        f"{count:>6}{middle['wall']:>9.2f}{middle['cpu']:>9.2f}{middle['cpu'] / count * 1000:>12.1f}"
        f"{middle['peak']:>10.0f}{middle['remote'] * 1000:>12.0f}{middle['connections']:>8g}{middle['execs']:>7g}"
        f"{(middle['sent'] + middle['received']) / 1000:>12.1f}{middle['wire'] / 1000:>10.1f}"
    )
    return middle["cpu"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[3, 20, 100, 200])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    standins.in_private_network()
    with tempfile.TemporaryDirectory(prefix="kprov-bench-program-") as folder, standins.lab(STAND_INS) as lab:
        bench = Bench(lab, workload.program(Path(folder)))
        bench.up("1")
        print(f"no-change runs, medians of {options.rounds}; load before {os.getloadavg()[0]:.1f}")
        print(" hosts   wall s    CPU s  CPU ms/host  peak MiB  remote ms  conns  execs  payload kB   wire kB")
        runs: dict[int, list[dict[str, float]]] = {count: [] for count in options.hosts}
        for _ in range(options.rounds):
            for count in options.hosts:
                runs[count].append(in_own_process(bench, count))
        cpu = {count: show(count, of) for count, of in runs.items()}
    few, many = min(cpu), max(cpu)
    if few < many:
        print(f"operator CPU for each host beyond {few}: {(cpu[many] - cpu[few]) / (many - few) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
