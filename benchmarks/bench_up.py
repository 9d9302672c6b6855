"""First and no-change runs over 3, 10 and 20 stand-ins, side by side with floors that no tool can beat by much.

    python benchmarks/bench_up.py [--hosts 3 10 20] [--rounds 3]

Stand-ins are sshd processes on loopback, not machines (see standins.py): what is measured is connecting, asking,
planning, sending and putting in place, with everything sharing this computer's processors; no component is started.
The first run sends the program as it is, as the floor does; a second row has it sent compressed, which is kprov's default
for real networks and only costs on loopback.
The floors run in turn with kprov: `ssh HOST true` on all hosts at once with OpenSSH's client, and one plain `tar |
ssh HOST tar` of the same bytes, all hosts at once; that also with waiting for the disk, as kprov does. Figures are
medians of the rounds; ratios are within a round.
Needs root and openssh-server; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import standins
import workload

from kprov.apply.operations import Sources, stage_batch
from kprov.apply.sending import send
from kprov.artifacts.cache import packed
from kprov.observe.gather import Fleet, ask_again, gather
from kprov.observe.probe import Question
from kprov.pki.authority import CertificateAuthority
from kprov.plan.desired import questions
from kprov.plan.host import HostPlan, plan_host
from kprov.transport import SshTransport
from kprov.values.certificate import AUTHORITIES, CertificateSpec
from kprov.values.resources import Artifact

FIRST, FIRST_GZIP, QUIET = "kprov, first run", "the same, compressed", "kprov, no change"
GATES = {"no-change / ssh true": 1.5, "first / tar": 1.5, "operator CPU per host, ms": 20.0}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run. cpu: the operator's seconds of processor time; execs and bytes over all hosts."""

    wall: float
    cpu: float
    execs: int = 0
    connections: int = 0
    sent: int = 0


class Bench:
    """kprov's own path over stand-ins: gather, plan, send; as `kprov up` does it, without Kubernetes."""

    def __init__(self, lab: standins.Lab, artifact: Artifact) -> None:
        self.lab = lab
        self.artifact = artifact
        self.now = datetime.now(UTC)
        self.authorities = {
            name: CertificateAuthority.generate(name, "ecdsa-p256", 3650, self.now) for name in AUTHORITIES
        }
        self.hosts = [
            workload.host(f"h{number}", standin.address, standins.PORT, lab.key)
            for number, standin in enumerate(lab.standins)
        ]
        self.names = [host.name for host in self.hosts]

    def issue(self, spec: CertificateSpec) -> tuple[bytes, bytes]:
        issued = self.authorities[spec.authority].issue(spec, self.now)
        return issued.cert_pem, issued.key_pem

    def up(self, variant: str, *, compress: bool = False) -> Cost:
        """One run. Returns what it cost."""
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        transport = SshTransport(known_hosts=(self.lab.known_hosts,))
        fleet = gather(transport, self.hosts, {}, forks=50)
        try:
            if fleet.failures:
                raise next(iter(fleet.failures.values()))
            fleet, plans = self.plan(fleet, variant)
            self.apply(fleet, plans, compress=compress)
        finally:
            fleet.close()
        after, total = resource.getrusage(resource.RUSAGE_SELF), transport.counters.total
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(
            wall=time.monotonic() - started,
            cpu=cpu,
            execs=total.execs,
            connections=total.connections,
            sent=total.bytes_sent,
        )

    def plan(self, fleet: Fleet, variant: str) -> tuple[Fleet, Mapping[str, HostPlan]]:
        desired = {name: workload.desired(name, self.names, self.artifact, variant) for name in self.names}
        again = {}
        for name in self.names:
            seen = fleet.observations[name]
            keys = [key for key in questions(desired[name], seen.records) if key not in seen.asked]
            if keys:
                again[name] = Question(keys=keys, facts=False)
        fleet = ask_again(fleet, again, forks=50)
        pems = {name: authority.cert_pem for name, authority in self.authorities.items()}
        return fleet, {
            name: plan_host(name, desired[name], fleet.observations[name], authorities=pems, now=self.now)
            for name in self.names
        }

    def apply(self, fleet: Fleet, plans: Mapping[str, HostPlan], *, compress: bool) -> None:
        pack = partial(packed, compress=compress)
        sources = Sources(issue=self.issue, packed=pack, download=lambda _: None)

        def one(name: str) -> None:
            batch = stage_batch(plans[name], workload.STAGE, fleet.observations[name], sources)
            failures = send(fleet.sessions[name], workload.STAGE, batch, "bench", lambda _: None)
            for failure in failures:
                raise RuntimeError(f"{name}: {failure.found}\n{failure.log}")

        changed = [name for name, plan in plans.items() if not plan.empty]
        if changed:
            with ThreadPoolExecutor(max_workers=len(changed)) as pool:
                list(pool.map(one, changed))

    def forget(self) -> None:
        """Makes every stand-in new again."""
        self.everywhere(
            lambda address: self.lab.ssh(address, "rm -rf /var/lib/kprov /srv/bench /opt/kprov /root/floor")
        )

    def everywhere(self, command: Callable[[str], Sequence[str]], stdin: Mapping[str, bytes] | None = None) -> float:
        """Runs a command for all stand-ins at once; seconds until the last has ended."""
        started = time.monotonic()

        def one(number: int) -> None:
            address = self.lab.standins[number].address
            subprocess.run(command(address), input=(stdin or {}).get(self.names[number], b""), check=True)

        with ThreadPoolExecutor(max_workers=len(self.names)) as pool:
            list(pool.map(one, range(len(self.names))))
        return time.monotonic() - started

    def ssh_true(self) -> float:
        return self.everywhere(lambda address: self.lab.ssh(address, "true"))

    def tar(self, then: str = "true") -> float:
        """The floor: plain tar to all at once, and a command after it."""
        trees = {name: workload.tree(name, self.names, self.artifact, self.authorities["etcd"]) for name in self.names}
        return self.everywhere(lambda address: self.lab.ssh(address, f"tar -xf - -C /root && {then}"), trees)


