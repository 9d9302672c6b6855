"""An SFTP server that backups are kept on. A file gets its name there when it is whole and as long as what was sent."""

from __future__ import annotations

import contextlib
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paramiko

from kprov.state.backup_place import ENDING, Put
from kprov.state.sealed_stream import Sink
from kprov.transport.openssh_config import Files
from kprov.transport.sftp import sftp
from kprov.values.backup_place import SftpAddress, SftpSettings
from kprov.values.errors import BackupError, TransportError
from kprov.values.model import Connection

_PIECE = 32 * 1024  # bytes of one request: what every server takes
_WINDOW = 8 << 20  # bytes that are asked for at once
_STALE = 86400.0  # seconds; what a killed one left is removed by then, and nobody's who is still writing


@dataclass(frozen=True)
class SftpPlace:
    """files: read instead of the user's SSH configuration."""

    address: SftpAddress
    settings: SftpSettings = field(default_factory=SftpSettings)
    files: Files | None = None

    def where(self, name: str) -> str:
        return f"{self.address}/{name}".rstrip("/")

    def names(self) -> Mapping[str, int]:
        with self._folder() as server:
            return {
                one.filename: one.st_size or 0 for one in server.listdir_attr(".") if stat.S_ISREG(one.st_mode or 0)
            }

    @contextmanager
    def writing(self, cluster: str) -> Iterator[None]:
        """Two that write at once have names of their own until they are whole: neither hinders the other."""
        with self._folder() as server:
            for one in server.listdir_attr("."):
                ours = one.filename.startswith(f".{cluster}-") and f"{ENDING}." in one.filename
                if ours and one.filename.endswith(".part") and time.time() - (one.st_mtime or 0) > _STALE:
                    server.remove(one.filename)
        yield

    def need_room(self, size: int) -> None:
        """The protocol has no such question that every server answers: a full disk is told by what is written to it."""

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        part = f".{name}.{secrets.token_hex(4)}.part"
        with self._folder() as server:
            try:
                with server.open(part, "wx") as file:
                    server.chmod(part, 0o600)
                    file.set_pipelined(True)
                    sink = _Pieces(file)
                    yield sink
                    sink.flush()
                self._seal(server, part, name, sink.size)
            except BaseException:
                with contextlib.suppress(OSError, EOFError, paramiko.SFTPError):
                    server.remove(part)
                raise

    def _seal(self, server: paramiko.SFTPClient, part: str, name: str, size: int) -> None:
        """Give a file its name. A write that was refused is known by the size alone, as nobody waits for each answer."""
        there = server.stat(part).st_size
        if there != size:
            raise BackupError(
                "the backup did not come whole to the store; nothing of it is left",
                where=self.where(""),
                found=f"{there} bytes of {size}",
                todo="look whether its disk is full, then run the same command again",
            )
        server.rename(part, name)  # refused where that name is taken

    def head(self, name: str, size: int) -> bytes:
        with self._folder() as server, server.open(name, "rb", size) as file:
            return file.read(size)

    def bring(self, name: str, put: Put) -> None:
        with self._folder() as server:
            size = server.stat(name).st_size or 0
            # A file that is asked for ahead keeps some of what it has read for as long as it is open.
            for window in range(0, size, _WINDOW):
                ends = min(window + _WINDOW, size)
                with server.open(name, "rb") as file:
                    for piece in file.readv([(at, min(_PIECE, ends - at)) for at in range(window, ends, _PIECE)]):
                        put(piece)

    def remove(self, name: str) -> None:
        with self._folder() as server:
            server.remove(name)

    @contextmanager
    def _folder(self) -> Iterator[paramiko.SFTPClient]:
        """Yield a connection whose working folder is that of backups. Raises BackupError."""
        to = self.address
        connection = Connection(
            address=to.host, port=to.port, user=to.user, key=self.settings.key, host_key=self.settings.host_key
        )
        try:
            with sftp(str(to), connection, self.files) as server:
                self._enter(server)
                yield server
        except TransportError as error:
            if error.where.startswith(str(to)):
                raise BackupError(
                    f"the store cannot be used: {error.what}",
                    where=str(to),
                    found=error.found,
                    needed=error.needed,
                    todo=error.todo,
                    log=error.log,
                ) from None
            raise
        except (OSError, EOFError, paramiko.SFTPError) as error:
            raise _refused(self.where(""), error) from None

    def _enter(self, server: paramiko.SFTPClient) -> None:
        folder = self.address.folder
        try:
            # The server begins in the user's own folder.
            server.chdir((folder.removeprefix("~").removeprefix("/") or ".") if folder.startswith("~") else folder)
        except OSError as error:
            raise BackupError(
                "the folder of backups cannot be used",
                where=self.where(""),
                found=error.strerror or str(error),
                needed="a folder on that server that its user can write to",
                todo="make it there, or name another place with --to",
            ) from None


class _Pieces:
    """Hands a file pieces of the size that goes into one request."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._rest = bytearray()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._rest += data
        whole = len(self._rest) - len(self._rest) % _PIECE
        for start in range(0, whole, _PIECE):
            self._file.write(bytes(self._rest[start : start + _PIECE]))
        del self._rest[:whole]
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        if self._rest:
            self._file.write(bytes(self._rest))
            self._rest.clear()


def _refused(where: str, error: Exception) -> BackupError:
    if isinstance(error, FileNotFoundError):
        return BackupError("there is no such backup", where=where, todo="look at `kprov backup list`")
    lost = isinstance(error, EOFError | ConnectionError) or not str(error)
    return BackupError(
        "the connection to the store was lost; nothing half written counts there" if lost else "the store refuses",
        where=where,
        found="" if lost else str(error),
        todo="run the same command again"
        if lost
        else "look at its disk, which may be full, and at the folder's rights",
    )
