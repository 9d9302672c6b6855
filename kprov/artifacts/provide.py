"""Every artifact a cluster needs, from where its inventory says: upstream, or built from pinned Go modules, or some of each.

This module decides the source and asks the others to get it. With everything in the cache it asks nobody and takes
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kprov.artifacts import build, catalog, forecast, mirror, own_image
from kprov.artifacts.cache import MODULES, UPSTREAM, Cache
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.lock import Lock
from kprov.artifacts.needed import Needed, needed
from kprov.artifacts.progress import Progress
from kprov.artifacts.upstream import PROBE, Upstream
from kprov.values.errors import ArtifactError
from kprov.values.model import Cluster
from kprov.values.release import ImageEntry
from kprov.values.resources import Artifact

Provided = Mapping[tuple[str, str], Artifact]

LOCK_NAME = "artifacts.lock.yaml"


def provide(
    cluster: Cluster,
    archs: Iterable[str],
    cache: Path,
    progress: Progress,
    *,
    lock: Path | None = None,
    extra: Iterable[str] = (),
) -> Provided:
    """All artifacts of the cluster's versions, by (catalog name, architecture).

    Args:
        archs: architectures of its hosts, in Go's words.
        cache: root of the cache, see cache.default_root().
        lock: the lock file beside the inventory; None keeps pins for this run only.
        extra: further images by catalog name (`image-agnhost`, for tests), always built.

    With source `auto` the choice is made once, kept in the lock file, and told as a note: upstream when it answers,
    else modules. So a network that comes and goes never changes what runs. Raises ArtifactError.
    """
    desired = _known(archs)
    parts = needed(cluster)
    store, pins = Cache(cache), Lock(lock)
    images = [(entry, cluster.versions[entry.component]) for entry in map(catalog.load().images.__getitem__, extra)]
    downloads = Downloads(cluster.artifacts.mirror)
    try:
        upstream = Upstream(cache=store, lock=pins, downloads=downloads, progress=progress)
        built = _to_build(cluster, parts, desired, upstream)
        fetched = [name for name in parts.owners if name not in built]
        found: dict[tuple[str, str], Artifact] = {}
        for arch in desired:
            got = {**_modules(parts.only(built), arch, upstream, images), **upstream.get(parts.only(fetched), arch)}
            found |= {(name, arch): artifact for name, artifact in got.items()}
    finally:
        downloads.close()
    for entry, version in images:
        for arch in desired:
            found[(entry.name, arch)] = own_image.make(entry, version, arch, store, progress)
    return _with_copies(found, cluster.artifacts.mirror)


def _with_copies(found: Provided, base: str | None) -> Provided:
    if not base:
        return found
    return {key: replace(artifact, copy=mirror.copy_url(base, artifact.sha256)) for key, artifact in found.items()}


def named(cluster: Cluster, archs: Iterable[str]) -> Provided:
    """What `provide` would give, without content: names and versions only, for questions that ask nothing else.

    Nothing is fetched, built or looked up. Raises ArtifactError for an unknown architecture.
    """
    parts = needed(cluster)
    references = {
        entry.name: (entry.reference or entry.built).format(version=version) for entry, version in parts.images
    }
    return {
        (name, arch): Artifact(
            name=name, version=version, arch=arch, sha256="", size=0, local="", reference=references.get(name, "")
        )
        for arch in _known(archs)
        for name, version in parts.names()
    }


def _known(archs: Iterable[str]) -> list[str]:
    desired = sorted(set(archs))
    if unknown := [arch for arch in desired if arch not in catalog.ARCHITECTURES]:
        raise ArtifactError(
            "kprov has no artifacts for this architecture",
            found=", ".join(unknown),
            needed=" or ".join(catalog.ARCHITECTURES),
            todo="take the hosts of that architecture out of the inventory",
        )
    return desired


def _to_build(cluster: Cluster, parts: Needed, archs: list[str], upstream: Upstream) -> list[str]:
    """Names of the components that are built: those with a source of their own by that, all others by one decision.

    Raises ArtifactError for an image that shall be built and cannot be: without that wish, its nodes would pull it.
    """
    own = cluster.artifacts.sources
    for entry, version in parts.images:
        if own.get(entry.component) == MODULES:
            build.image_target(entry, version)
    others = [name for name in parts.owners if name not in own]
    rest = _decide(cluster, parts.only(others), archs, upstream) if others else UPSTREAM
    return [name for name in parts.owners if own.get(name, rest) == MODULES]


def _decide(cluster: Cluster, parts: Needed, archs: list[str], upstream: Upstream) -> str:
    """`upstream` or `modules`. What is complete in the cache settles an open choice without asking the network."""
    setting = cluster.artifacts.source
    if setting != "auto":
        return setting
    if upstream.lock.source:
        return upstream.lock.source
    if all(upstream.find(parts, arch) is not None for arch in archs):
        chosen = UPSTREAM
    elif all(_built(parts, arch, upstream.cache) for arch in archs):
        chosen = MODULES
    else:
        chosen = _ask(cluster, parts, archs[0], upstream)
    upstream.lock.choose(chosen)
    return chosen


def _built(parts: Needed, arch: str, cache: Cache) -> bool:
    """Whether all of it has been built here before. What cannot be built here has not been."""
    try:
        targets = [build.target_of(component, version) for component, version in parts.releases]
        return all(build.find(target, arch, cache) is not None for target in targets) and all(
            own_image.find(entry, version, arch, cache) is not None for entry, version in parts.built_images
        )
    except ArtifactError:
        return False


def _first_file(parts: Needed, arch: str) -> str:
    """A small file of the first component that has one: the checksum of its first program."""
    for component, version in parts.releases:
        if component.checksum:
            return component.checksum_of(next(iter(component.programs)), version, arch)
    return ""


def _ask(cluster: Cluster, parts: Needed, arch: str, upstream: Upstream) -> str:
    """A mirror has upstream's files when it has the first one that is needed: it may also be a folder for hosts only."""
    probe = PROBE
    if cluster.artifacts.mirror:
        probe = _first_file(parts, arch) or probe
    url = upstream.downloads.url(probe)
    if upstream.downloads.reachable(probe):
        return UPSTREAM
    upstream.progress.note(
        f"{url} cannot be had: building from pinned Go modules instead. kprov keeps to this for this cluster; "
        "set artifacts.source to upstream to change it"
    )
    return MODULES


def _modules(
    parts: Needed, arch: str, upstream: Upstream, extra: Sequence[tuple[ImageEntry, str]]
) -> Mapping[str, Artifact]:
    """extra: images that are built afterwards, for what is said about the time that all of it takes."""
    targets = [build.component_target(name, version) for name, version in parts.components.items()]
    targets += [build.target_of(component, version) for component, version in parts.programs]
    targets += [build.image_target(entry, version) for entry, version in (*parts.built_images, *extra)]
    forecast.tell(targets, arch, upstream.cache, upstream.progress)
    built = build.build_all(parts.components, arch, upstream.cache.root, upstream.progress)
    for component, version in parts.programs:
        built |= build.build(build.target_of(component, version), arch, upstream.cache, upstream.progress)
    for entry, version in parts.built_images:
        built[entry.name] = own_image.make(entry, version, arch, upstream.cache, upstream.progress)
    return built