def measure(count: int, rounds: int, artifact: Artifact) -> None:
    firsts, packs, quiets, trues, tars, kept = [], [], [], [], [], []
    with standins.lab(count) as lab:
        bench = Bench(lab, artifact)
        for _ in range(rounds):
            bench.forget()
            tars.append(bench.tar())
            bench.forget()
            kept.append(bench.tar("find /root/floor -type f -exec sync {} +"))
            bench.forget()
            packs.append(bench.up("1", compress=True))
            bench.forget()
            firsts.append(bench.up("1"))
            trues.append(bench.ssh_true())
            quiets.append(bench.up("1"))
    show(count, {FIRST: firsts, FIRST_GZIP: packs, QUIET: quiets}, trues, tars, kept)


def show(
    count: int,
    runs: Mapping[str, Sequence[Cost]],
    trues: Sequence[float],
    tars: Sequence[float],
    kept: Sequence[float],
) -> None:
    median = statistics.median
    print(f"\n{count} stand-ins, medians of {len(trues)} rounds")
    print(f"  {'':<24}{'wall s':>8}{'CPU s':>8}{'execs':>8}{'conns':>8}{'MB sent':>10}")
    for name, costs in runs.items():
        print(
            f"  {name:<24}{median(c.wall for c in costs):>8.2f}{median(c.cpu for c in costs):>8.2f}"
            f"{costs[-1].execs:>8}{costs[-1].connections:>8}{costs[-1].sent / 1e6:>10.1f}"
        )
    print(f"  {'floor: tar | ssh tar':<24}{median(tars):>8.2f}")
    print(f"  {'the same, on the disk':<24}{median(kept):>8.2f}")
    print(f"  {'floor: ssh HOST true':<24}{median(trues):>8.2f}")
    ratios = {
        "no-change / ssh true": median(c.wall / floor for c, floor in zip(runs[QUIET], trues, strict=True)),
        "first / tar": median(c.wall / floor for c, floor in zip(runs[FIRST], tars, strict=True)),
        "operator CPU per host, ms": median(c.cpu for c in runs[QUIET]) / count * 1000,
    }
    durable = median(c.wall / floor for c, floor in zip(runs[FIRST], kept, strict=True))
    print(f"  {'first / tar on the disk':<28}{durable:>8.2f}   no gate")
    for name, value in ratios.items():
        print(f"  {name:<28}{value:>8.2f}   gate {GATES[name]:>5.1f}   {'holds' if value <= GATES[name] else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[3, 10, 20])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    standins.in_private_network()
    with tempfile.TemporaryDirectory(prefix="kprov-bench-program-") as folder:
        artifact = workload.program(Path(folder))
        for count in options.hosts:
            measure(count, options.rounds, artifact)


if __name__ == "__main__":
    main()
