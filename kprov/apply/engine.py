"""Runs a plan: stage by stage, batch by batch, one exec a host. It decides nothing that plan and stages left open.

All changes to hosts go through `send`. A failing host never stops the others of its batch; the run stops before
the next batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, run, single
from kprov.apply.heartbeats import heartbeats_work, return_batch
from kprov.apply.objects import OWN, log_batch
from kprov.apply.right_of_way import RightOfWay
from kprov.apply.rolls import Request, Rolling, Run, rolling
from kprov.apply.sending import send
from kprov.plan.ahead import begun_ahead, sent_ahead
from kprov.plan.conversation import Answer
from kprov.plan.going_back import describe
from kprov.plan.stage_names import HEARTBEATS, OBJECTS, READY
from kprov.plan.stages import STAGES, Stage
from kprov.values.events import HostEnded, HostFailed, HostStarted, Sink, StageEnded, StageStarted
from kprov.values.many_hosts import merge_texts, name_hosts

_LOG_LINES = 6  # of each node that is not Ready


@dataclass(kw_only=True)
class Engine(Run):
    """One run over open sessions."""

    emit: Sink
    forks: int = 50
    _starts: dict[str, int] = field(default_factory=dict)  # nodes whose kubelet was restarted: when, in microseconds
    _ahead: dict[tuple[str, str], Future[Sequence[HostFailed]]] = field(default_factory=dict)  # by stage and host
    _keeping: set[str] = field(default_factory=set)  # those of them that can take back what they were changed to
    _way: RightOfWay = field(default_factory=RightOfWay)

    def run(self) -> None:
        """All stages in order; stops after the first batch in which a host failed. An add-on that fails stops nothing."""
        ahead = {name: sent_ahead(self.plan.hosts[name]) for name in self.founders}
        self.plan = replace(self.plan, hosts={**self.plan.hosts, **ahead})
        with ThreadPoolExecutor(max_workers=max(1, self.forks)) as beside:
            for stage in STAGES:
                if self.halted:
                    break
                if stage.repairs or not self._refused:
                    self._run_stage(stage, rolling(stage))
                self._begin_ahead(stage, beside)
        # Of a run that broke off: what had begun on other hosts has ended by now, and is told.
        for begun in self._ahead.values():
            self._note(begun.result())

    def _begin_ahead(self, over: Stage, beside: Executor) -> None:
        """Begins on hosts that serve nothing yet what needs no more than the stage that is over."""
        if self.halted:
            return
        by_name = {stage.name: stage for stage in STAGES}
        for name, hosts in begun_ahead(self.plan.hosts, self.founders, over.name).items():
            stage = by_name[name]
            for host in hosts:
                self._ahead[name, host] = beside.submit(self._run_host, stage, rolling(stage), host, ahead=True)

    @property
    def _refused(self) -> bool:
        """Whether kprov's own objects were: the cluster is a living one, and its hosts are brought back all the same."""
        return any(failure.stage == OBJECTS for failure in self.failures)

    def _run_stage(self, stage: Stage, roll: Rolling) -> None:
        started = time.monotonic()
        batches, ending = roll.batches(self), tuple(roll.ending(self))
        if not batches and not ending:
            return
        hosts = (*(host for names in batches for host in names), *(request.host for request in ending))
        self.emit(StageStarted(stage=stage.name, title=stage.title, hosts=tuple(dict.fromkeys(hosts))))
        for names in batches:
            self._run_batch(stage, roll, names)
            if self.halted:
                return
        for request in ending:
            self._ask_for(request)
            if self.halted:
                return
        self.emit(StageEnded(stage=stage.name, seconds=time.monotonic() - started))

    def _run_batch(self, stage: Stage, roll: Rolling, names: Sequence[str]) -> None:
        self._ask_for(roll.before(self, names))
        if self.halted:
            return
        self._run_hosts(stage, roll, names)
        self._await_heartbeats()
        if not self.halted:
            self._ask_at_once(roll.beside(self, names))
        self._ask_for(roll.after(self, names))

    def _await_heartbeats(self) -> None:
        """Asks the cluster for a heartbeat of each kubelet that was restarted, newer than its start.

        Nodes without one take back what they were changed to.
        """
        starts, keeping, self._keeping = self._starts, self._keeping, set()
        failures, lost = self._heartbeats()
        if failures and (names := [name for name in lost if name in keeping and name in starts]):
            failures = self._sent_back(failures, names)
        self._note(failures)

    def _heartbeats(self) -> tuple[Sequence[HostFailed], list[str]]:
        """Ask for those of the kubelets that were restarted since; returns what failed, and which nodes had none."""
        starts, self._starts = self._starts, {}
        if not starts:
            return (), []
        lost: list[str] = []
        work = heartbeats_work(starts, self.kubeconfig(), lost)
        return self._answered(Request(what=HEARTBEATS, host=self.control_plane, work=work)), lost

    def _sent_back(self, failures: Sequence[HostFailed], names: Sequence[str]) -> Sequence[HostFailed]:
        """Have nodes take back their change, and ask for their heartbeats again; returns the failures with what runs now."""
        with ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(names)))) as pool:
            asked = [Request(what=HEARTBEATS, host=name, work=single(return_batch())) for name in names]
            more = [failure for some in pool.map(self._answered, asked) for failure in some]
        back = [(name, describe(self.heard[name].get(1, ""))) for name in names if name in self._starts]
        _, lost = self._heartbeats()
        said = [
            (name, f"{text}; {'no heartbeat came' if name in lost else 'its heartbeat came'}") for name, text in back
        ]
        now = f"{name_hosts(name for name, _ in said)}: {merge_texts(said)}" if said else ""
        return (*(replace(failure, now=now) for failure in failures), *more)

    def _ask_for(self, request: Request | None) -> None:
        if request is not None:
            self._note(self._answered(request))

    def _ask_at_once(self, requests: Sequence[Request]) -> None:
        with ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(requests)))) as pool:
            failures = [failure for some in pool.map(self._answered, requests) for failure in some]
        # Of hosts that fail alike the first one's lines are shown: the one that can say most.
        self._note(sorted(failures, key=lambda failure: -len(failure.log.splitlines())))

    def _answered(self, request: Request) -> Sequence[HostFailed]:
        return self._exchanged(request.what, request.host, request.work)

    def _note(self, failures: Sequence[HostFailed]) -> None:
        for failure in failures:
            self.failures.append(failure)
            self.emit(failure)

    def _run_hosts(self, stage: Stage, roll: Rolling, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(max_workers=max(1, min(self.forks, len(names)))) as pool:
            for failures in pool.map(lambda name: self._host_ended(stage, roll, name), names):
                self._note(failures)

    def _host_ended(self, stage: Stage, roll: Rolling, name: str) -> Sequence[HostFailed]:
        begun = self._ahead.pop((stage.name, name), None)
        return begun.result() if begun else self._run_host(stage, roll, name)

    def _run_host(self, stage: Stage, roll: Rolling, name: str, *, ahead: bool = False) -> Sequence[HostFailed]:
        failures = self._exchanged(stage.name, name, roll.work(self, name), ahead=ahead)
        if stage.name == OBJECTS and self.plan.objects_known:
            return tuple(replace(failure, fatal=failure.fatal and failure.resource != OWN) for failure in failures)
        return tuple(replace(failure, fatal=True) for failure in failures) if stage.ends_run else failures

    def _exchanged(
        self, what: str, name: str, exchange: Exchange[None], *, ahead: bool = False
    ) -> Sequence[HostFailed]:
        return run(exchange, partial(self._sent, what, name, ahead), self.emit, stage=what, host=name)

    def _sent(self, what: str, name: str, ahead: bool, batch: Batch, heard: dict[int, Answer]) -> Sequence[HostFailed]:
        self.changed = self.changed or batch.changes
        self.stages.add(what)
        self.touched.add(name)
        started = time.monotonic()
        self.emit(HostStarted(stage=what, host=name, operations=len(batch.operations), changes=batch.changes))
        answers = self.heard[name] = {}
        ordered = self._way.give_way if ahead or batch.beside else self._way.go_first
        failures = send(
            self.sessions[name],
            what,
            batch,
            self.generation,
            self.emit,
            answers.__setitem__,
            heard.__setitem__,
            ordered,
        )
        if not failures and answers.get(batch.start, "").isdigit():
            self._starts[name] = int(answers[batch.start])
            self._keeping |= {name} if batch.keeps else set()
        if batch.unready in answers:
            failures = tuple(self._with_logs(failure, answers[batch.unready]) for failure in failures)
        if not failures:
            self.emit(HostEnded(stage=what, host=name, seconds=time.monotonic() - started))
        return failures

    def _with_logs(self, failure: HostFailed, unready: str) -> HostFailed:
        """The failure with the last lines of kubelet on each node that is not Ready. unready: a line a node, name first."""
        parts = [unready]
        for name in (line.partition(":")[0] for line in unready.splitlines()):
            if name in self.sessions:
                heard: dict[int, str] = {}
                send(self.sessions[name], READY, log_batch(), self.generation, lambda _: None, heard.__setitem__)
                lines = heard.get(1, "its host does not answer").strip().splitlines()
                parts += [f"{name}, kubelet.service: {line}" for line in lines[-_LOG_LINES:]]
        return replace(failure, log="\n".join(parts))
