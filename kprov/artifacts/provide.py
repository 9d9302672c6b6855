"""Every artifact a cluster needs, from where its inventory says: upstream, or built from pinned Go modules.

This module decides the source and asks the others to get it. With everything in the cache it asks nobody and takes
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from kprov.artifacts import build, catalog, mirror, own_image
from kprov.artifacts.cache import MODULES, UPSTREAM, Cache
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.lock import Lock
from kprov.artifacts.progress import Progress
from kprov.artifacts.upstream import PROBE, Upstream
from kprov.errors import ArtifactError
from kprov.model import Cluster
from kprov.resources import Artifact

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
    wanted = _known(archs)
    store, pins = Cache(cache), Lock(lock)
    downloads = Downloads(cluster.artifacts.mirror)
    try:
        upstream = Upstream(cache=store, lock=pins, downloads=downloads, progress=progress)
        built = _decide(cluster, wanted, upstream) == MODULES
        found: dict[tuple[str, str], Artifact] = {}
        for arch in wanted:
            parts = _modules(cluster.versions, arch, upstream) if built else upstream.get(cluster.versions, arch)
            found |= {(name, arch): artifact for name, artifact in parts.items()}
    finally:
        downloads.close()
    for name in extra:
        for arch in wanted:
            found[(name, arch)] = own_image.make(name, cluster.versions, arch, store, progress)
    return _with_copies(found, cluster.artifacts.mirror)


def _with_copies(found: Provided, base: str | None) -> Provided:
    if not base:
        return found
    return {key: replace(artifact, copy=mirror.copy_url(base, artifact.sha256)) for key, artifact in found.items()}


def named(cluster: Cluster, archs: Iterable[str]) -> Provided:
    """What `provide` would give, without content: names and versions only, for questions that ask nothing else.

    Nothing is fetched, built or looked up. Raises ArtifactError for an unknown architecture.
    """
    listed = catalog.load()
    found: dict[tuple[str, str], Artifact] = {}
    for arch in _known(archs):
        for part in listed.components.values():
            for name in part.programs:
                found[(name, arch)] = Artifact(
                    name=name, version=cluster.versions[part.name], arch=arch, sha256="", size=0, local=""
                )
        for name in _cluster_images():
            entry = listed.images[name]
            version = cluster.versions[entry.component]
            reference = entry.reference.format(version=version)
            found[(name, arch)] = Artifact(
                name=name, version=version, arch=arch, sha256="", size=0, local="", reference=reference
            )
    return found


def _known(archs: Iterable[str]) -> list[str]:
    wanted = sorted(set(archs))
    if unknown := [arch for arch in wanted if arch not in catalog.ARCHITECTURES]:
        raise ArtifactError(
            "kprov has no artifacts for this architecture",
            found=", ".join(unknown),
            needed=" or ".join(catalog.ARCHITECTURES),
            todo="take the hosts of that architecture out of the inventory",
        )
    return wanted


def _decide(cluster: Cluster, archs: list[str], upstream: Upstream) -> str:
    """`upstream` or `modules`. What is complete in the cache settles an open choice without asking the network."""
    setting = cluster.artifacts.source
    if setting != "auto":
        return setting
    if upstream.lock.source:
        return upstream.lock.source
    if all(upstream.find(cluster.versions, arch) is not None for arch in archs):
        chosen = UPSTREAM
    elif all(_built(cluster.versions, arch, upstream.cache) for arch in archs):
        chosen = MODULES
    else:
        chosen = _ask(cluster, archs[0], upstream)
    upstream.lock.choose(chosen)
    return chosen


def _built(versions: Mapping[str, str], arch: str, cache: Cache) -> bool:
    """Whether all of it has been built here before. What cannot be built here has not been."""
    try:
        targets = [build.component_target(name, versions[name]) for name in catalog.load().components]
        return all(build.find(target, arch, cache) is not None for target in targets) and all(
            own_image.find(name, versions, arch, cache) is not None for name in _cluster_images()
        )
    except ArtifactError:
        return False


def _ask(cluster: Cluster, arch: str, upstream: Upstream) -> str:
    """A mirror has upstream's files when it has the first one that is needed: it may also be a folder for hosts only."""
    probe = PROBE
    if cluster.artifacts.mirror:
        kubernetes = catalog.load().components["kubernetes"]
        probe = kubernetes.checksum_of("kubelet", cluster.versions["kubernetes"], arch)
    url = upstream.downloads.url(probe)
    if upstream.downloads.reachable(probe):
        return UPSTREAM
    upstream.progress.note(
        f"{url} cannot be had: building from pinned Go modules instead. kprov keeps to this for this cluster; "
        "set artifacts.source to upstream to change it"
    )
    return MODULES


def _modules(versions: Mapping[str, str], arch: str, upstream: Upstream) -> Mapping[str, Artifact]:
    built = build.build_all(versions, arch, upstream.cache.root, upstream.progress)
    for name in _cluster_images():
        built[name] = own_image.make(name, versions, arch, upstream.cache, upstream.progress)
    return built


def _cluster_images() -> list[str]:
    """Images that a cluster needs; those without an upstream reference are only for tests."""
    return [entry.name for entry in catalog.load().images.values() if entry.reference]
