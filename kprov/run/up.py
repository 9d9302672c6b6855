"""`kprov plan` and `kprov up`: gather, check, plan, lock, apply.

Wires pure parts to hosts and to the operator's folder. It prints nothing: it emits events and returns values.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kprov import preflight
from kprov.apply.engine import Engine
from kprov.apply.lock import locked
from kprov.apply.operations import Sources
from kprov.artifacts.cache import packed
from kprov.artifacts.manifests import manifests
from kprov.artifacts.provide import provide
from kprov.observe.gather import Fleet, ask_again, gather
from kprov.observe.probe import Question
from kprov.plan import delivery, encryption_change
from kprov.plan.backup import backup_reason
from kprov.plan.cluster import ClusterPlan, Inputs, desired_of_hosts, plan_cluster
from kprov.plan.desired import Desired
from kprov.plan.etcd import Seed
from kprov.plan.questions import first_questions, further_questions, other_askers, with_objects
from kprov.plan.quorum import refuse_lost_quorum
from kprov.preflight import firewall, immutable, places, pulls
from kprov.roles.api_server import ENCRYPTION
from kprov.run.backup import take_first
from kprov.run.own_authorities import refuse_other_authorities
from kprov.run.refusals import (
    refuse_foreign_trust,
    refuse_half_restored,
    refuse_left_out,
    refuse_locked,
    refuse_other_encryption,
    refuse_unknown_addresses,
    refuse_unreachable,
)
from kprov.run.running_versions import cached, identified
from kprov.run.workspace import Workspace
from kprov.state.credential import credential
from kprov.state.deposit import timed
from kprov.state.restore_record import remove_record
from kprov.state.store import Store
from kprov.values.certificate import AUTHORITIES, CertificateSpec
from kprov.values.context import Trust
from kprov.values.events import Gathered, HostFailed, Note
from kprov.values.model import Cluster


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. `applied`: whether anything was sent. Failures are rows of the closing table."""

    plan: ClusterPlan
    applied: bool
    failures: tuple[HostFailed, ...] = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan with the open sessions it was made over."""

    fleet: Fleet
    inputs: Inputs
    plan: ClusterPlan
    warnings: tuple[str, ...]


@contextmanager
def prepare(workspace: Workspace, *, draft: bool) -> Iterator[Prepared]:
    """Ask all hosts and plan; sessions stay open inside the block.

    draft: a cluster without keys is planned with throw-away ones; otherwise they are made and kept, after every
    check has passed. Raises PreflightError, TransportError, PkiError, StoreError, ArtifactError, ApplyError:
    nothing on any host has been touched then.
    """
    started = time.monotonic()
    cluster, options = workspace.cluster, workspace.options
    refuse_other_authorities(cluster, workspace.store, workspace.places)  # or nothing is there to ask by
    questions = first_questions(cluster, workspace.credential, deep=options.deep, kms=workspace.asks_kms)
    fleet = gather(workspace.transport, cluster.hosts, questions, forks=options.forks)
    try:
        workspace.emit(Gathered(hosts=len(fleet.observations), seconds=time.monotonic() - started))
        refuse_half_restored(workspace.store)
        refuse_lost_quorum(cluster, fleet.observations, fleet.failures)
        refuse_unreachable(fleet, options.limit)
        refuse_unknown_addresses(cluster, fleet)
        refuse_locked(fleet)
        refuse_foreign_trust(workspace.store, fleet, workspace.places)
        fleet, warnings = _check(workspace, _with_objects(workspace, fleet))
        refuse_left_out(cluster, fleet)
        with ExitStack() as stack:
            yield _plan(workspace, _trusted(workspace, draft, stack), fleet, warnings)
    finally:
        fleet.close()


def _with_objects(workspace: Workspace, fleet: Fleet) -> Fleet:
    """Return the fleet with the cluster's objects, of whichever control plane can list them; without when none can."""
    if workspace.credential is None:
        return fleet
    for name in other_askers(workspace.cluster, fleet.observations):
        if any(seen.objects is not None for seen in fleet.observations.values()):
            break
        question = with_objects(Question(facts=False, deep=workspace.options.deep), workspace.credential)
        fleet = ask_again(fleet, {name: question}, forks=1)
    return fleet


