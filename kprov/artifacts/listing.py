"""What the catalog holds for a set of versions and what of it is in the cache: rows for a table. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kprov.artifacts.cache import Cache, Record
from kprov.artifacts.needed import Needed
from kprov.values.errors import ArtifactError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One artifact. source, size (bytes), sha256 and path are empty or 0 when it is not cached; fault: why it is unfit."""

    name: str
    version: str
    arch: str
    source: str = ""
    size: int = 0
    sha256: str = ""
    cached: bool = False
    fault: str = ""
    path: str = ""


def listing(parts: Needed, archs: Iterable[str], cache: Path, *, deep: bool = False) -> list[Row]:
    """A row for each artifact of what is needed, one for each source it is cached from.

    deep: hash every cached file; one that changed is put away and its row says so in `fault`.
    """
    store = Cache(cache)
    cached: dict[tuple[str, str, str], list[tuple[Path, Record]]] = {}
    for folder, record in store.records():
        cached.setdefault((record.name, record.version, record.arch), []).append((folder, record))
    rows: list[Row] = []
    for arch in archs:
        for name, version in parts.names():
            there = cached.get((name, version, arch), [])
            rows += [_row(store, folder, record, deep) for folder, record in there]
            if not there:
                rows.append(Row(name=name, version=version, arch=arch))
    return rows


def _row(store: Cache, folder: Path, record: Record, deep: bool) -> Row:
    try:
        found = store.find(folder, deep=deep)
        fault = "" if found else "the file is gone"
    except ArtifactError as error:
        found, fault = None, str(error)
    return Row(
        name=record.name,
        version=record.version,
        arch=record.arch,
        source=record.source,
        size=record.size,
        sha256=record.sha256,
        cached=found is not None,
        fault=fault,
        path=found.local if found is not None else "",
    )
