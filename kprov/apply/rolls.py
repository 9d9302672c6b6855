"""What each roll of a stage does in a run: its batches of hosts, and what every host of a batch is sent. It sends nothing.

A roll is a value of plan/rolls.py; `rolling` gives the class that carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import assert_never

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, Work, carried, single, worked
from kprov.apply.etcd import cleared, departures, etcd_batches, etcd_work
from kprov.apply.founding import founding_work, steady_batch, unhurried
from kprov.apply.objects import addons_work, network_work, objects_work, ready_work, workloads_work
from kprov.apply.operations import Issue, Sources, stage_batch
from kprov.apply.reach import STAGES as REACHING
from kprov.apply.reach import addresses, advice, await_pods, image, is_policed, reach_batch, write_end, write_pods
from kprov.apply.runtime_swap import swap_batch
from kprov.apply.upgrades import drain_work, reopen_work
from kprov.observe.observation import Observation
from kprov.observe.silent_hosts import cluster_facts
from kprov.plan import rolls, stage_names
from kprov.plan.ahead import founding, is_beside
from kprov.plan.api_servers import another_ready, read_by_all
from kprov.plan.cluster import ClusterPlan
from kprov.plan.encryption_change import learning, servers
from kprov.plan.proof import proven
from kprov.plan.rewriting import rewritten
from kprov.plan.stages import Stage
from kprov.transport.base import Session
from kprov.values.certificate import Authority
from kprov.values.events import HostFailed
from kprov.values.model import Cluster

SourcesOf = Callable[[str], Sources]  # host name → where its content comes from


@dataclass(kw_only=True)
class Run:
    """What a roll may look at: the plan, what hosts said, and what has happened so far.

    `kubeconfig` makes a short-lived credential for work on a control plane host; bundle: the CAs to trust, PEM.
    `rewritten` keeps what all encrypted objects are written by from now on, and is told how many of each kind.
    """

    cluster: Cluster
    plan: ClusterPlan
    observations: Mapping[str, Observation]
    sessions: Mapping[str, Session]
    sources: SourcesOf
    kubeconfig: Callable[[], bytes]
    bundle: Mapping[Authority, bytes]
    generation: str
    rewritten: Callable[[str, Mapping[str, int]], None]
    failures: list[HostFailed] = field(default_factory=list)
    changed: bool = False
    stages: set[str] = field(default_factory=set)  # in which something was sent
    touched: set[str] = field(default_factory=set)  # hosts to which something was sent
    heard: dict[str, dict[int, str]] = field(default_factory=dict)  # host → what its last exec told, by operation

    @cached_property
    def founders(self) -> frozenset[str]:
        """Return the hosts that serve nothing yet."""
        return founding(self.plan.hosts, self.observations)

    @property
    def halted(self) -> bool:
        """Whether a host failed in a way that ends the run."""
        return any(failure.fatal for failure in self.failures)

    @property
    def control_plane(self) -> str:
        """A control plane that was reached; one whose API server answered is preferred."""
        names = [host.name for host in self.cluster.group("control_plane") if host.name in self.sessions]
        return next((name for name in names if self.observations[name].objects is not None), names[0])

    @property
    def member(self) -> str:
        """An etcd host that was reached; one whose member answered is preferred."""
        names = [host.name for host in self.cluster.group("etcd") if host.name in self.sessions]
        return next((name for name in names if self.observations[name].etcd.members), names[0])

    @property
    def nodes(self) -> list[str]:
        """Nodes that are in the plan."""
        return [host.name for host in self.cluster.nodes if host.name in self.plan.hosts]

    @property
    def issue(self) -> Issue:
        return self.sources(self.control_plane).issue


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one host is sent on behalf of others.

    what: its name in events, in the place of a stage's.
    """

    what: str
    host: str
    work: Exchange[None]


class Rolling:
    """How a stage goes over its hosts. Around a batch, other hosts may be asked for something."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def batches(self, run: Run) -> list[list[str]]:
        """Return the hosts with work, in the batches that follow each other."""
        raise NotImplementedError

    def work(self, run: Run, host: str) -> Exchange[None]:
        """Return what one host is sent, batch by batch. Issues certificates."""
        raise NotImplementedError

    def before(self, run: Run, names: Sequence[str]) -> Request | None:
        """Return what must be done before a batch of hosts is changed; they stay as they are when it fails."""
        return None

    def beside(self, run: Run, names: Sequence[str]) -> Sequence[Request]:
        """Return what hosts are asked, all at once, when a batch has ended well."""
        return ()

    def after(self, run: Run, names: Sequence[str]) -> Request | None:
        """Return what is done when a batch of hosts has ended, whether all of them ended well or not."""
        return None

    def ending(self, run: Run) -> Iterator[Request]:
        """Yield what is done when all batches have ended well."""
        return iter(())


class _Hosts(Rolling):
    """Hosts by what their own plans say."""

    def __init__(self, stage: Stage, roll: rolls.HostRoll | rolls.ApiServers) -> None:
        super().__init__(stage)
        self.roll = roll

    def batches(self, run: Run) -> list[list[str]]:
        plans = {
            name: plan
            for name, plan in run.plan.hosts.items()
            if name not in run.founders or not is_beside(plan, self.stage)
        }
        return rolls.host_batches(self.roll, self.stage.name, plans)

    def work(self, run: Run, host: str) -> Exchange[None]:
        plan, seen, sources = run.plan.hosts[host], run.observations[host], run.sources(host)
        if host in run.founders:
            return founding_work(plan, self.stage.name, seen, sources)
        return single(stage_batch(plan, self.stage.name, seen, sources))


class _ApiServers(_Hosts):
    """One that serves is stopped only while another one is ready."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, rolls.ApiServers())

    def work(self, run: Run, host: str) -> Exchange[None]:
        own, several = run.plan.hosts[host], len(run.plan.servers) > 1
        if several and any(restart.running for restart in own.stage(self.stage.name)[1]):
            yield from carried(another_ready(host, run.plan.servers), Batch(), kubeconfig=run.kubeconfig())
        yield from super().work(run, host)