def _check(workspace: Workspace, fleet: Fleet) -> tuple[Fleet, tuple[str, ...]]:
    """Return the fleet with the versions it runs, and the warnings of preflight.

    Raises PreflightError, TransportError.
    """
    limit = workspace.options.limit
    fleet = identified(fleet, cached(workspace.cache), forks=workspace.options.forks)
    refuse_unreachable(fleet, limit)
    problems = preflight.placed(preflight.check(workspace.cluster, fleet.observations, limit), workspace.places)
    preflight.raise_for(problems)
    return fleet, tuple(str(problem) for problem in problems if problem.severity == "warning")


def _trusted(workspace: Workspace, draft: bool, stack: ExitStack) -> Store:
    store, cluster = workspace.store, workspace.cluster
    if store.exists:
        return store
    if draft:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kprov-draft-"))
        store = Store.open(Path(folder) / "state", cluster.name, own=cluster.pki.authorities)
    store.create_trust(cluster.pki.algorithm, cluster.pki.ca_days, datetime.now(UTC))
    return store


def plan_again(workspace: Workspace, fleet: Fleet, seed: Seed | None = None) -> Prepared:
    """Check and plan over what hosts said now. seed: a snapshot that etcd begins with again. Raises as `prepare` does."""
    fleet, warnings = _check(workspace, fleet)
    return _plan(workspace, workspace.store, fleet, warnings, seed)


def _plan(
    workspace: Workspace, store: Store, fleet: Fleet, warnings: tuple[str, ...], seed: Seed | None = None
) -> Prepared:
    """store: the workspace's, or a draft's with throw-away keys."""
    cluster, options = workspace.cluster, workspace.options
    archs = {fleet.observations[host.name].facts.arch for host in cluster.hosts if host.name in fleet.observations}
    inputs = Inputs(
        cluster=cluster,
        trust=_trust(cluster, store),
        artifacts=provide(cluster, archs, workspace.cache, workspace.progress, lock=workspace.lock_file),
        now=datetime.now(UTC),
        manifests=manifests(cluster, workspace.cache, workspace.progress, lock=workspace.lock_file),
        delete_data=options.delete_data,
        recreate=options.recreate,
        seed=seed,
        renew=options.renew,
    )
    desired = desired_of_hosts(inputs, fleet.observations)
    again = further_questions(
        cluster,
        partial(credential, cluster, store),
        desired,
        fleet.observations,
        limit=options.limit,
        deep=options.deep,
    )
    fleet = ask_again(fleet, again, forks=options.forks)
    refuse_unreachable(fleet, options.limit)
    observations = fleet.observations
    _refuse_other_encryption(workspace, store, fleet, desired)
    problems = (
        *places.check(cluster, desired, observations, options.limit),
        *firewall.check(cluster, observations, options.limit),
        *preflight.placed(pulls.check(cluster, inputs.artifacts.values()), workspace.places),
    )
    preflight.raise_for(problems)
    plan = plan_cluster(inputs, observations, None if again else desired)
    preflight.raise_for(preflight.placed(immutable.check(plan, observations), workspace.places))
    if options.limit is not None:
        plan = plan.limited(options.limit)
    if cluster.artifacts.delivery == "download":
        delivery.require_downloads(plan.hosts, observations)
    return Prepared(fleet=fleet, inputs=inputs, plan=plan, warnings=(*warnings, *map(str, problems)))


def _refuse_other_encryption(workspace: Workspace, store: Store, fleet: Fleet, desired: Mapping[str, Desired]) -> None:
    """Raise PkiError for a key of encryption that nobody here knows; only hosts whose file differs are asked for it."""
    differing = encryption_change.differing(desired, fleet.observations)
    asked = {name: Question(texts=(ENCRYPTION,), facts=False) for name in differing}
    seen = ask_again(fleet, asked, forks=workspace.options.forks).observations
    refuse_other_encryption(workspace.cluster, store, {name: seen[name] for name in differing if name in seen})


def _trust(cluster: Cluster, store: Store) -> Trust:
    trust = store.trust()
    return replace(trust, timed=timed(store, cluster.backup.recipients)) if cluster.backup.every else trust


