"""The operator's cache of installed files: each with a record of what it is and what it hashed to when it was stored.

Layout: `files/SOURCE/NAME-VERSION-ARCH[-KEY]/` holds the file, `record.json` and, once made, the compressed twin.
A file whose stat line is the recorded one is not hashed again; one that hashes to something else is never handed out.
This module must not fetch or build.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from kprov.values.errors import ArtifactError
from kprov.values.resources import Artifact

UPSTREAM = "upstream"
MODULES = "modules"

_CHUNK = 1 << 20
_RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What `record.json` holds. sha256 and size as of `mtime_ns`; the rest as in Artifact."""

    name: str
    version: str
    arch: str
    source: str
    file: str
    sha256: str
    size: int
    mtime_ns: int
    url: str = ""
    url_sha256: str = ""
    member: str = ""
    reference: str = ""


def default_root() -> Path:
    """`$KPROV_CACHE`, or `$XDG_CACHE_HOME/kprov`, or `~/.cache/kprov`."""
    if own := os.environ.get("KPROV_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kprov"


def hash_file(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Cache:
    """The cache under `root`, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, source: str, name: str, version: str, arch: str, key: str = "") -> Path:
        """Where a file of that identity lives. key: what else its content depends on, for builds."""
        label = f"{name}-{version}-{arch}" + (f"-{key}" if key else "")
        return self.root / "files" / source / label

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary folder on the cache's own file system, so that what is made in it can be renamed into place."""
        base = self.root / "scratch"
        base.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=base))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Only one process at a time makes what is called `name`; the others wait, then find it made."""
        base = self.root / "locks"
        base.mkdir(parents=True, exist_ok=True)
        with (base / f"{name}.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def store(self, folder: Path, made: Path, record: Record) -> Artifact:
        """Take the finished file `made` over into the cache; sha256, size and mtime_ns of `record` are filled in."""
        folder.mkdir(parents=True, exist_ok=True)
        made.chmod(0o755)
        with made.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        (folder / _RECORD).unlink(missing_ok=True)
        target = folder / record.file
        made.replace(target)
        stat = target.stat()
        complete = replace(record, sha256=digest, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
        self._write(folder, complete)
        return _artifact(folder, complete)

    def find(self, folder: Path, *, deep: bool = False) -> Artifact | None:
        """What is stored there, or None. deep: hash it even though its stat line is the recorded one.

        Raises ArtifactError when the file is no longer what was stored; it is then out of the way, in `quarantine/`.
        """
        record = self._read(folder)
        if record is None:
            return None
        target = folder / record.file
        try:
            stat = target.stat()
        except FileNotFoundError:
            return None
        unchanged = (stat.st_size, stat.st_mtime_ns) == (record.size, record.mtime_ns)
        if deep or not unchanged:
            found = hash_file(target)
            if found != record.sha256:
                raise self.quarantined(folder, record, found)
            if not unchanged:
                self._write(folder, replace(record, mtime_ns=stat.st_mtime_ns))
            if deep:
                _drop_bad_twin(_twin(target, record.sha256), record.sha256)
        return _artifact(folder, record)

    def quarantined(self, folder: Path, record: Record, found: str) -> ArtifactError:
        """Move a corrupted file out of reach; the error that names it."""
        target = self.root / "quarantine" / f"{folder.name}-{found[:12]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        folder.replace(target)
        return ArtifactError(
            f"the cached {record.name} {record.version} ({record.arch}) is not what was stored",
            where=str(folder / record.file),
            found=f"sha256 {found}",
            needed=f"sha256 {record.sha256}",
            todo=f"run again to get it again; the bad file was put into {target}. Test that disk if it happens twice",
        )

    def records(self, names: Iterable[str] = ("",)) -> Iterator[tuple[Path, Record]]:
        """Everything in the cache, or all versions of some names, in order of path."""
        paths = {path for name in names for path in self.root.glob(f"files/*/{name}{'-[0-9]' * bool(name)}*/{_RECORD}")}
        for path in sorted(paths):
            record = self._read(path.parent)
            if record is not None:
                yield path.parent, record

    def _read(self, folder: Path) -> Record | None:
        try:
            raw = json.loads((folder / _RECORD).read_bytes())
            return Record(**raw)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError):  # not written by this release of kprov: as good as not there
            return None

    def _write(self, folder: Path, record: Record) -> None:
        temporary = folder / f".{_RECORD}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(record), indent=1))
        temporary.replace(folder / _RECORD)


def _artifact(folder: Path, record: Record) -> Artifact:
    desired = {field.name for field in fields(Artifact)} - {"local"}
    values = {name: value for name, value in asdict(record).items() if name in desired}
    return Artifact(local=str(folder / record.file), **values)


def compressed(artifact: Artifact) -> Path:
    """The gzip twin of an artifact's file, made once and kept beside it, for pushing over slow connections.

    Raises ArtifactError when the file is not what the artifact says.
    """
    source = Path(artifact.local)
    target = _twin(source, artifact.sha256)
    if target.exists():
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    digest = hashlib.sha256()
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)  # 16: a gzip header, without name and time
    try:
        with source.open("rb") as stream, temporary.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                out.write(packer.compress(chunk))
            out.write(packer.flush())
        if digest.hexdigest() != artifact.sha256:
            raise ArtifactError(
                f"the cached {artifact.name} {artifact.version} ({artifact.arch}) changed under kprov",
                where=artifact.local,
                found=f"sha256 {digest.hexdigest()}",
                needed=f"sha256 {artifact.sha256}",
                todo="run again; kprov checks the file and gets it again",
            )
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def packed(artifact: Artifact, *, compress: bool) -> tuple[Path, Literal["gzip", "raw"]]:
    """The file to push for an artifact, and how it is packed. Raises ArtifactError as `compressed` does."""
    return (compressed(artifact), "gzip") if compress else (Path(artifact.local), "raw")


def _twin(source: Path, sha256: str) -> Path:
    return source.with_name(f"{source.name}.{sha256[:16]}.gz")


def _drop_bad_twin(twin: Path, sha256: str) -> None:
    """Remove a twin that does not unpack to its file; it is made again when it is next asked for."""
    if not twin.exists():
        return
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    digest = hashlib.sha256()
    try:
        with twin.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(unpacker.decompress(chunk))
    except zlib.error:
        digest = hashlib.sha256()
    if not unpacker.eof or digest.hexdigest() != sha256:
        twin.unlink()