class _Learned(_Hosts):
    """API servers write with a new key when all of them read it."""

    def before(self, run: Run, names: Sequence[str]) -> Request | None:
        change, waiting = run.plan.encryption, learning(run.cluster, cluster_facts(run.observations), run.plan.hosts)
        if change is None or not waiting:
            return None
        talk = read_by_all(waiting, {"encryption": change.reads.sha256})
        work = carried(talk, Batch(), kubeconfig=run.kubeconfig())
        return Request(what=self.stage.name, host=run.control_plane, work=work)


class _Rewritten(Rolling):
    """Until every object is written again, nothing takes the old key away: a failure ends the run before that."""

    def batches(self, run: Run) -> list[list[str]]:
        return [[run.control_plane]] if run.plan.encryption is not None else []

    def work(self, run: Run, host: str) -> Exchange[None]:
        change = run.plan.encryption
        if change is None:
            return
        urls = servers(run.cluster, cluster_facts(run.observations), run.plan.hosts)
        yield from carried(
            read_by_all(urls, {"encryption": change.writes.sha256}), Batch(), kubeconfig=run.kubeconfig()
        )
        counts = yield from carried(rewritten(change.resources), Batch(), kubeconfig=run.kubeconfig())
        run.rewritten(change.settled, counts)


class _Members(Rolling):
    def batches(self, run: Run) -> list[list[str]]:
        return etcd_batches(self.stage.name, run.plan)

    def work(self, run: Run, host: str) -> Exchange[None]:
        token = f"kprov-{run.cluster.name}"
        work = etcd_work(self.stage.name, host, run.plan, run.observations[host], run.sources(host), token=token)
        founds = host in run.founders and host in run.plan.membership.bootstrap
        return single(unhurried(next(work))) if founds else work

    def ending(self, run: Run) -> Iterator[Request]:
        # With the alarm of a full store each write is refused until it is cleared, also when there is room again.
        full = any("NOSPACE" in seen.surroundings.etcd for seen in run.observations.values())
        if full and self.batches(run):
            yield Request(what=self.stage.name, host=run.member, work=cleared())
        if run.plan.membership.remove:
            yield Request(what=self.stage.name, host=run.member, work=departures(run.plan.membership))


class _Drained(Rolling):
    """Empties nodes, changes them, opens them again. Those that fail stay cordoned: the next run goes on there."""

    def batches(self, run: Run) -> list[list[str]]:
        return run.plan.upgrades.rounds(run.cluster.upgrade.max_unavailable)

    def before(self, run: Run, names: Sequence[str]) -> Request | None:
        drained = [name for name in names if name in run.plan.upgrades.drain]
        if not drained:
            return None
        work = drain_work(drained, run.cluster.upgrade.drain_timeout, run.kubeconfig())
        return Request(what=stage_names.DRAIN, host=run.control_plane, work=work)

    def work(self, run: Run, host: str) -> Exchange[None]:
        upgrades, plan = run.plan.upgrades, run.plan.hosts[host]
        if host in upgrades.swaps:
            swap = upgrades.swaps[host]
            return single(swap_batch(plan, self.stage.name, swap, run.observations[host], run.sources(host)))
        if host in upgrades.drain:
            return single(stage_batch(plan, self.stage.name, run.observations[host], run.sources(host)))
        return single(Batch())  # it only waits to be opened again

    def after(self, run: Run, names: Sequence[str]) -> Request | None:
        failed = {failure.host for failure in run.failures}
        well = [name for name in names if name not in failed]
        if not well:
            return None
        upgrades, version = run.plan.upgrades, run.cluster.versions["kubernetes"]
        networkless = run.plan.not_ready if run.plan.network.mode == "none" else ()
        work = reopen_work(well, version, upgrades.swaps, run.kubeconfig(), networkless=networkless)
        return Request(what=stage_names.UNCORDON, host=run.control_plane, work=work)


