"""A backup as one file: what it says of itself, the state folder, the inventory and etcd's snapshot, encrypted.

A tar archive in an age file, so that `age -d FILE | tar -x` opens it without kprov. The manifest comes first: it can be
read without the rest. Where it is kept is a place's (`backup_place`).
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from kprov.state.sealed import open_bytes
from kprov.state.sealed_stream import Sink, Source, opening, sealing
from kprov.values.backup import Manifest, decode, encode
from kprov.values.errors import BackupError

MANIFEST, SNAPSHOT = "manifest.json", "snapshot.db"
TRUST, ISSUED = "state/trust.json", "state/issued.json"
SEALED = f"{TRUST}.age"  # in those that hosts took: they cannot read it
INVENTORY, LOCK_FILE = "inventory.yaml", "artifacts.lock.yaml"
_HASH = 32  # bytes: `etcdctl snapshot save` writes the SHA-256 of all that is before it at the end
_CHUNK = 1 << 20
HEAD = 256 << 10  # bytes: the manifest is well within

Fill = Callable[[Callable[[bytes], None]], None]  # hands a snapshot over, piece by piece


@dataclass(frozen=True, kw_only=True, repr=False)
class Opened:
    """What was in a backup: its small files by name, and where the snapshot was put."""

    manifest: Manifest
    files: Mapping[str, bytes]
    snapshot: Path | None = None

    def __repr__(self) -> str:
        return f"Opened({self.manifest.cluster})"


@dataclass(kw_only=True)
class SnapshotCheck:
    """Follows a snapshot on its way: its size, and the hash that etcd gave it, in one pass."""

    size: int = 0
    _etcd: Any = field(default_factory=hashlib.sha256)
    _tail: bytes = b""

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if len(data) < _HASH:
            data = self._tail + data
        else:
            self._etcd.update(self._tail)
        self._etcd.update(memoryview(data)[:-_HASH])
        self._tail = data[-_HASH:]

    def verify(self, manifest: Manifest, where: str) -> None:
        """Raise BackupError unless it was the snapshot that the manifest is about, and whole in etcd's eyes."""
        want = manifest.snapshot
        own = self._etcd.hexdigest()
        whole = self._etcd.copy()
        whole.update(self._tail)
        if self.size != want.size or want.sha256 not in (own, whole.hexdigest()):  # of the whole file: format 1
            raise BackupError(
                "the snapshot is not the one that was taken",
                where=where,
                found=f"{self.size} bytes, SHA-256 {own}",
                needed=f"{want.size} bytes, SHA-256 {want.sha256}",
                todo="take another backup, or use another one",
            )
        if self._etcd.digest() != self._tail:
            raise BackupError(
                "the snapshot does not have the hash that etcd gave it",
                where=where,
                found=self._tail.hex(),
                needed=own,
                todo="take another backup, or use another one",
            )


def write(output: Sink, manifest: Manifest, files: Mapping[str, bytes], fill: Fill, recipients: Sequence[str]) -> int:
    """Write a backup; returns its size in bytes. Raises BackupError, what `output` raises and what `fill` raises.

    files: small ones by their names in it. What was written is a backup only when this returns.
    """
    counted = _Counted(output)
    with sealing(counted, recipients) as sealed:
        for name, content in {MANIFEST: encode(manifest), **files}.items():
            sealed.write(_header(name, len(content), manifest) + content + _padding(len(content)))
        _write_snapshot(sealed, manifest, fill)
        sealed.write(b"\0" * 2 * tarfile.BLOCKSIZE)
    return counted.size


class _Counted:
    """Counts what is written."""

    def __init__(self, output: Sink) -> None:
        self._output = output
        self.flush = output.flush
        self.size = 0

    def write(self, data: bytes, /) -> int:
        written = self._output.write(data)
        self.size += written
        return written


def _write_snapshot(sealed: IO[bytes], manifest: Manifest, fill: Fill) -> None:
    check = SnapshotCheck()

    def put(data: bytes) -> None:
        check.feed(data)
        sealed.write(data)

    sealed.write(_header(SNAPSHOT, manifest.snapshot.size, manifest))
    fill(put)
    check.verify(manifest, manifest.member)
    sealed.write(_padding(check.size))


def _header(name: str, size: int, manifest: Manifest) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(manifest.made.timestamp())
    return info.tobuf(tarfile.GNU_FORMAT)  # more than 8 GiB too


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def read_manifest(path: Path, identities: Sequence[Any]) -> Manifest:
    """Return what a backup says of itself, without reading the rest of it. Raises BackupError."""
    with _archive(_file(path), str(path), identities) as archive:
        return _manifest(archive, str(path))


def manifest_in(head: bytes, where: str, identities: Sequence[Any]) -> Manifest:
    """Return what a backup says of itself out of its first HEAD bytes. where: its name in messages. Raises BackupError."""
    with _archive(partial(io.BytesIO, head), where, identities) as archive:
        return _manifest(archive, where)


def read(path: Path, identities: Sequence[Any], snapshot: Path | None = None) -> Opened:
    """Return what is in a backup, read to its last byte. Raises BackupError, OSError.

    snapshot: where the snapshot is put, mode 0600; without it, it is only checked.
    """
    files: dict[str, bytes] = {}
    check: SnapshotCheck | None = None
    with _archive(_file(path), str(path), identities) as archive:
        manifest = _manifest(archive, str(path))
        while (member := archive.next()) is not None:  # each once, as they come
            content: Any = archive.extractfile(member)
            if member.name == SNAPSHOT:
                check = SnapshotCheck()
                _copy(content, check, snapshot)
            else:
                files[member.name] = content.read()
    if check is None:
        raise BackupError("there is no snapshot in this backup", where=str(path), todo="use another backup")
    check.verify(manifest, str(path))
    if SEALED in files:
        files[TRUST] = open_bytes(files.pop(SEALED), identities, str(path))
    return Opened(manifest=manifest, files=files, snapshot=snapshot)


def _copy(content: IO[bytes], check: SnapshotCheck, target: Path | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target or os.devnull, flags if target else os.O_WRONLY, 0o600), "wb") as output:
        while piece := content.read(_CHUNK):
            check.feed(piece)
            output.write(piece)


def _file(path: Path) -> Source:
    return lambda: path.open("rb")


@contextmanager
def _archive(source: Source, where: str, identities: Sequence[Any]) -> Iterator[tarfile.TarFile]:
    with opening(source, where, identities) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                yield archive
        except tarfile.TarError:
            raise BackupError(
                "this file opens, and there is no backup of kprov's in it", where=where, todo="use another backup"
            ) from None


def _manifest(archive: tarfile.TarFile, where: str) -> Manifest:
    member = archive.next()
    content = archive.extractfile(member) if member is not None and member.name == MANIFEST else None
    return decode(content.read() if content is not None else b"", where)
