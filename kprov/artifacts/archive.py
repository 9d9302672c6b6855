"""Read named regular files out of a tar archive, and nothing else of it: no links, no paths, no owners, no modes."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kprov.values.errors import ArtifactError

SIZE_LIMIT = 1 << 30  # bytes a single program may unpack to
_CHUNK = 1 << 20


def extract(archive: Path, members: Mapping[str, Path], limit: int = SIZE_LIMIT) -> None:
    """Write each member's bytes to its path. The names in the archive decide nothing about where bytes go.

    Raises ArtifactError when the archive is broken, a member is missing, not a regular file, or larger than `limit`.
    """
    desired = {_plain(name): path for name, path in members.items()}
    seen: list[str] = []
    try:
        with tarfile.open(archive, "r:*") as tar:
            for entry in tar:
                seen.append(entry.name)
                target = desired.pop(_plain(entry.name), None)
                if target is not None:
                    _copy(tar, entry, target, archive, limit)
                if not desired:
                    return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ArtifactError(
            "the archive cannot be read",
            where=archive.name,
            found=str(error),
            needed="a tar archive as upstream publishes it",
            todo="look at what the URL, or the mirror, serves",
        ) from error
    raise ArtifactError(
        f"the archive does not hold {', '.join(sorted(desired))}",
        where=archive.name,
        found=", ".join(seen[:20]) or "nothing",
        needed=", ".join(sorted(members)),
        todo="check the version; upstream may have changed the archive's layout",
    )


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, archive: Path, limit: int) -> None:
    source: IO[bytes] | None = tar.extractfile(entry) if entry.isreg() else None
    if source is None or entry.size > limit:
        raise ArtifactError(
            f"{entry.name} in the archive is not what a program can be",
            where=archive.name,
            found=f"{entry.size} bytes" if entry.isreg() else "a link, a folder or a device",
            needed=f"a regular file of at most {limit} bytes",
            todo="do not use this archive; look at where it comes from",
        )
    with source, target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            out.write(chunk)