class _Once(Rolling):
    """Work on Kubernetes objects, done by one control plane. objects: makes it, without the credential it needs."""

    def __init__(self, stage: Stage, objects: Callable[[Run], Work]) -> None:
        super().__init__(stage)
        self.objects = objects

    def batches(self, run: Run) -> list[list[str]]:
        return [[run.control_plane]] if self.objects(run).due else []

    def work(self, run: Run, host: str) -> Exchange[None]:
        return worked(self.objects(run), run.kubeconfig())


class _Ready(_Once):
    """Waits until all is well, and writes down that it was: without that note the next run asks again.

    Where it may have changed, pods of all nodes are asked for each other.
    """

    def batches(self, run: Run) -> list[list[str]]:
        due = run.changed or run.plan.not_ready or run.plan.unproven
        return [[run.control_plane]] if due else []

    def work(self, run: Run, host: str) -> Exchange[None]:
        work, kubeconfig, nodes = self.objects(run), run.kubeconfig(), _reaching(run)
        batch = work.first
        if nodes:  # they start while the rest is waited for
            policed = is_policed(seen.policies for seen in run.observations.values())
            write_pods(batch, nodes, image(run.plan), run.generation, policed=policed)
            batch.steps.insert(0, batch.steps.pop())
        if work.talks:
            yield from worked(work, kubeconfig)
            batch = Batch()
        batch.attach_as("kubeconfig", kubeconfig)
        if host in run.founders:
            batch.steps += steady_batch(run.plan.hosts[host]).steps
        if nodes:
            await_pods(batch, nodes, run.generation)
        elif not _founders_beside(run, host):
            _write_well(batch, run, host)
        yield batch

    def beside(self, run: Run, names: Sequence[str]) -> Sequence[Request]:
        told = run.heard.get(names[0], {})
        found = addresses(told[max(told)]) if told and _reaching(run) else {}
        batches = {name: reach_batch(name, found, advice(run.cluster)) for name in found if name in run.sessions}
        for name in _founders_beside(run, names[0]):
            batches.setdefault(name, Batch()).steps += steady_batch(run.plan.hosts[name]).steps
        return tuple(Request(what=self.stage.name, host=name, work=single(batch)) for name, batch in batches.items())

    def after(self, run: Run, names: Sequence[str]) -> Request | None:
        if not _reaching(run) and not _founders_beside(run, names[0]):
            return None
        batch = Batch()
        batch.attach_as("kubeconfig", run.kubeconfig())
        if _reaching(run):
            write_end(batch)
        if not run.halted:
            _write_well(batch, run, names[0])
        return Request(what=self.stage.name, host=names[0], work=single(batch))


def _founders_beside(run: Run, host: str) -> list[str]:
    """Return the other hosts whose units were started for the first time, and not asked yet whether they stay up."""
    return sorted(run.founders - {host})


def _reaching(run: Run) -> list[str]:
    """Return the nodes whose pods are asked for each other: none where nothing was done that could cut them off."""
    networkless = run.plan.network.mode == "none" and run.plan.not_ready
    due = bool(run.stages & REACHING or run.plan.unproven)
    if networkless or not due or not image(run.plan):
        return []
    ill = set(run.plan.not_ready) - set(run.plan.hosts)
    nodes = [host.name for host in run.cluster.nodes if host.name in run.sessions and host.name not in ill]
    return nodes if len(nodes) > 1 else []


def _write_well(batch: Batch, run: Run, host: str) -> None:
    """host: the control plane that writes it down, whose generation this very exec makes this run's."""
    touched, asked = {*run.touched, host}, set(run.plan.hosts)
    seen = proven(run.observations, touched=touched, asked=asked, generation=run.generation)
    batch.add("that all was seen well", wire.Well(hosts=tuple(f"{name}={seen[name]}" for name in sorted(seen))))


def rolling(stage: Stage) -> Rolling:
    """Return what carries out the roll of a stage."""
    match stage.roll:
        case rolls.Parallel() | rolls.Serial() | rolls.Canary() as roll:
            return _Hosts(stage, roll)
        case rolls.ApiServers():
            return _ApiServers(stage)
        case rolls.Learned() as roll:
            return _Learned(stage, roll)
        case rolls.Rewritten():
            return _Rewritten(stage)
        case rolls.Members():
            return _Members(stage)
        case rolls.Drained():
            return _Drained(stage)
        case rolls.OwnObjects():
            return _Once(stage, lambda run: objects_work(run.plan))
        case rolls.FirstAddons():
            return _Once(stage, lambda run: network_work(run.plan, run.bundle, run.issue))
        case rolls.Workloads():
            return _Once(stage, lambda run: workloads_work(run.plan, run.nodes))
        case rolls.OtherAddons():
            return _Once(stage, lambda run: addons_work(run.plan, run.bundle, run.issue))
        case rolls.Ready():
            return _Ready(stage, lambda run: ready_work(run.plan, run.nodes))
        case unknown:
            assert_never(unknown)