def apply(workspace: Workspace, prepared: Prepared, why_backup: str = "") -> Outcome:
    """Carry the plan out under the cluster's lock. Raises LockedError before anything is touched.

    With nothing to do no lock is taken: that run only looked, and cost one exec per host. why_backup: why one is taken
    first, besides what the plan says. Keys that a rotation has turned are written when the backup is there.
    """
    if prepared.plan.settled:
        workspace.store.keep()
        _keep_what_holds(workspace, prepared)
        return Outcome(plan=prepared.plan, applied=False, warnings=prepared.warnings)
    started = time.monotonic()
    fleet = prepared.fleet
    names = sorted(name for name in prepared.plan.hosts if name in fleet.sessions)
    with locked(fleet, workspace.store, names) as moved:
        if moved:
            workspace.emit(Note(text="another run ended in between: asking the hosts again"))
            prepared = plan_again(workspace, asked_again(workspace, fleet))
        plan = prepared.plan
        leaving = [member.name for member in plan.membership.remove]
        take_first(workspace, prepared.fleet, backup_reason(plan.steps, leaving) or why_backup)
        workspace.store.keep()
        engine = engine_of(workspace, prepared)
        engine.run()
        if not engine.failures:
            remove_record(workspace.store.path)
            _keep_what_holds(workspace, prepared)
    return Outcome(
        plan=prepared.plan,
        applied=engine.changed,
        failures=tuple(engine.failures),
        seconds=time.monotonic() - started,
        warnings=prepared.warnings,
    )


def _keep_what_holds(workspace: Workspace, prepared: Prepared) -> None:
    """Keep what is true of a cluster that is in sync: by what objects are written where that needed no steps (in a new
    cluster, or after another operator's run), and that all hosts have what the phase of a rotation means.
    """
    if workspace.options.limit is None:
        workspace.store.reach(datetime.now(UTC))
        if prepared.inputs.trust.lost:
            workspace.emit(Note(text="every host trusts the new CAs; go on with `kprov certs rotate INVENTORY`"))
    known, complete = prepared.inputs.trust, workspace.options.limit is None
    document = encryption_change.settled(workspace.cluster, known)
    if complete and prepared.plan.encryption is None and not encryption_change.is_known(document, known):
        workspace.store.keep_encryption(document)


def asked_again(workspace: Workspace, fleet: Fleet, *, objects: bool = False) -> Fleet:
    """Return what hosts whose locks are held say now, of all that they were asked before.

    objects: whether the cluster's objects are asked for also where no API server answered before, and one does by now.
    """
    again = {
        name: Question(keys=tuple(seen.asked), deep=workspace.options.deep, locked=True)
        for name, seen in fleet.observations.items()
    }
    asker = next((name for name, seen in fleet.observations.items() if seen.objects is not None), "")
    if objects and not asker:
        asker = next((host.name for host in workspace.cluster.group("control_plane") if host.name in again), "")
    if asker and workspace.credential is not None:
        again[asker] = with_objects(again[asker], workspace.credential)
    return ask_again(fleet, again, forks=workspace.options.forks)


def engine_of(workspace: Workspace, prepared: Prepared) -> Engine:
    """Return what carries a plan out."""
    cluster, store = workspace.cluster, workspace.store
    authorities = {name: store.authority(name) for name in AUTHORITIES}

    def issue(spec: CertificateSpec) -> tuple[bytes, bytes]:
        issued = authorities[spec.authority].issue(spec, datetime.now(UTC))
        return issued.cert_pem, issued.key_pem

    def rewritten(document: str, counts: Mapping[str, int]) -> None:
        store.keep_encryption(document)
        shown = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
        workspace.emit(Note(text=f"encrypted objects written again: {shown}"))

    def sources(name: str) -> Sources:
        reachable = prepared.fleet.observations[name].reachable
        return Sources(
            issue=issue,
            packed=partial(packed, compress=cluster.artifacts.compress),
            download=partial(delivery.chosen, reachable=reachable),
        )

    return Engine(
        cluster=cluster,
        plan=prepared.plan,
        observations=prepared.fleet.observations,
        sessions=prepared.fleet.sessions,
        sources=sources,
        kubeconfig=partial(credential, cluster, store),
        bundle=prepared.inputs.trust.bundle,
        generation=secrets.token_hex(8),
        rewritten=rewritten,
        emit=workspace.emit,
        forks=workspace.options.forks,
    )
