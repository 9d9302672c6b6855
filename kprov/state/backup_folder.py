"""The folder that backups of a cluster are kept in: their names, which there are, who is writing, and whether there is room.

It opens no backup: a name says which cluster it is of and when it was taken.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kprov.state.private import make_folder
from kprov.values.errors import BackupError, LockedError

FOLDER = "backups"  # in the state folder, where nothing else is said
_ENDING = ".kprov-backup.age"
_TIME = "%Y%m%dT%H%M%SZ"
_LOCK = ".lock"
_MARGIN = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A backup in the folder, by its name. made: aware UTC; size: bytes."""

    path: Path
    made: datetime
    size: int


def file_name(cluster: str, made: datetime) -> str:
    return f"{cluster}-{made.astimezone(UTC):{_TIME}}{_ENDING}"


def kept(folder: Path, cluster: str) -> tuple[Kept, ...]:
    """Return the backups of a cluster, the oldest first. Raises BackupError when the folder cannot be read."""
    found = []
    try:
        for path in folder.iterdir() if folder.is_dir() else ():
            made = made_at(path.name, cluster)
            if made is not None:
                found.append(Kept(path=path, made=made, size=path.stat().st_size))
    except OSError as error:
        raise _away(folder, error) from None
    return tuple(sorted(found, key=lambda one: one.made))


def latest(folder: Path, cluster: str) -> Kept:
    """Return the newest backup. Raises BackupError when there is none."""
    found = kept(folder, cluster)
    if not found:
        raise BackupError(
            f"there is no backup of cluster {cluster}",
            where=str(folder),
            todo="take one with `kprov backup INVENTORY`, or name the file",
        )
    return found[-1]


@contextmanager
def writing(folder: Path, cluster: str, *, own: bool) -> Iterator[None]:
    """Keep other backups of this cluster out of the folder, and remove what a killed one left half written.

    own: whether kprov makes the folder when it is not there; one that the user named may be a disk that is away.
    Raises BackupError, LockedError; what the system refuses inside becomes a BackupError.
    """
    if own:
        make_folder(folder)
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _away(folder, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                "another backup is being written there",
                where=str(folder),
                todo="wait until it ends; the lock goes away with its process",
            ) from None
        for part in folder.glob(f".{cluster}-*{_ENDING}.part"):
            part.unlink(missing_ok=True)
        yield
    except OSError as error:
        raise _refused(folder, error) from None
    finally:
        os.close(descriptor)


def need_room(folder: Path, size: int) -> None:
    """Raise BackupError unless a file of that many bytes fits. Encryption adds less than a thousandth."""
    free = shutil.disk_usage(folder).free
    if free < size + size // 1000 + _MARGIN:
        raise BackupError(
            "there is too little room for the backup",
            where=str(folder),
            found=f"{free >> 20} MiB free",
            needed=f"{(size >> 20) + 1 + (_MARGIN >> 20)} MiB",
            todo="remove old backups there, or name another folder with --to",
        )


def made_at(name: str, cluster: str) -> datetime | None:
    """Return when the backup of that name was taken; None for what is none of this cluster."""
    if not name.startswith(f"{cluster}-") or not name.endswith(_ENDING):
        return None
    try:
        return datetime.strptime(name[len(cluster) + 1 : -len(_ENDING)], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _away(folder: Path, error: OSError) -> BackupError:
    return BackupError(
        "the folder of backups cannot be used",
        where=str(folder),
        found=error.strerror or "",
        needed="a folder that you can write to",
        todo="mount it or make it, or name another one with --to",
    )


def _refused(folder: Path, error: OSError) -> BackupError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return BackupError(
        "the disk became full while the backup was written; nothing of it is left" if full else "it cannot be written",
        where=str(folder),
        found=error.strerror or "",
        todo="make room there, or name another folder with --to" if full else "look at the folder, or name another one",
    )
