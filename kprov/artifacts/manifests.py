"""Manifests that upstream publishes for add-ons: fetched once, pinned in the lock file, kept in the cache. Parses nothing.

Upstream publishes no checksum beside them: the pin is what came at the first use, and anything else is refused from then
on. A manifest that is a file of the user's own is read anew each time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from kprov.addon.choose import MANIFEST
from kprov.addon.published import is_url
from kprov.addon.spec import Addon
from kprov.artifacts.cache import hash_file
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.lock import Lock
from kprov.artifacts.progress import Progress
from kprov.errors import ArtifactError
from kprov.model import Cluster

_FOLDER = "manifests"  # below the cache's root; files are named by their sha256


def manifests(cluster: Cluster, cache: Path, progress: Progress, *, lock: Path | None) -> dict[str, str]:
    """Add-on → text of its manifest, for those that have one. Raises ArtifactError.

    lock: the lock file beside the inventory; None keeps pins for this run only.
    """
    wanted = [addon for addon in cluster.addons if addon.manifest]
    if not wanted:
        return {}
    pins, found = Lock(lock), {}
    for addon in wanted:
        # A mirror stands for upstream; a manifest that the inventory names is where the inventory says.
        downloads = Downloads(None if addon.parameters.get(MANIFEST) else cluster.artifacts.mirror)
        try:
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
        sha256 = hashlib.sha256(content).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".{sha256}.{os.getpid()}"
        new.write_bytes(content)
        new.replace(folder / sha256)
        pins.pin_file(url, sha256)
        progress.note(f"pinned {url} to what it is now; upstream publishes no checksum beside it")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"the manifest of the add-on {addon.name} cannot be read",
            where=url,
            found=str(error),
            needed="UTF-8 text",
        ) from error
