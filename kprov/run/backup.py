"""`kprov backup`: takes a snapshot from a healthy member and writes it here with all that it takes to live again.

It prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kprov.apply.lock import locked
from kprov.apply.snapshot import taken
from kprov.observe.gather import Fleet, gather
from kprov.observe.probe import Question
from kprov.plan.backup import make_manifest, member_to_ask
from kprov.roles.api_server import ENCRYPTION
from kprov.run.backup_places import place_of
from kprov.run.refusals import refuse_foreign_trust, refuse_locked, refuse_other_encryption
from kprov.run.workspace import Workspace
from kprov.state import backup_file
from kprov.state.backup_place import Place, file_name
from kprov.state.issued import NAME as ISSUED
from kprov.state.sealed import recipient_of
from kprov.values.backup import Manifest
from kprov.values.errors import BackupError, KprovError
from kprov.values.events import Note


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup that was taken. size: bytes of the file."""

    place: Place
    name: str
    size: int
    manifest: Manifest

    @property
    def where(self) -> str:
        return self.place.where(self.name)


def backup(workspace: Workspace, place: Place | None = None) -> Backup:
    """Take a backup. Raises BackupError, LockedError, PkiError, StoreError, TransportError; no host is changed."""
    identity(workspace)  # nothing is asked for a cluster that was never made
    fleet = servers(workspace)
    try:
        _refuse_silence(fleet, [host.name for host in workspace.cluster.group("etcd")])
        refuse_locked(fleet)
        refuse_another_folder(workspace, fleet)
        member = member_to_ask(workspace.cluster, fleet.observations)
        with locked(fleet, workspace.store, [member]):
            return take(workspace, fleet, member, why="asked for", place=place)
    finally:
        fleet.close()


def servers(workspace: Workspace) -> Fleet:
    """Ask all hosts of etcd, and API servers' for what tells that the state folder is the one that they live by."""
    hosts = [host for host in workspace.cluster.hosts if host.groups & {"etcd", "control_plane"}]
    asked = {host.name: Question(texts=(ENCRYPTION,)) for host in hosts if "control_plane" in host.groups}
    return gather(workspace.transport, hosts, asked, forks=workspace.options.forks)


def refuse_another_folder(workspace: Workspace, fleet: Fleet) -> None:
    """Raise PkiError where a backup would hold other keys than the cluster's."""
    refuse_foreign_trust(workspace.store, fleet, workspace.places)
    refuse_other_encryption(workspace.cluster, workspace.store, fleet.observations)


def take(workspace: Workspace, fleet: Fleet, member: str, *, why: str, place: Place | None = None) -> Backup:
    """Take a backup from one host, whose lock is held. Raises as `backup` does."""
    place = place or place_of(workspace)
    cluster, store = workspace.cluster, workspace.store
    with (
        place.writing(cluster.name),
        taken(fleet.sessions[member]) as (snapshot, fetch),
    ):
        place.need_room(snapshot.size)
        manifest = make_manifest(
            cluster,
            identity(workspace),
            store.fingerprints(),
            member,
            [one.name for one in fleet.observations[member].etcd.members or ()],
            snapshot,
            why=why,
            now=datetime.now(UTC),
        )
        name = file_name(cluster.name, manifest.made)
        with place.create(name) as output:
            size = backup_file.write(output, manifest, _files(workspace), fetch, recipients(workspace))
    return Backup(place=place, name=name, size=size, manifest=manifest)


def take_first(workspace: Workspace, fleet: Fleet, why: str) -> None:
    """Take a backup before something that cannot be taken back, and say where it is; nothing where there is no reason.

    Raises BackupError, by which nothing else is touched.
    """
    if not why or not workspace.options.backup:
        return
    try:
        made = take(workspace, fleet, member_to_ask(workspace.cluster, fleet.observations), why=why)
    except KprovError as error:
        raise BackupError(
            f"no backup could be taken {why}; nothing else was touched",
            where=error.where,
            found=f"{error.what}: {error.found}" if error.found else error.what,
            todo="fix that, or pass --no-backup to go on without",
        ) from None
    workspace.emit(Note(text=f"backup {why}: {made.where}"))


def recipients(workspace: Workspace) -> Sequence[str]:
    """Return the public keys that a backup is encrypted for: the state folder's, and the inventory's."""
    return [recipient_of(workspace.store.backup_key().reveal()), *workspace.cluster.backup.recipients]


def identity(workspace: Workspace) -> str:
    """Return the cluster's identity. Raises BackupError when it was never made."""
    if not workspace.store.exists:
        raise BackupError(
            f"the state folder holds no keys of cluster {workspace.cluster.name}",
            where=str(workspace.store.path),
            todo="name the folder that made it with --state-dir; a folder that is lost comes back with `kprov restore`",
        )
    return workspace.store.cluster_id


def _files(workspace: Workspace) -> dict[str, bytes]:
    files = {backup_file.TRUST: workspace.store.text()}
    for name, path in (
        (backup_file.ISSUED, workspace.store.path / ISSUED),
        (backup_file.INVENTORY, workspace.inventory),
        (backup_file.LOCK_FILE, workspace.lock_file),
    ):
        if path is not None and path.exists():
            files[name] = path.read_bytes()
    return files


def _refuse_silence(fleet: Fleet, members: Sequence[str]) -> None:
    if all(name in fleet.failures for name in members):
        raise fleet.failures[members[0]]
