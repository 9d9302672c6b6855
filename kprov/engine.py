"""Runs a plan: stage by stage, batch by batch, one exec a host. It decides nothing that plan and stages left open.

All changes to hosts go through `send`. A failing host never stops the others of its batch; the run stops before
the next batch.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import yaml

from kprov.cluster_plan import ClusterPlan
from kprov.errors import TransportError
from kprov.events import HostEnded, HostFailed, HostStarted, OperationDone, Sink, StageEnded, StageStarted
from kprov.membership import initial_cluster
from kprov.model import Cluster
from kprov.node_upgrades import emptied, reopened
from kprov.objects import Object, identity
from kprov.observation import Observation, printable
from kprov.operations import Batch, Sources, stage_batch, stream, write_gates
from kprov.plan import JOIN_FILE, HostPlan
from kprov.script import APPLY_COMMAND
from kprov.stages import STAGES, Stage
from kprov.transport.base import Session

APPLY_TIMEOUT = 1800.0  # seconds; gates have deadlines of their own, this only bounds a host that hangs

SourcesOf = Callable[[str], Sources]  # host name → where its content comes from


@dataclass(kw_only=True)
class Engine:
    """One run over open sessions. `kubeconfig` makes a short-lived credential for work on a control plane host."""

    cluster: Cluster
    plan: ClusterPlan
    observations: Mapping[str, Observation]
    sessions: Mapping[str, Session]
    sources: SourcesOf
    kubeconfig: Callable[[], bytes]
    generation: str
    emit: Sink
    forks: int = 50
    failures: list[HostFailed] = field(default_factory=list)
    changed: bool = False

    def run(self) -> None:
        """All stages in order; stops after the first batch in which a host failed."""
        for stage in STAGES:
            started = time.monotonic()
            batches = self._batches(stage)
            if not batches:
                continue
            hosts = tuple(host for names in batches for host in names)
            self.emit(StageStarted(stage=stage.name, title=stage.title, hosts=tuple(dict.fromkeys(hosts))))
            for names in batches:
                self._run_batch(stage, names)
                if self.failures:
                    return
            self.emit(StageEnded(stage=stage.name, seconds=time.monotonic() - started))

    def _batches(self, stage: Stage) -> list[list[str]]:
        if stage.roll == "objects":
            work = self.plan.objects or not self.plan.objects_known
            return [[self._control_plane()]] if work else []
        if stage.roll == "ready":
            return [[self._control_plane()]] if self.changed or self.plan.not_ready else []
        if stage.roll == "etcd":
            return self._etcd_batches(stage)
        if stage.roll == "drain":
            return self.plan.upgrades.rounds(self.cluster.upgrade.max_unavailable)
        return batches(stage, self.plan.hosts)

    def _etcd_batches(self, stage: Stage) -> list[list[str]]:
        membership = self.plan.membership
        new = set(membership.bootstrap) | set(membership.join)
        work = {name: plan for name, plan in self.plan.hosts.items() if name not in new}
        founded = [[name for name in membership.bootstrap if name in self.plan.hosts]] if membership.bootstrap else []
        settle = [[name] for name in membership.settle if name in self.plan.hosts]
        regular = batches(stage, work)
        regular += [names for names in settle if names not in regular]
        joins = [[name] for name in membership.join if name in self.plan.hosts]
        leaving = [[self._etcd_host()]] if membership.remove else []
        return [*founded, *regular, *joins, *leaving]

    def _run_batch(self, stage: Stage, names: Sequence[str]) -> None:
        if stage.roll == "drain":
            self._run_drained(stage, names)
        else:
            self._run_hosts(stage, names)

    def _run_drained(self, stage: Stage, names: Sequence[str]) -> None:
        """Empties nodes, changes them, opens them again. Those that fail stay cordoned: the next run goes on there."""
        drained = [name for name in names if name in self.plan.upgrades.drain]
        if drained:
            self._ask_for("drain", emptied(drained, self.cluster.upgrade.drain_timeout, self.kubeconfig()))
            if self.failures:
                return
            self._run_hosts(stage, drained)
        failed = {failure.host for failure in self.failures}
        well = [name for name in names if name not in failed]
        if well:
            self._ask_for("uncordon", reopened(well, self.cluster.versions["kubernetes"], self.kubeconfig()))

    def _ask_for(self, what: str, batch: Batch) -> None:
        """Work on Kubernetes objects, done by a control plane."""
        self._note(self._sent(what, self._control_plane(), batch))

    def _note(self, failure: HostFailed | None) -> None:
        if failure is not None:
            self.failures.append(failure)
            self.emit(failure)

    def _run_hosts(self, stage: Stage, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(names)))) as pool:
            for failure in pool.map(lambda name: self._run_host(stage, name), names):
                self._note(failure)

    def _run_host(self, stage: Stage, name: str) -> HostFailed | None:
        batch = self._batch(stage, name)
        if not batch.operations:
            return None
        return self._sent(stage.name, name, batch)

    def _sent(self, stage: str, name: str, batch: Batch) -> HostFailed | None:
        self.changed = self.changed or stage != "ready"
        started = time.monotonic()
        self.emit(HostStarted(stage=stage, host=name, operations=len(batch.operations)))
        failure = send(self.sessions[name], stage, batch, self.generation, self.emit)
        if failure is None:
            self.emit(HostEnded(stage=stage, host=name, seconds=time.monotonic() - started))
        return failure

    def _batch(self, stage: Stage, name: str) -> Batch:
        if stage.roll == "objects":
            return self._objects_batch()
        if stage.roll == "ready":
            return self._ready_batch()
        if stage.roll == "etcd":
            return self._etcd_batch(stage, name)
        return stage_batch(self.plan.hosts[name], stage.name, self.observations[name], self.sources(name))

    def _etcd_batch(self, stage: Stage, name: str) -> Batch:
        plan, seen, sources = self.plan.hosts[name], self.observations[name], self.sources(name)
        membership = self.plan.membership
        if name in membership.bootstrap or name in membership.join:
            return self._etcd_newcomer(stage, name)
        batch = Batch()
        changes, restarts = plan.stage(stage.name)
        if any(restart.running for restart in restarts):
            others = [url for peer in self.plan.peers for url in (peer.client_url,) if peer.name != name]
            if others:
                needed = (len(others) + 1) // 2 + 1
                batch.add("quorum", "quorum", ",".join(others), str(min(needed, len(others))))
        regular = stage_batch(plan, stage.name, seen, sources)
        batch.announce, batch.payload = regular.announce, regular.payload
        batch.operations += regular.operations
        batch.titles += regular.titles
        if name in membership.settle:
            batch.add("etcd membership", "etcd_settled")
        if self._leaves_from(name) and not changes and not restarts:
            for member in membership.remove:
                batch.add(f"etcd member {member.name}", "etcd_remove", member.id, ",".join(membership.live))
        return batch

    def _etcd_newcomer(self, stage: Stage, name: str) -> Batch:
        """A member that founds or joins: its files, then the join, then its unit with gates and stamp."""
        plan, seen, sources = self.plan.hosts[name], self.observations[name], self.sources(name)
        membership = self.plan.membership
        _, restarts = plan.stage(stage.name)
        batch = stage_batch(_without_restarts(plan, stage.name), stage.name, seen, sources)
        batch.operations[:0] = [("unstamp", restart.unit.name) for restart in restarts]
        batch.titles[:0] = [f"unit {restart.unit.name}" for restart in restarts]
        peer = next(peer for peer in self.plan.peers if peer.name == name)
        batch.know(("file", JOIN_FILE))
        if name in membership.bootstrap:
            batch.add("etcd membership", "etcd_bootstrap", initial_cluster(self.plan.peers), self._token())
        else:
            batch.add("etcd membership", "etcd_join", name, peer.peer_url, ",".join(membership.live))
        for restart in restarts:
            batch.add("systemd", "reload_units", restart.unit.name)
            batch.know(("unit", restart.unit.name))
            batch.add(f"unit {restart.unit.name}", "restart", restart.unit.name)
        if name in membership.join:
            batch.add("etcd membership", "etcd_promote", peer.peer_url, ",".join(membership.live), "120")
        for restart in restarts:
            write_gates(batch, restart.unit)
        batch.add("etcd membership", "etcd_settled")
        for restart in restarts:
            batch.add(f"unit {restart.unit.name}", "stamp", restart.unit.name, plan.stamps[restart.unit.name])
        return batch

    def _token(self) -> str:
        return f"kprov-{self.cluster.name}"

    def _objects_batch(self) -> Batch:
        batch = Batch()
        changes = self.plan.objects
        batch.attach_as("kubeconfig", self.kubeconfig())
        names = {change.identity for change in changes if change.action != "delete"}
        apply = [item for item in self.plan.wanted_objects if not self.plan.objects_known or identity(item) in names]
        if apply:
            batch.add("Kubernetes objects", "objects", batch.attach(_documents(apply)))
        for change in changes:
            if change.action == "delete":
                kind, namespace, name = change.identity
                batch.add(change.title, "delete_object", kind.lower(), namespace or "-", name)
        return batch

    def _ready_batch(self) -> Batch:
        batch = Batch()
        batch.attach_as("kubeconfig", self.kubeconfig())
        kubectl = "/opt/kprov/bin/kubectl"
        nodes = " ".join(f"node/{host.name}" for host in self.cluster.nodes if host.name in self.plan.hosts)
        batch.add(
            "nodes Ready", "gate", "-", "command", "180", f"{kubectl} wait --for=condition=Ready --timeout=10s {nodes}"
        )
        for item in self.plan.wanted_objects:
            if item["kind"] == "Deployment":
                name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
                command = f"{kubectl} -n {namespace} rollout status --timeout=10s deployment/{name}"
                batch.add(f"deployment {namespace}/{name} available", "gate", "-", "command", "180", command)
        return batch

    def _control_plane(self) -> str:
        """A control plane that was reached; one whose API server answered is preferred."""
        names = [host.name for host in self.cluster.group("control_plane") if host.name in self.sessions]
        return next((name for name in names if self.observations[name].objects is not None), names[0])

    def _etcd_host(self) -> str:
        names = [host.name for host in self.cluster.group("etcd") if host.name in self.sessions]
        return next((name for name in names if self.observations[name].etcd.members), names[0])

    def _leaves_from(self, name: str) -> bool:
        return bool(self.plan.membership.remove) and name == self._etcd_host()


def send(session: Session, stage: str, batch: Batch, generation: str, emit: Sink) -> HostFailed | None:
    """One exec: the batch as one tar stream. Returns what failed, or None."""
    name = session.host.name

    def done(number: int) -> None:
        emit(OperationDone(stage=stage, host=name, number=number, title=_title(batch, number)))

    def failed(number: int, *, expected: str, found: str, log: str, todo: str) -> HostFailed:
        title = _title(batch, number)
        return HostFailed(stage=stage, host=name, resource=title, expected=expected, found=found, log=log, todo=todo)

    reader = _Answers(done)
    try:
        result = session.execute(
            APPLY_COMMAND, stdin=stream(batch, generation), on_output=reader.feed, timeout=APPLY_TIMEOUT
        )
    except TransportError as error:
        return failed(
            reader.last + 1,
            expected="the connection to last until the stage is done",
            found=error.what,
            log=error.log or error.found,
            todo="run the same command again: it goes on where this one was cut off",
        )
    if reader.failed is not None:
        number, log = reader.failed
        lines = printable(log).strip().splitlines()
        return failed(
            number,
            expected=_expected(batch, number),
            found=lines[0] if lines else "it failed without a word",
            log="\n".join(lines[-24:]),
            todo="mend what the log names, then run the same command again: it goes on from here",
        )
    if not reader.complete:
        return failed(
            reader.last + 1,
            expected="the stage to end",
            found=f"the host's shell ended with exit code {result.status}",
            log="\n".join(printable(result.stderr.decode(errors="replace")).strip().splitlines()[-20:]),
            todo=_todo_for_exit(result.status),
        )
    return None


def batches(stage: Stage, plans: Mapping[str, HostPlan]) -> list[list[str]]:
    """Hosts with work in a stage, in the batches that its roll asks for.

    Hosts that serve nothing yet go first and together: starting something takes nothing away.
    """
    idle: list[str] = []
    serving: list[str] = []
    for name, plan in plans.items():
        changes, restarts = plan.stage(stage.name)
        if not changes and not restarts:
            continue
        (serving if any(restart.running for restart in restarts) else idle).append(name)
    if stage.roll in ("serial", "etcd"):
        return [group for group in (idle, *([name] for name in serving)) if group]
    if stage.roll == "canary" and serving:
        return [group for group in (idle, serving[:1], serving[1:]) if group]
    return [group for group in (idle + serving,) if group]


def _without_restarts(plan: HostPlan, stage: str) -> HostPlan:
    return HostPlan(
        host=plan.host,
        changes=plan.changes,
        restarts=tuple(restart for restart in plan.restarts if restart.stage != stage),
        stamps=plan.stamps,
        unstamps=plan.unstamps,
    )


def _documents(items: Iterable[Object]) -> bytes:
    return str(yaml.safe_dump_all(items, sort_keys=False)).encode()


def _title(batch: Batch, number: int) -> str:
    return batch.titles[number - 1] if 0 < number <= len(batch.titles) else "receiving the payload"


def _expected(batch: Batch, number: int) -> str:
    if not 0 < number <= len(batch.operations):
        return "the host to take its operations"
    operation = batch.operations[number - 1]
    if operation[0] == "gate":
        return f"{operation[2]} {operation[4]} within {operation[3]} s"
    return operation[0].replace("_", " ")


def _todo_for_exit(status: int) -> str:
    if status == 72:
        return "the payload could not be stored: make room below /var/lib (df -h /var/lib), then run again"
    return "look at the log, then run the same command again: it goes on from here"


class _Answers:
    """Reads apply.sh's lines as they come: `ok NUMBER`, `fail NUMBER BASE64`, `done`."""

    def __init__(self, done: Callable[[int], None]) -> None:
        self._done = done
        self._rest = b""
        self.last = 0
        self.failed: tuple[int, str] | None = None
        self.complete = False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace").split("\t"))

    def _line(self, fields: list[str]) -> None:
        if len(fields) < 3 or not fields[1].isdigit():
            return
        word, number = fields[0], int(fields[1])
        if word == "ok":
            self.last = number
            self._done(number)
        elif word == "fail":
            self.failed = number, base64.b64decode(fields[2] + "===").decode(errors="replace")
        elif word == "done":
            self.complete = True
