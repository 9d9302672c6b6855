"""Runs a plan: stage by stage, batch by batch, one exec a host. It decides nothing that plan and stages left open.

All changes to hosts go through `send`. A failing host never stops the others of its batch; the run stops before
the next batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from kprov.apply.batch import Batch
from kprov.apply.etcd import etcd_batch, etcd_batches, removals
from kprov.apply.heartbeats import heartbeats_batch
from kprov.apply.objects import addons_batch, network_batch, objects_batch, ready_batch, workloads_batch
from kprov.apply.operations import Sources, stage_batch
from kprov.apply.rolls import batches
from kprov.apply.runtime_swap import swap_batch
from kprov.apply.sending import send
from kprov.apply.upgrades import drain_batch, reopen_batch
from kprov.observe.observation import Observation
from kprov.plan.cluster import ClusterPlan
from kprov.plan.stages import STAGES, Stage
from kprov.transport.base import Session
from kprov.values.certificate import Authority
from kprov.values.events import HostEnded, HostFailed, HostStarted, Sink, StageEnded, StageStarted
from kprov.values.model import Cluster

SourcesOf = Callable[[str], Sources]  # host name → where its content comes from


@dataclass(kw_only=True)
class Engine:
    """One run over open sessions.

    `kubeconfig` makes a short-lived credential for work on a control plane host; bundle: the CAs to trust, PEM.
    """

    cluster: Cluster
    plan: ClusterPlan
    observations: Mapping[str, Observation]
    sessions: Mapping[str, Session]
    sources: SourcesOf
    kubeconfig: Callable[[], bytes]
    bundle: Mapping[Authority, bytes]
    generation: str
    emit: Sink
    forks: int = 50
    failures: list[HostFailed] = field(default_factory=list)
    changed: bool = False
    _starts: dict[str, int] = field(default_factory=dict)  # nodes whose kubelet was restarted: when, in microseconds

    def run(self) -> None:
        """All stages in order; stops after the first batch in which a host failed. An add-on that fails stops nothing."""
        for stage in STAGES:
            started = time.monotonic()
            batches = self._batches(stage)
            leaving = stage.roll == "etcd" and bool(self.plan.membership.remove)
            if not batches and not leaving:
                continue
            hosts = (*(host for names in batches for host in names), *([self._etcd_host()] if leaving else []))
            self.emit(StageStarted(stage=stage.name, title=stage.title, hosts=tuple(dict.fromkeys(hosts))))
            for names in batches:
                self._run_batch(stage, names)
                if self._halted:
                    return
            if leaving:
                self._note(self._sent(stage.name, self._etcd_host(), removals(self.plan.membership)))
                if self._halted:
                    return
            self.emit(StageEnded(stage=stage.name, seconds=time.monotonic() - started))

    @property
    def _halted(self) -> bool:
        return any(failure.fatal for failure in self.failures)

    def _batches(self, stage: Stage) -> list[list[str]]:
        if stage.roll in ("objects", "network", "workloads", "addons"):
            return [[self._control_plane()]] if self._object_work(stage).operations else []
        if stage.roll == "ready":
            return [[self._control_plane()]] if self.changed or self.plan.not_ready else []
        if stage.roll == "etcd":
            return etcd_batches(stage, self.plan)
        if stage.roll == "drain":
            return self.plan.upgrades.rounds(self.cluster.upgrade.max_unavailable)
        return batches(stage, self.plan.hosts)

    def _run_batch(self, stage: Stage, names: Sequence[str]) -> None:
        if stage.roll == "drain":
            self._run_drained(stage, names)
        else:
            self._run_hosts(stage, names)
            self._await_heartbeats()

    def _run_drained(self, stage: Stage, names: Sequence[str]) -> None:
        """Empties nodes, changes them, opens them again. Those that fail stay cordoned: the next run goes on there."""
        drained = [name for name in names if name in self.plan.upgrades.drain]
        if drained:
            self._ask_for("drain", drain_batch(drained, self.cluster.upgrade.drain_timeout, self.kubeconfig()))
            if self._halted:
                return
        changed = [name for name in names if name in drained or name in self.plan.upgrades.swaps]
        if changed:
            self._run_hosts(stage, changed)
            self._await_heartbeats()
        failed = {failure.host for failure in self.failures}
        well = [name for name in names if name not in failed]
        if well:
            upgrades, version = self.plan.upgrades, self.cluster.versions["kubernetes"]
            networkless = self.plan.not_ready if self.plan.network.mode == "none" else ()
            batch = reopen_batch(well, version, upgrades.swaps, self.kubeconfig(), networkless=networkless)
            self._ask_for("uncordon", batch)

    def _await_heartbeats(self) -> None:
        """Asks the cluster for a heartbeat of each kubelet that was restarted, newer than its start."""
        starts, self._starts = self._starts, {}
        if starts:
            self._ask_for("heartbeats", heartbeats_batch(starts, self.kubeconfig()))

    def _ask_for(self, what: str, batch: Batch) -> None:
        """Work on Kubernetes objects, done by a control plane."""
        self._note(self._sent(what, self._control_plane(), batch))

    def _note(self, failures: Sequence[HostFailed]) -> None:
        for failure in failures:
            self.failures.append(failure)
            self.emit(failure)

    def _run_hosts(self, stage: Stage, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(names)))) as pool:
            for failures in pool.map(lambda name: self._run_host(stage, name), names):
                self._note(failures)

    def _run_host(self, stage: Stage, name: str) -> Sequence[HostFailed]:
        batch = self._batch(stage, name)
        if not batch.operations:
            return ()
        return self._sent(stage.name, name, batch)

    def _sent(self, stage: str, name: str, batch: Batch) -> Sequence[HostFailed]:
        self.changed = self.changed or stage not in ("heartbeats", "ready")
        started = time.monotonic()
        self.emit(HostStarted(stage=stage, host=name, operations=len(batch.operations)))
        answers: dict[int, str] = {}
        failures = send(self.sessions[name], stage, batch, self.generation, self.emit, answers.__setitem__)
        if not failures and answers.get(batch.start, "").isdigit():
            self._starts[name] = int(answers[batch.start])
        if stage == "network":  # what comes after it would wait for nodes in vain
            failures = tuple(replace(failure, fatal=True) for failure in failures)
        if not failures:
            self.emit(HostEnded(stage=stage, host=name, seconds=time.monotonic() - started))
        return failures

    def _batch(self, stage: Stage, name: str) -> Batch:
        if stage.roll in ("objects", "network", "workloads", "addons", "ready"):
            batch = self._object_work(stage)
            batch.attach_as("kubeconfig", self.kubeconfig())
            return batch
        if stage.roll == "etcd":
            token = f"kprov-{self.cluster.name}"
            return etcd_batch(stage.name, name, self.plan, self.observations[name], self.sources(name), token=token)
        plan, seen, sources = self.plan.hosts[name], self.observations[name], self.sources(name)
        swap = self.plan.upgrades.swaps.get(name) if stage.roll == "drain" else None
        if swap is not None:
            return swap_batch(plan, stage.name, swap, seen, sources)
        return stage_batch(plan, stage.name, seen, sources)

    def _object_work(self, stage: Stage) -> Batch:
        if stage.roll == "objects":
            return objects_batch(self.plan)
        if stage.roll in ("network", "addons"):
            work = network_batch if stage.roll == "network" else addons_batch
            return work(self.plan, self.bundle, self.sources(self._control_plane()).issue)
        nodes = [host.name for host in self.cluster.nodes if host.name in self.plan.hosts]
        return (workloads_batch if stage.roll == "workloads" else ready_batch)(self.plan, nodes)

    def _etcd_host(self) -> str:
        names = [host.name for host in self.cluster.group("etcd") if host.name in self.sessions]
        return next((name for name in names if self.observations[name].etcd.members), names[0])

    def _control_plane(self) -> str:
        """A control plane that was reached; one whose API server answered is preferred."""
        names = [host.name for host in self.cluster.group("control_plane") if host.name in self.sessions]
        return next((name for name in names if self.observations[name].objects is not None), names[0])
