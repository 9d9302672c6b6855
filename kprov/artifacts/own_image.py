"""Images built here: a program from pinned modules as the only file of an OCI image, under a `kprov.local/` name.

It joins build and image; it must not pull, and never uses a name that upstream uses.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from kprov.artifacts import build, catalog, image
from kprov.artifacts.cache import MODULES, Cache, Record
from kprov.artifacts.progress import Progress
from kprov.values.release import ImageEntry
from kprov.values.resources import Artifact

_FORMAT = 1  # of the tar: raised when image.py writes other bytes for the same program


def find(entry: ImageEntry, version: str, arch: str, cache: Cache) -> Artifact | None:
    """The image when this very build of it is in the cache. Raises ArtifactError when it cannot be built at all."""
    return cache.find(_folder(entry, version, arch, cache))


def make(entry: ImageEntry, version: str, arch: str, cache: Cache, progress: Progress) -> Artifact:
    """The image, built unless it is in the cache. Raises ArtifactError."""
    folder = _folder(entry, version, arch, cache)
    if (found := cache.find(folder)) is not None:
        return found
    program = build.build(build.image_target(entry, version), arch, cache, progress)[entry.program]
    own = image.OwnImage(
        reference=entry.built.format(version=version),
        arch=arch,
        program=Path(program.local),
        name=entry.program,
        user=entry.user,
        arguments=entry.arguments,
        labels=_labels(entry, version),
    )
    with cache.lock(folder.name), cache.scratch() as scratch:
        tar = scratch / f"{entry.name}.tar"
        image.write_own(own, tar)
        record = Record(
            name=entry.name,
            version=version,
            arch=arch,
            source=MODULES,
            file=tar.name,
            sha256="",
            size=0,
            mtime_ns=0,
            reference=own.reference,
        )
        return cache.store(folder, tar, record)


def _folder(entry: ImageEntry, version: str, arch: str, cache: Cache) -> Path:
    parts = [build.key(build.image_target(entry, version), arch), asdict(entry), _labels(entry, version), _FORMAT]
    identity = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return cache.folder(MODULES, entry.name, version, arch, identity)


def _labels(entry: ImageEntry, version: str) -> dict[str, str]:
    component = catalog.load().components.get(entry.component)
    made_from = entry.package if entry.package != "." else "kprov's own program"
    upstream = entry.reference.format(version=version) or "any upstream image"
    return {
        "org.opencontainers.image.title": entry.program,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.vendor": "kprov",
        "org.opencontainers.image.description": f"built by kprov from pinned modules ({made_from}); not {upstream}",
        "org.opencontainers.image.source": component.module if component else made_from,
    }
