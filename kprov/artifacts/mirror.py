"""A folder that any web server can serve to hosts: every program and image under the sha256 of its content.

Layout: `sha256/HEX`, and `contents.txt` for people. A host checks what it gets by the name it asked for, so that the
server need not be trusted. This module decides no source: it copies what it is given.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from kprov.artifacts.cache import hash_file
from kprov.artifacts.progress import Progress
from kprov.values.errors import ArtifactError
from kprov.values.resources import Artifact

_FOLDER = "sha256"
_CONTENTS = "contents.txt"
_CHUNK = 1 << 20


def copy_url(mirror: str, sha256: str) -> str:
    """Where a mirror at that base URL has the file, when it serves such a folder."""
    return f"{mirror.rstrip('/')}/{_FOLDER}/{sha256}"


def write(artifacts: Iterable[Artifact], folder: Path, progress: Progress) -> int:
    """Puts every artifact into `folder` unless it is there already; returns how many were written.

    What other versions and clusters put there stays. Raises ArtifactError when an artifact is not what its sha256 says,
    or the folder cannot be written.
    """
    written = 0
    rows = []
    try:
        (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
        for artifact in artifacts:
            written += _put(artifact, folder / _FOLDER / artifact.sha256, progress)
            rows.append(f"{artifact.sha256}  {artifact.name} {artifact.version} {artifact.arch}")
        _list(rows, folder / _CONTENTS)
    except OSError as error:
        raise ArtifactError(
            "the mirror folder cannot be written",
            where=str(error.filename or folder),
            found=error.strerror or str(error),
            needed="a folder of yours on a file system with room for every program and image",
            todo="choose another folder, or make room",
        ) from error
    return written


def write_manifest(url: str, text: str, folder: Path) -> None:
    """Puts a manifest where a mirror of its URL has it: below the folder, under the URL's own path. Raises ArtifactError."""
    target = folder / urlsplit(url).path.lstrip("/")
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError("a manifest's URL leads out of the mirror folder", where=url, found=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _put(artifact: Artifact, target: Path, progress: Progress) -> bool:
    """Whether it had to be written: a file that is there is taken only when it hashes to its name."""
    if target.is_file() and target.stat().st_size == artifact.size and hash_file(target) == artifact.sha256:
        return False
    label = f"{artifact.name} {artifact.version} ({artifact.arch})"
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    digest = hashlib.sha256()
    progress.started(label, artifact.size)
    try:
        with Path(artifact.local).open("rb") as source, temporary.open("wb") as out:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
                progress.advanced(label, len(chunk))
        if digest.hexdigest() != artifact.sha256:
            raise _changed(artifact, digest.hexdigest())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        progress.finished(label)
    return True


def _changed(artifact: Artifact, found: str) -> ArtifactError:
    return ArtifactError(
        f"the cached {artifact.name} {artifact.version} ({artifact.arch}) changed under kprov",
        where=artifact.local,
        found=f"sha256 {found}",
        needed=f"sha256 {artifact.sha256}",
        todo="run again; kprov checks the file and gets it again",
    )


def _list(rows: Iterable[str], path: Path) -> None:
    """`HEX  NAME VERSION ARCH`, sorted by name; rows of earlier calls stay."""
    earlier = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    merged = sorted({*earlier, *rows}, key=lambda row: row.split(maxsplit=1)[-1])
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("".join(f"{row}\n" for row in merged), encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(path)
