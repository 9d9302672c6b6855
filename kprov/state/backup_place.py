"""What a place is that backups of clusters are kept in, and what its files' names tell. It opens no backup and no connection.

A file that is written to a place appears under its name when it is whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from kprov.state.sealed_stream import Sink
from kprov.values.errors import BackupError

ENDING = ".kprov-backup.age"
_TIME = "%Y%m%dT%H%M%SZ"

Put = Callable[[bytes], object]


class Place(Protocol):
    """A folder here, or a store. What it cannot do is a BackupError in words; nothing that was there is changed by that."""

    def where(self, name: str) -> str:
        """How users name a backup in it; without a name, the place itself."""
        ...

    def names(self) -> Mapping[str, int]:
        """Name → size of every file in it, in bytes."""
        ...

    def writing(self, cluster: str) -> AbstractContextManager[None]:
        """Keep other backups of this cluster out, and remove what a killed one left half written."""
        ...

    def need_room(self, size: int) -> None:
        """Raise BackupError where a file of that many bytes is known not to fit."""
        ...

    def create(self, name: str) -> AbstractContextManager[Sink]:
        """Yield what a file is written to; it is there under its name when the block has ended well."""
        ...

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, so many at most."""
        ...

    def bring(self, name: str, put: Put) -> None:
        """Hand a file over, piece by piece."""
        ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A backup in a place, by its name. where: as users name it; made: aware UTC; size: bytes."""

    name: str
    where: str
    made: datetime
    size: int


def file_name(cluster: str, made: datetime) -> str:
    return f"{cluster}-{made.astimezone(UTC):{_TIME}}{ENDING}"


def made_at(name: str, cluster: str) -> datetime | None:
    """Return when the backup of that name was taken; None for what is none of this cluster."""
    if not name.startswith(f"{cluster}-") or not name.endswith(ENDING):
        return None
    try:
        return datetime.strptime(name[len(cluster) + 1 : -len(ENDING)], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def kept(place: Place, cluster: str) -> tuple[Kept, ...]:
    """Return the backups of a cluster, the oldest first. Raises BackupError when the place cannot be read."""
    found = [
        Kept(name=name, where=place.where(name), made=made, size=size)
        for name, size in place.names().items()
        if (made := made_at(name, cluster)) is not None
    ]
    return tuple(sorted(found, key=lambda one: one.made))


def latest(place: Place, cluster: str) -> Kept:
    """Return the newest backup. Raises BackupError when there is none."""
    found = kept(place, cluster)
    if not found:
        raise BackupError(
            f"there is no backup of cluster {cluster}",
            where=place.where(""),
            todo="take one with `kprov backup INVENTORY`, or name the file",
        )
    return found[-1]
