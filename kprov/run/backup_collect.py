"""`kprov backup collect` and `prune`: what hosts took goes to the place of backups; what no rule keeps goes from it.

They print nothing.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from kprov.plan.retention import leaving
from kprov.run.host_backups import FETCH_TIMEOUT, OnHost, on_hosts
from kprov.run.workspace import Workspace
from kprov.state.backup_place import Kept, Place, kept
from kprov.values.errors import BackupError, KprovError


@dataclass(frozen=True, kw_only=True)
class Collected:
    """new: names of what was copied, in the order of their dates. silent: hosts that could not be asked, and why."""

    new: tuple[str, ...]
    silent: tuple[KprovError, ...]


def collect(workspace: Workspace, place: Place) -> Collected:
    """Copy what hosts took and the place does not have. One that fails ends it: what was copied stays.

    Raises BackupError, LockedError, TransportError.
    """
    found = on_hosts(workspace)
    there = place.names()
    missing = [one for one in found.backups if one.name not in there]
    if missing:
        with place.writing(workspace.cluster.name):
            for one in missing:
                place.need_room(one.size)
                _copy(workspace, place, one)
    return Collected(new=tuple(one.name for one in missing), silent=found.silent)


def _copy(workspace: Workspace, place: Place, one: OnHost) -> None:
    cluster = workspace.cluster
    with place.create(one.name) as output, closing(workspace.transport.connect(cluster.host(one.host))) as session:

        def put(data: bytes) -> None:
            output.write(data)

        size = session.fetch(f"{cluster.backup.folder}/{one.name}", put, timeout=FETCH_TIMEOUT)
        if size != one.size:
            raise BackupError(
                "a backup of a host did not come whole",
                where=one.word,
                found=f"{size} bytes of {one.size}",
                todo="run the same command again",
            )


def outdated(workspace: Workspace, place: Place) -> tuple[Kept, ...]:
    """Return what no rule of `backup.keep` keeps in the place, the oldest first. Raises BackupError."""
    found = kept(place, workspace.cluster.name)
    gone = leaving([one.made for one in found], workspace.cluster.backup.keep)
    return tuple(one for one in found if one.made in gone)


def remove(workspace: Workspace, place: Place, backups: tuple[Kept, ...]) -> None:
    """Remove backups from the place. Raises BackupError, LockedError; what came before stays removed."""
    with place.writing(workspace.cluster.name):
        for one in backups:
            place.remove(one.name)
