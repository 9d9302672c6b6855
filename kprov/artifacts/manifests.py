"""Manifests that upstream publishes for add-ons: fetched once, pinned in the lock file, kept in the cache. Parses nothing.

Upstream publishes no checksum beside them: the pin is what came at the first use, and anything else is refused from then
on. Where components are built from pinned modules, a manifest that a module has comes from there, and that is said. One
that is a file of the user's own is read again each time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from kprov.artifacts import build, module_manifest
from kprov.artifacts.cache import MODULES, Cache, hash_file
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.lock import Lock
from kprov.artifacts.progress import Progress
from kprov.artifacts.toolchain import native
from kprov.values.addon import MANIFEST, Addon, ManifestModule, is_url
from kprov.values.errors import ArtifactError
from kprov.values.model import Cluster

_FOLDER = "manifests"  # below the cache's root; files are named by their sha256


def manifests(cluster: Cluster, cache: Path, progress: Progress, *, lock: Path | None) -> dict[str, str]:
    """Add-on → text of its manifest, for those that have one. Raises ArtifactError.

    lock: the lock file beside the inventory; None keeps pins for this run only.
    """
    desired = [addon for addon in cluster.addons if addon.manifest]
    if not desired:
        return {}
    pins, found = Lock(lock), {}
    for addon in desired:
        # A mirror stands for upstream; a manifest that the inventory names is where the inventory says.
        downloads = Downloads(None if addon.parameters.get(MANIFEST) else cluster.artifacts.mirror)
        try:
            if module := _module(addon, cluster, pins, downloads):
                found[addon.name] = _module_text(addon, module, cluster, cache, pins, progress)
            else:
                found[addon.name] = _text(addon, cache / _FOLDER, pins, downloads, progress)
        finally:
            downloads.close()
    return found


def _text(addon: Addon, folder: Path, pins: Lock, downloads: Downloads, progress: Progress) -> str:
    url = addon.manifest
    try:
        if not is_url(url):
            return Path(url).read_text(encoding="utf-8")
        pinned = pins.file(url)
        if pinned:
            kept = folder / pinned
            if not kept.is_file() or hash_file(kept) != pinned:
                folder.mkdir(parents=True, exist_ok=True)
                downloads.file(url, pinned, kept, progress, label=f"manifest of {addon.name} {addon.version}")
            return kept.read_text(encoding="utf-8")
        content = downloads.content(url)
        pins.pin_file(url, _kept(content, folder))
        progress.note(f"pinned {url} to what it is now; upstream publishes no checksum beside it")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"the manifest of the add-on {addon.name} cannot be read",
            where=url,
            found=str(error),
            needed="UTF-8 text",
        ) from error


def _kept(content: bytes, folder: Path) -> str:
    """Puts it into the cache; its sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{sha256}.{os.getpid()}"
    new.write_bytes(content)
    new.replace(folder / sha256)
    return sha256


def _module(addon: Addon, cluster: Cluster, pins: Lock, downloads: Downloads) -> ManifestModule | None:
    """The Go module it comes from, where it comes from one: as the cluster's components do, once that is decided."""
    module = addon.description.manifest_module
    if module is None or addon.parameters.get(MANIFEST):
        return None
    setting = cluster.artifacts.sources.get(addon.name, cluster.artifacts.source)
    source = pins.source if setting == "auto" else setting
    if source:
        return module if source == MODULES else None
    return None if downloads.reachable(addon.manifest) else module


def _module_text(
    addon: Addon, module: ManifestModule, cluster: Cluster, cache: Path, pins: Lock, progress: Progress
) -> str:
    name = f"{module.path}@v{addon.version}/{module.kustomization}"
    kept = cache / _FOLDER / (pins.file(name) or "none")
    if kept.is_file() and hash_file(kept) == kept.name:
        return kept.read_text(encoding="utf-8")
    pinned = build.module_folder(addon.name, addon.version)
    kubernetes = build.component_target("kubernetes", cluster.versions["kubernetes"])
    kubectl = build.build(kubernetes, native(), Cache(cache), progress)["kubectl"].local
    text = module_manifest.text(module, pinned, kubectl)
    pins.pin_file(name, _kept(text.encode(), cache / _FOLDER))
    progress.note(
        f"the manifest of {addon.name} {addon.version} is rendered from the kustomization in the pinned Go module "
        f"{module.path}, of which upstream makes its release's; {addon.manifest} was not asked"
    )
    return text
