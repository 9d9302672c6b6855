"""`kprov plan` and `kprov up`, from a loaded inventory to an outcome: gather, check, plan, lock, apply.

Wires pure parts to hosts and to the operator's folder. It prints nothing: it emits events and returns values.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from kprov import delivery, preflight
from kprov.artifacts.cache import packed
from kprov.artifacts.progress import Progress
from kprov.artifacts.provide import named, provide
from kprov.cluster_plan import ClusterPlan, Inputs, plan_cluster, wanted_of_hosts
from kprov.down import farewells, take_down
from kprov.engine import Engine
from kprov.errors import KprovError, LockedError, PreflightError, TransportError
from kprov.events import Gathered, HostFailed, Note, Sink
from kprov.gather import Fleet, Question, ask_again, gather
from kprov.model import Cluster, Host, Secret
from kprov.objects import OWNER, OWNER_LABEL
from kprov.observation import Observation
from kprov.operations import Sources
from kprov.pki.authority import fingerprint
from kprov.pki.conflict import trust_conflict
from kprov.pki.kubeconfig import embedded
from kprov.pki.spec import Authority, CertificateSpec
from kprov.pki.table import super_admin_spec
from kprov.plan import Wanted, questions
from kprov.resources import Certificate
from kprov.roles.layout import CA, FRONT_PROXY_CA
from kprov.running_versions import cached, identified
from kprov.script import LOCK_COMMAND
from kprov.store import Store
from kprov.transport.base import Held, Session, Transport

ETCD_CA = "/etc/etcd/pki/ca.crt"
_CA_FILES: Mapping[Authority, str] = {"kubernetes": CA, "etcd": ETCD_CA, "front-proxy": FRONT_PROXY_CA}

# Every kind that kprov's own objects may have: asked for in one request, so that what is no longer wanted is seen too.
OBJECT_KINDS = (
    "nodes,namespaces,serviceaccounts,configmaps,services,deployments.apps,daemonsets.apps,poddisruptionbudgets.policy,"
    "clusterroles.rbac.authorization.k8s.io,clusterrolebindings.rbac.authorization.k8s.io,"
    "roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io"
)
CREDENTIAL_LIFE = timedelta(hours=1)
LOCK_TIMEOUT = 20.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said. `limit`: names of hosts to touch, None for all."""

    limit: frozenset[str] | None = None
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
        fleet = gather(self.transport, cluster.hosts, self._questions(cluster, store), forks=self.options.forks)
        try:
            self.emit(Gathered(hosts=len(fleet.observations), seconds=time.monotonic() - started))
            _refuse_unreachable(fleet, self.options.limit)
            _refuse_locked(fleet)
            fleet, warnings = self._checked(cluster, fleet)
            _refuse_foreign_trust(store, fleet)
            with ExitStack() as stack:
                yield self._plan(cluster, self._trusted(cluster, store, draft, stack), fleet, warnings)
        finally:
            fleet.close()

    def _checked(self, cluster: Cluster, fleet: Fleet) -> tuple[Fleet, tuple[str, ...]]:
        """The fleet with the versions it runs, and the warnings of preflight. Raises PreflightError, TransportError."""
        fleet = identified(fleet, cached(self.cache), forks=self.options.forks)
        _refuse_unreachable(fleet, self.options.limit)
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

    def _questions(self, cluster: Cluster, store: Store) -> dict[str, Question]:
        asked = {host.name: Question(deep=self.options.deep) for host in cluster.hosts}
        if store.exists:
            # One control plane lists the objects; which one does not matter, and another is asked when it cannot.
            name = cluster.group("control_plane")[0].name
            asked[name] = self._with_objects(asked[name], cluster, store)
        return asked

    def _with_objects(self, question: Question, cluster: Cluster, store: Store) -> Question:
        return replace(
            question,
            kubeconfig=credential(cluster, store),
            selector=f"{OWNER_LABEL}={OWNER}",
            kinds=OBJECT_KINDS,
        )

    def _plan(self, cluster: Cluster, store: Store, fleet: Fleet, warnings: tuple[str, ...]) -> Prepared:
        archs = {fleet.observations[host.name].facts.arch for host in cluster.hosts if host.name in fleet.observations}
        inputs = Inputs(
            cluster=cluster,
            trust=store.trust(),
            artifacts=provide(cluster, archs, self.cache, self.progress, lock=self.lock_file),
            now=datetime.now(UTC),
        )
        fleet = self._ask_what_is_new(cluster, store, inputs, fleet)
        _refuse_unreachable(fleet, self.options.limit)
        observations = fleet.observations
        plan = plan_cluster(inputs, observations)
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

    def _ask_what_is_new(self, cluster: Cluster, store: Store, inputs: Inputs, fleet: Fleet) -> Fleet:
        """A second question only for hosts that lack what they might download, or what no manifest has named yet."""
        hosts, _ = wanted_of_hosts(inputs, fleet.observations)
        again: dict[str, Question] = {}
        for name, wanted in hosts.items():
            seen = fleet.observations[name]
            keys = [key for key in questions(wanted) if key not in seen.records]
            urls = self._downloads_of(cluster, name, wanted, seen)
            if urls or any(key not in seen.asked for key in keys):
                again[name] = Question(keys=keys, urls=urls, deep=self.options.deep)
        asker = cluster.group("control_plane")[0].name
        if asker in again and store.exists:
            again[asker] = self._with_objects(again[asker], cluster, store)
        answered = any(seen.objects is not None for seen in fleet.observations.values())
        for host in cluster.group("control_plane")[1:]:
            # The first control plane could not list the objects: ask another whose API server runs.
            state = fleet.observations[host.name].units.get("kube-apiserver.service") if host.name in hosts else None
            if not answered and state is not None and state.active == "active":
                again[host.name] = self._with_objects(again.get(host.name, Question()), cluster, store)
                break
        return ask_again(fleet, again, forks=self.options.forks)

    def _downloads_of(self, cluster: Cluster, host: str, wanted: Wanted, seen: Observation) -> Sequence[str]:
        touched = self.options.limit is None or host in self.options.limit
        if cluster.artifacts.delivery == "push" or not touched:
            return ()
        return delivery.urls(delivery.lacking(wanted, seen))

    def apply(self, prepared: Prepared) -> Outcome:
        """Carries the plan out under the cluster's lock. Raises LockedError before anything is touched.

        With nothing to do no lock is taken: that run only looked, and cost one exec per host.
        """
        if prepared.plan.empty and not prepared.plan.not_ready:
            return Outcome(plan=prepared.plan, applied=False, warnings=prepared.warnings)
        started = time.monotonic()
        fleet = prepared.fleet
        names = sorted(name for name in prepared.plan.hosts if name in fleet.sessions)
        with self._locks(fleet, prepared.store, names) as moved:
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
                questions[host.name] = self._with_objects(questions[host.name], cluster, store)
        fleet = gather(self.transport, cluster.hosts, questions, forks=self.options.forks)
        fleet.close()
        return fleet

    def wanted_certificates(self, cluster: Cluster, store: Store, fleet: Fleet) -> Mapping[str, list[Certificate]]:
        """The certificates every observed host should have. Raises StoreError, PreflightError.

        Certificates do not depend on what programs contain, so that none has to be had for this.
        """
        archs = {seen.facts.arch for seen in fleet.observations.values()}
        artifacts = named(cluster, archs)
        inputs = Inputs(cluster=cluster, trust=store.trust(), artifacts=artifacts, now=datetime.now(UTC))
        hosts, _ = wanted_of_hosts(inputs, fleet.observations)
        return {
            name: [item for items in wanted.values() for item in items if isinstance(item, Certificate)]
            for name, wanted in hosts.items()
        }

    def down(self, cluster: Cluster, store: Store) -> tuple[HostFailed, ...]:
        """Takes the hosts of `limit`, or all, out of the cluster and gives them back as they were.

        Raises TransportError, LockedError, PkiError, KprovError before anything is touched.
        """
        names = [host.name for host in cluster.hosts if self.options.limit is None or host.name in self.options.limit]
        fleet = gather(self.transport, cluster.hosts, {}, forks=self.options.forks)
        try:
            _refuse_unreachable(fleet, frozenset(names))
            _refuse_locked(fleet)
            if not any(fleet.observations[name].records for name in names):
                return ()  # not even a lock is taken where nothing is to be removed
            partial = len(names) < len(cluster.hosts)
            goodbye = farewells(cluster, fleet, names, credential(cluster, store)) if partial else ()
            with self._locks(fleet, store, sorted(fleet.sessions)):
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
        authorities = {name: store.authority(name) for name in _CA_FILES}

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
            generation=secrets.token_hex(8),
            emit=self.emit,
            forks=self.options.forks,
        )

    @contextmanager
    def _locks(self, fleet: Fleet, store: Store, names: Sequence[str]) -> Iterator[bool]:
        """Holds the run locks of hosts. Yields whether one moved on since it was observed. Raises LockedError.

        One after the other in one order, so that of two runs that start together one gets them all.
        """
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        who = f"{getpass.getuser()}@{socket.gethostname()} pid {os.getpid()} since {since}"
        with ExitStack() as stack:
            stack.enter_context(store.lock(who))
            moved = False
            for name in names:
                held, generation = hold_lock(fleet.sessions[name], who)
                stack.callback(_release, held)
                moved = moved or generation != fleet.observations[name].generation
            yield moved


