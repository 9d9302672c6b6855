"""A folder of this computer that backups are kept in: who is writing to it, and whether there is room."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kprov.state.backup_place import ENDING, Put
from kprov.state.private import make_folder
from kprov.state.sealed_stream import Sink
from kprov.values.errors import BackupError, LockedError

FOLDER = "backups"  # in the state folder, where nothing else is said
_LOCK = ".lock"
_MARGIN = 64 << 20
_PIECE = 1 << 20


@dataclass(frozen=True)
class Folder:
    """own: whether kprov makes it when it is not there; one that the user named may be a disk that is away."""

    path: Path
    own: bool = False

    def where(self, name: str) -> str:
        return str(self.path / name)

    def names(self) -> Mapping[str, int]:
        try:
            files = [path for path in self.path.iterdir() if path.is_file()] if self.path.is_dir() else []
            return {path.name: path.stat().st_size for path in files}
        except OSError as error:
            raise _away(self.path, error) from None

    @contextmanager
    def writing(self, cluster: str) -> Iterator[None]:
        """Hold the folder's lock. Raises BackupError, LockedError; what the system refuses inside becomes a BackupError."""
        if self.own:
            make_folder(self.path)
        try:
            descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _away(self.path, error) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError(
                    "another backup is being written there",
                    where=str(self.path),
                    todo="wait until it ends; the lock goes away with its process",
                ) from None
            for part in self.path.glob(f".{cluster}-*{ENDING}.part"):
                part.unlink(missing_ok=True)
            yield
        except OSError as error:
            raise _refused(self.path, error) from None
        finally:
            os.close(descriptor)

    def need_room(self, size: int) -> None:
        """Raise BackupError unless a file of that many bytes fits. Encryption adds less than a thousandth."""
        free = shutil.disk_usage(self.path).free
        if free < size + size // 1000 + _MARGIN:
            raise BackupError(
                "there is too little room for the backup",
                where=str(self.path),
                found=f"{free >> 20} MiB free",
                needed=f"{(size >> 20) + 1 + (_MARGIN >> 20)} MiB",
                todo="remove old backups there, or name another place with --to",
            )

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        """Raises what is raised inside, and OSError."""
        part = self.path / f".{name}.part"
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as output:
                yield output
                output.flush()
                os.fsync(output.fileno())
            part.rename(self.path / name)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def head(self, name: str, size: int) -> bytes:
        try:
            with (self.path / name).open("rb") as file:
                return file.read(size)
        except OSError as error:
            raise BackupError("the backup cannot be read", where=self.where(name), found=error.strerror or "") from None

    def bring(self, name: str, put: Put) -> None:
        with (self.path / name).open("rb") as file:
            while piece := file.read(_PIECE):
                put(piece)

    def remove(self, name: str) -> None:
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise _refused(self.path, error) from None


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
        todo="make room there, or name another place with --to" if full else "look at the folder, or name another one",
    )
