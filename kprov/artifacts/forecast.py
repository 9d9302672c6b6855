"""How long builds will take: said once before the first of them, from figures of the catalog. It builds nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kprov.artifacts import build, catalog
from kprov.artifacts.build import Target
from kprov.artifacts.cache import Cache
from kprov.artifacts.progress import Progress

_MEASURED_ON = 2  # processors
_UNKNOWN = 10  # seconds of a build that the catalog has no figure of: they are small


def tell(targets: Iterable[Target], arch: str, cache: Cache, progress: Progress) -> None:
    """Note what is to be built, how long each build and the whole takes; nothing when all is in the cache.

    Raises ArtifactError without Go.
    """
    missing = {target.name: target for target in targets if build.find(target, arch, cache) is None}
    if not missing:
        return
    processors = len(os.sched_getaffinity(0))
    seconds = {name: seconds_of(name, processors) for name in missing}
    each = ", ".join(f"{target.name} {target.version} {duration(seconds[name])}" for name, target in missing.items())
    many = f"{len(missing)} builds from Go modules" if len(missing) > 1 else "1 build from Go modules"
    progress.note(
        f"{many}, about {duration(sum(seconds.values()))} with {processors} processor{'s' if processors > 1 else ''} "
        f"and empty caches of Go: {each}; each is done once and kept in {cache.root}"
    )


def seconds_of(name: str, processors: int) -> float:
    """Return how long a build takes; the work is spread over all processors."""
    return catalog.load().build_seconds.get(name, _UNKNOWN) * _MEASURED_ON / processors


def duration(seconds: float) -> str:
    """Return it as one says it: `40 s`, `8 min`."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