def hold_lock(session: Session, who: str) -> tuple[Held, str]:
    """Takes one host's run lock; returns it and the generation of the host's last apply. Raises LockedError."""
    held = session.hold(LOCK_COMMAND.replace("read -r holder", f"holder='{_plain(who)}'"))
    answer = held.first_line(LOCK_TIMEOUT)
    word, _, rest = answer.partition(" ")
    if word == "locked":
        return held, rest.strip()
    _release(held)
    raise locked_by(session.host.name, rest)


def locked_by(host: str, holder: str) -> LockedError:
    return LockedError(
        "another run is at work on this cluster",
        where=host,
        found=f"the lock is held by {holder or 'an unknown run'}",
        needed="one run at a time",
        todo="wait until it ends; the lock goes with its connection, there is nothing to remove by hand",
    )


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isalnum() or char in " @.:-_+")


def _release(held: Held) -> None:
    try:
        held.close()
    except TransportError:
        return  # the connection is gone, and the lock with it


def credential(cluster: Cluster, store: Store) -> bytes:
    """A kubeconfig for kprov's own work on a control plane host: members of system:masters, for one hour."""
    authority = store.authority("kubernetes")
    issued = authority.issue(super_admin_spec(cluster), datetime.now(UTC), life=CREDENTIAL_LIFE)
    text = embedded(
        "kprov", "https://127.0.0.1:6443", store.ca["kubernetes"], issued.cert_pem, issued.key_pem, "kprov-run"
    )
    return text.encode()


