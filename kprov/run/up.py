"""`kprov plan` and `kprov up`, from a loaded inventory to an outcome: gather, check, plan, lock, apply.

Wires pure parts to hosts and to the operator's folder. It prints nothing: it emits events and returns values.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kprov import preflight
from kprov.addon.certificates import listed
from kprov.addon.desired import cluster_values
from kprov.apply.down import farewells, take_down
from kprov.apply.engine import Engine
from kprov.apply.lock import locked
from kprov.apply.operations import Sources
from kprov.artifacts.cache import packed
from kprov.artifacts.manifests import manifests
from kprov.artifacts.progress import Progress
from kprov.artifacts.provide import named, provide
from kprov.observe.gather import Fleet, Question, ask_again, gather
from kprov.observe.silent_hosts import cluster_facts
from kprov.plan import delivery
from kprov.plan.cluster import ClusterPlan, Inputs, desired_of_hosts, plan_cluster
from kprov.plan.questions import first_questions, further_questions, with_objects
from kprov.run.refusals import refuse_foreign_trust, refuse_locked, refuse_unknown_addresses, refuse_unreachable
from kprov.run.running_versions import cached, identified
from kprov.state.credential import credential
from kprov.state.store import Store
from kprov.transport.base import Transport
from kprov.values.certificate import AUTHORITIES, CertificateSpec
from kprov.values.events import Gathered, HostFailed, Note, Sink
from kprov.values.model import Cluster, Secret
from kprov.values.resources import Certificate


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said. `limit`: names of hosts to touch, None for all."""

    limit: frozenset[str] | None = None
    delete_data: bool = False  # what add-ons that are gone left behind goes too
    recreate: frozenset[str] = frozenset()  # add-ons whose workloads may be deleted to be changed
    forks: int = 50
    deep: bool = False
    state_dir: Path | None = None
    passphrase: Secret | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. `applied`: whether anything was sent. Failures are rows of the closing table."""

    plan: ClusterPlan
    applied: bool
    failures: tuple[HostFailed, ...] = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Prepared:
    """A plan with the open sessions it was made over."""

    cluster: Cluster
    store: Store
    fleet: Fleet
    inputs: Inputs
    plan: ClusterPlan
    warnings: tuple[str, ...]


@dataclass(kw_only=True)
class Operator:
    """The operator's side of a run: the transport, where things are kept, who hears about it."""

    transport: Transport
    cache: Path
    lock_file: Path | None
    emit: Sink
    progress: Progress
    options: Options = field(default_factory=Options)

    @contextmanager
    def prepare(self, cluster: Cluster, store: Store, *, draft: bool) -> Iterator[Prepared]:
        """Asks all hosts and plans; sessions stay open inside the block.

        draft: a cluster without keys is planned with throw-away ones; otherwise they are made and kept, after every
        check has passed. Raises PreflightError, TransportError, PkiError, StoreError, ArtifactError, ApplyError:
        nothing on any host has been touched then.
        """
        started = time.monotonic()
        fleet = gather(
            self.transport,
            cluster.hosts,
            first_questions(cluster, store, deep=self.options.deep),
            forks=self.options.forks,
        )
        try:
            self.emit(Gathered(hosts=len(fleet.observations), seconds=time.monotonic() - started))
            refuse_unreachable(fleet, self.options.limit)
            refuse_unknown_addresses(cluster, fleet)
            refuse_locked(fleet)
            fleet, warnings = self._checked(cluster, fleet)
            refuse_foreign_trust(store, fleet)
            with ExitStack() as stack:
                yield self._plan(cluster, self._trusted(cluster, store, draft, stack), fleet, warnings)
        finally:
            fleet.close()

    def _checked(self, cluster: Cluster, fleet: Fleet) -> tuple[Fleet, tuple[str, ...]]:
        """The fleet with the versions it runs, and the warnings of preflight. Raises PreflightError, TransportError."""
        fleet = identified(fleet, cached(self.cache), forks=self.options.forks)
        refuse_unreachable(fleet, self.options.limit)
        problems = preflight.check(cluster, fleet.observations, self.options.limit)
        preflight.raise_for(problems)
        return fleet, tuple(str(problem) for problem in problems if problem.severity == "warning")

    def _trusted(self, cluster: Cluster, store: Store, draft: bool, stack: ExitStack) -> Store:
        if store.exists:
            return store
        if draft:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kprov-draft-"))
            store = Store.open(Path(folder) / "state", cluster.name)
        store.create_trust(cluster.pki.algorithm, cluster.pki.ca_days, datetime.now(UTC))
        return store

    def _plan(self, cluster: Cluster, store: Store, fleet: Fleet, warnings: tuple[str, ...]) -> Prepared:
        archs = {fleet.observations[host.name].facts.arch for host in cluster.hosts if host.name in fleet.observations}
        inputs = Inputs(
            cluster=cluster,
            trust=store.trust(),
            artifacts=provide(cluster, archs, self.cache, self.progress, lock=self.lock_file),
            now=datetime.now(UTC),
            manifests=manifests(cluster, self.cache, self.progress, lock=self.lock_file),
            delete_data=self.options.delete_data,
            recreate=self.options.recreate,
        )
        desired = desired_of_hosts(inputs, fleet.observations)
        again = further_questions(
            cluster, store, desired, fleet.observations, limit=self.options.limit, deep=self.options.deep
        )
        fleet = ask_again(fleet, again, forks=self.options.forks)
        refuse_unreachable(fleet, self.options.limit)
        observations = fleet.observations
        plan = plan_cluster(inputs, observations, None if again else desired)
        if self.options.limit is not None:
            plan = plan.limited(self.options.limit)
        if cluster.artifacts.delivery == "download":
            delivery.require_downloads(plan.hosts, observations)
        return Prepared(
            cluster=cluster,
            store=store,
            fleet=fleet,
            inputs=inputs,
            plan=plan,
            warnings=warnings,
        )

    def apply(self, prepared: Prepared) -> Outcome:
        """Carries the plan out under the cluster's lock. Raises LockedError before anything is touched.

        With nothing to do no lock is taken: that run only looked, and cost one exec per host.
        """
        if prepared.plan.settled:
            return Outcome(plan=prepared.plan, applied=False, warnings=prepared.warnings)
        started = time.monotonic()
        fleet = prepared.fleet
        names = sorted(name for name in prepared.plan.hosts if name in fleet.sessions)
        with locked(fleet, prepared.store, names) as moved:
            if moved:
                self.emit(Note(text="another run ended in between: asking the hosts again"))
                again = {
                    name: Question(keys=tuple(seen.asked), deep=self.options.deep, locked=True)
                    for name, seen in fleet.observations.items()
                }
                fleet, warnings = self._checked(prepared.cluster, ask_again(fleet, again, forks=self.options.forks))
                prepared = self._plan(prepared.cluster, prepared.store, fleet, warnings)
            engine = self._engine(prepared)
            engine.run()
        return Outcome(
            plan=prepared.plan,
            applied=engine.changed,
            failures=tuple(engine.failures),
            seconds=time.monotonic() - started,
            warnings=prepared.warnings,
        )

    def look(self, cluster: Cluster, store: Store) -> Fleet:
        """What every host says of itself, for `kprov status`: one exec a host, and nothing changes. Sessions are closed.

        Hosts that could not be asked are in the failures.
        """
        questions = {host.name: Question(status=True) for host in cluster.hosts}
        if store.exists:
            for host in cluster.group("control_plane"):
                questions[host.name] = with_objects(questions[host.name], cluster, store)
        fleet = gather(self.transport, cluster.hosts, questions, forks=self.options.forks)
        fleet.close()
        return fleet

    def desired_certificates(self, cluster: Cluster, store: Store, fleet: Fleet) -> Mapping[str, list[Certificate]]:
        """The certificates every observed host should have. Raises StoreError, PreflightError.

        Certificates do not depend on what programs contain, so that none has to be had for this.
        """
        archs = {seen.facts.arch for seen in fleet.observations.values()}
        artifacts = named(cluster, archs)
        inputs = Inputs(cluster=cluster, trust=store.trust(), artifacts=artifacts, now=datetime.now(UTC))
        hosts = desired_of_hosts(inputs, fleet.observations)
        return {
            name: [item for items in desired.values() for item in items if isinstance(item, Certificate)]
            for name, desired in hosts.items()
        }

    def secret_certificates(
        self, cluster: Cluster, store: Store, fleet: Fleet, now: datetime
    ) -> tuple[tuple[CertificateSpec, str, bytes | None, str], ...] | None:
        """What `addon.certificates.listed` finds; None when no API server could be asked. Raises StoreError."""
        live = next((seen.objects for seen in fleet.observations.values() if seen.objects is not None), None)
        if live is None:
            return None
        facts = cluster_facts(fleet.observations)
        return tuple(listed(cluster, live, cluster_values(cluster, facts), store.trust(), now))

    def down(self, cluster: Cluster, store: Store) -> tuple[HostFailed, ...]:
        """Takes the hosts of `limit`, or all, out of the cluster and gives them back as they were.

        Raises TransportError, LockedError, PkiError, KprovError before anything is touched.
        """
        names = [host.name for host in cluster.hosts if self.options.limit is None or host.name in self.options.limit]
        fleet = gather(self.transport, cluster.hosts, {}, forks=self.options.forks)
        try:
            refuse_unreachable(fleet, frozenset(names))
            refuse_locked(fleet)
            if not any(fleet.observations[name].records for name in names):
                return ()  # not even a lock is taken where nothing is to be removed
            partial = len(names) < len(cluster.hosts)
            goodbye = farewells(cluster, fleet, names, credential(cluster, store)) if partial else ()
            with locked(fleet, store, sorted(fleet.sessions)):
                return take_down(
                    cluster,
                    fleet,
                    self.emit,
                    names=names,
                    farewells=goodbye,
                    generation=secrets.token_hex(8),
                    forks=self.options.forks,
                )
        finally:
            fleet.close()

    def _engine(self, prepared: Prepared) -> Engine:
        store = prepared.store
        authorities = {name: store.authority(name) for name in AUTHORITIES}

        def issue(spec: CertificateSpec) -> tuple[bytes, bytes]:
            issued = authorities[spec.authority].issue(spec, datetime.now(UTC))
            return issued.cert_pem, issued.key_pem

        def sources(name: str) -> Sources:
            reachable = prepared.fleet.observations[name].reachable
            return Sources(
                issue=issue,
                packed=partial(packed, compress=prepared.cluster.artifacts.compress),
                download=partial(delivery.chosen, reachable=reachable),
            )

        return Engine(
            cluster=prepared.cluster,
            plan=prepared.plan,
            observations=prepared.fleet.observations,
            sessions=prepared.fleet.sessions,
            sources=sources,
            kubeconfig=lambda: credential(prepared.cluster, store),
            authorities=store.ca,
            generation=secrets.token_hex(8),
            emit=self.emit,
            forks=self.options.forks,
        )
