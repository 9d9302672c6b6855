"""`kprov restore`: looks at what a cluster has left, and brings it back to a backup. It prints nothing.

What is cut off at any moment goes on with the same command: the state folder knows how far it came.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.lock import locked
from kprov.apply.sending import send
from kprov.observe.gather import Fleet, gather
from kprov.plan.backup import member_to_ask, refuse_foreign
from kprov.plan.cluster import ClusterPlan
from kprov.plan.etcd import Seed
from kprov.plan.questions import first_questions
from kprov.plan.restore import (
    Failures,
    Found,
    Proceed,
    Stop,
    prospects,
    refuse_absent,
    refuse_versions,
    restoring,
    revision_bump,
)
from kprov.plan.stage_names import ETCD
from kprov.run import trial
from kprov.run.backup import Backup, take
from kprov.run.refusals import refuse_foreign_trust, refuse_locked, refuse_unknown_addresses
from kprov.run.up import asked_again, engine_of, plan_again
from kprov.run.workspace import Workspace
from kprov.state import backup_file
from kprov.state.restore_record import RestoreRecord, read_record, remove_record, write_record
from kprov.state.rotation import returned
from kprov.state.store import Store
from kprov.state.trustfile import decode
from kprov.values.backup import Manifest
from kprov.values.errors import BackupError, KprovError
from kprov.values.events import Event, HostFailed, Note, StageEnded

RESTORE = "restore"  # its name in events, in the place of a stage's


@dataclass(frozen=True, kw_only=True)
class Intended:
    """A restore that was looked at and not begun. prospects: what it means, in sentences; record: of one that was cut off."""

    workspace: Workspace
    path: Path
    keys: Sequence[Any]
    manifest: Manifest
    fleet: Fleet
    prospects: tuple[str, ...]
    record: RestoreRecord | None

    @property
    def members(self) -> tuple[str, ...]:
        return self._reached("etcd")

    @property
    def planes(self) -> tuple[str, ...]:
        return self._reached("control_plane")

    def _reached(self, group: Any) -> tuple[str, ...]:
        return tuple(host.name for host in self.workspace.cluster.group(group) if host.name in self.fleet.sessions)


@dataclass(frozen=True, kw_only=True)
class Restored:
    """How it ended. before: the backup that was taken of what was there. absent: hosts that did not answer."""

    plan: ClusterPlan | None
    failures: tuple[HostFailed, ...]
    absent: tuple[str, ...]
    before: Backup | None = None


def adopt_folder(workspace: Workspace, path: Path, keys: Sequence[Any]) -> bool:
    """Bring a state folder that is lost back from a backup; returns whether it was. Raises BackupError, StoreError."""
    if workspace.store.exists:
        return False
    opened = backup_file.read(path, keys)
    if backup_file.TRUST not in opened.files:
        raise BackupError("there is no state folder in this backup", where=str(path), todo="use another backup")
    workspace.store.prepare()
    workspace.store.adopt(opened.files[backup_file.TRUST])
    return True


@contextmanager
def intend(
    workspace: Workspace, path: Path, keys: Sequence[Any], without: frozenset[str] = frozenset()
) -> Iterator[Intended]:
    """Look at the backup and at all hosts; sessions stay open inside the block. Nothing is changed.

    without: servers of which the user says that they are switched off.
    Raises BackupError, PreflightError, TransportError, StoreError, PkiError, ArtifactError.
    """
    cluster, store = workspace.cluster, workspace.store
    manifest = backup_file.read_manifest(path, keys)
    refuse_foreign(manifest, cluster.name, store.cluster_id, str(path))
    refuse_versions(manifest, cluster, str(path))
    record = _record(workspace, manifest, path)
    workspace = replace(workspace, store=_readable(workspace, path, keys))
    questions = first_questions(cluster, workspace.credential, deep=workspace.options.deep)
    asked = {name: replace(question, status=True) for name, question in questions.items()}
    fleet = gather(workspace.transport, cluster.hosts, asked, forks=workspace.options.forks)
    try:
        _refuse_answers(fleet, without)
        refuse_absent(cluster, fleet.sessions, without)
        refuse_unknown_addresses(cluster, fleet)
        refuse_locked(fleet)
        refuse_foreign_trust(store, fleet, workspace.places)
        if fleet.failures:
            workspace = replace(workspace, options=replace(workspace.options, limit=frozenset(fleet.sessions)))
        # What would refuse the run must do so before anything stops.
        founded = record is not None and record.founded
        plan_again(workspace, fleet, None if founded else _seed(path, record or _new_record(path, manifest, fleet)))
        members = [host.name for host in cluster.group("etcd") if host.name in fleet.sessions]
        off = [host.name for host in cluster.group("etcd") if host.name in without]
        sentences = tuple(prospects(manifest, fleet.observations, members, datetime.now(UTC), without=off))
        yield Intended(
            workspace=workspace,
            path=path,
            keys=keys,
            manifest=manifest,
            fleet=fleet,
            prospects=_going_on(record) if record is not None else sentences,
            record=record,
        )
    finally:
        fleet.close()


def _readable(workspace: Workspace, path: Path, keys: Sequence[Any]) -> Store:
    """Return the store with the encryption key of a backup, where a rotation has replaced it since; not written yet.

    Raises BackupError, StoreError.
    """
    opened = backup_file.read(path, keys)
    if backup_file.TRUST not in opened.files:
        return workspace.store
    before = decode(opened.files[backup_file.TRUST]).keys(workspace.store.passphrase)
    if not workspace.store.lacks(before):
        return workspace.store
    return workspace.store.turned(partial(returned, before=before, now=datetime.now(UTC)))


def _going_on(record: RestoreRecord) -> tuple[str, ...]:
    what = "etcd serves the restored data" if record.founded else "etcd was not restored yet"
    return (f"goes on with the restore that was cut off: {what}",)


def restore(intended: Intended, *, backup_first: bool) -> Restored:
    """Carry it out under the cluster's lock. Raises LockedError, BackupError, ApplyError, TransportError, StoreError.

    backup_first: whether what is there is kept in a backup of its own, where a member answers.
    """
    workspace, fleet = intended.workspace, intended.fleet
    store = workspace.store
    with locked(fleet, store, sorted(fleet.sessions)):
        before = _kept(intended) if backup_first and intended.record is None else None
        record = intended.record or _new_record(intended.path, intended.manifest, fleet)
        write_record(store.path, record)
        store.keep()  # the key that the restored objects are encrypted by, where it is not that of today
        work = _Work(intended, record)
        serves = any(seen.etcd.members for seen in fleet.observations.values())
        talk = restoring(intended.planes, intended.members, serves=serves, founded=record.founded)
        step = next(talk)
        while True:
            try:
                step = talk.send(work.do(step))
            except StopIteration:
                break
        if not work.failures:
            remove_record(store.path)
    return Restored(plan=work.plan, failures=work.failures, absent=tuple(fleet.failures), before=before)


class _Work:
    """Does the steps of a restore on its hosts."""

    def __init__(self, intended: Intended, record: RestoreRecord) -> None:
        self._intended, self._record = intended, record
        self._workspace = intended.workspace
        self._generation = secrets.token_hex(8)
        self.plan: ClusterPlan | None = None
        self.failures: tuple[HostFailed, ...] = ()

    def do(self, step: Stop | Found | Proceed) -> Failures:
        match step:
            case Stop():
                return self._stop(step)
            case Found():
                with tempfile.TemporaryDirectory(prefix="kprov-") as name:  # mode 0700
                    snapshot = Path(name) / backup_file.SNAPSHOT
                    trial.need_room(Path(name), self._intended.manifest.snapshot.size)
                    backup_file.read(self._intended.path, self._intended.keys, snapshot)
                    self._run(_seed(snapshot, self._record))
                return {failure.host: failure.found for failure in self.failures}
            case Proceed():
                self._run(None)
        return {}

    def _stop(self, step: Stop) -> Failures:
        def one(name: str) -> str:
            batch = Batch()
            batch.add(f"unit {step.unit}", (wire.Kill if step.kill else wire.Stop)(unit=step.unit))
            session = self._intended.fleet.sessions[name]
            failed = send(session, RESTORE, batch, self._generation, self._workspace.emit)
            return failed[0].found if failed else ""

        self._workspace.emit(Note(text=f"stopping {step.unit} on {', '.join(step.hosts)}"))
        with ThreadPoolExecutor(max_workers=max(1, min(self._workspace.options.forks, len(step.hosts)))) as pool:
            answers = dict(zip(step.hosts, pool.map(one, step.hosts), strict=True))
        return {name: found for name, found in answers.items() if found}

    def _run(self, seed: Seed | None) -> None:
        """All of `kprov up`, with the members founding out of the snapshot where there is one."""
        workspace = replace(self._workspace, emit=self._noted)
        prepared = plan_again(workspace, asked_again(workspace, self._intended.fleet, objects=seed is None), seed)
        if prepared.plan.settled:
            return
        engine = engine_of(workspace, prepared)
        engine.run()
        self.plan, self.failures = prepared.plan, tuple(engine.failures)

    def _noted(self, event: Event) -> None:
        self._workspace.emit(event)
        if isinstance(event, StageEnded) and event.stage == ETCD and not self._record.founded:
            self._record = replace(self._record, founded=True)
            write_record(self._workspace.store.path, self._record)


def _kept(intended: Intended) -> Backup | None:
    """Back up what is there, where a member answers. Raises BackupError when it does and gives none."""
    observations = intended.fleet.observations
    if not any(seen.etcd.members for seen in observations.values()):
        return None
    member = member_to_ask(intended.workspace.cluster, observations)
    try:
        return take(intended.workspace, intended.fleet, member, why="before a restore")
    except KprovError as error:
        raise BackupError(
            "what is there now could not be backed up, so that nothing was restored",
            where=error.where,
            found=f"{error.what}: {error.found}" if error.found else error.what,
            todo="fix that, or pass --no-backup to go on without",
        ) from None


def _record(workspace: Workspace, manifest: Manifest, path: Path) -> RestoreRecord | None:
    """Return the restore that was cut off, if it is this one. Raises BackupError for another one that left etcd half done."""
    record = read_record(workspace.store.path)
    if record is not None and record.sha256 != manifest.snapshot.sha256:
        if record.founded:
            return None
        raise BackupError(
            "a restore of another backup was cut off",
            where=str(path),
            found=record.file,
            needed="that one to be ended first",
            todo=f"run `kprov restore {record.file} INVENTORY` again",
        )
    return record


def _new_record(path: Path, manifest: Manifest, fleet: Fleet) -> RestoreRecord:
    present = max((seen.etcd.revision for seen in fleet.observations.values()), default=0)
    return RestoreRecord(
        file=str(path.absolute()),
        sha256=manifest.snapshot.sha256,
        token=secrets.token_hex(6),
        bump=revision_bump(manifest, present, datetime.now(UTC)),
    )


def _seed(snapshot: Path, record: RestoreRecord) -> Seed:
    return Seed(snapshot=snapshot, token=record.token, bump=record.bump)


def _refuse_answers(fleet: Fleet, without: frozenset[str]) -> None:
    answering = sorted(without & set(fleet.sessions))
    if answering:
        raise BackupError(
            "a host that --without says is switched off answers",
            where=", ".join(answering),
            todo="leave it out of --without: it takes part; or switch it off first",
        )