def _refuse_unreachable(fleet: Fleet, limit: frozenset[str] | None) -> None:
    failures = {name: error for name, error in fleet.failures.items() if limit is None or name in limit}
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise PreflightError(
            f"{len(failures)} hosts could not be asked; nothing was touched",
            todo="mend them, or leave them out with --limit",
            log="\n".join(str(error) for error in failures.values()),
        )


def _refuse_locked(fleet: Fleet) -> None:
    for name, seen in fleet.observations.items():
        if seen.holder:
            raise locked_by(name, seen.holder)


def _refuse_foreign_trust(store: Store, fleet: Fleet) -> None:
    observed: dict[str, dict[Authority, str]] = {}
    for name, seen in fleet.observations.items():
        found = {
            authority: fingerprint(seen.texts[path])
            for authority, path in _CA_FILES.items()
            if path in seen.texts and ("file", path) in seen.records
        }
        if found:
            observed[name] = found
    error = trust_conflict(store.fingerprints() if store.exists else None, observed)
    if error is not None:
        raise error


def chosen(cluster: Cluster, limit: str | None) -> frozenset[str] | None:
    """The hosts that `--limit HOST,GROUP…` names. Raises KprovError for a word that names none."""
    if not limit:
        return None
    names: set[str] = set()
    for word in filter(None, (part.strip() for part in limit.split(","))):
        hosts: list[Host] = [host for host in cluster.hosts if word == host.name or word in host.groups]
        if not hosts:
            raise KprovError(
                "--limit names no host",
                found=word,
                needed="names of hosts or groups: " + ", ".join(host.name for host in cluster.hosts),
                todo="check the spelling",
            )
        names |= {host.name for host in hosts}
    return frozenset(names)
