"""Get what upstream publishes: binaries and images, verified against pinned checksums, into the cache.

A file that has no pin yet is pinned to what upstream publishes beside it, or, where it publishes nothing, to what came at
the first use, and that is said. This module builds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from kprov.artifacts import archive, elf, registry
from kprov.artifacts.cache import UPSTREAM, Cache, Record
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.lock import Lock
from kprov.artifacts.needed import Needed
from kprov.artifacts.progress import Progress
from kprov.values.release import Component
from kprov.values.resources import Artifact

PROBE = "https://dl.k8s.io/release/stable.txt"
_WORKERS = 4

Found = Mapping[str, Artifact]


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to fetch and the programs in it: name → member of the archive, or one name → `""` for a bare program."""

    component: str
    version: str
    arch: str
    url: str
    checksum: str
    programs: Mapping[str, str]


def downloads_of(component: Component, version: str, arch: str) -> list[Download]:
    """What has to be fetched for a component: one archive, or one file a program."""
    by_url: dict[str, dict[str, str]] = {}
    checksums: dict[str, str] = {}
    for program in component.programs:
        url = component.url_of(program, version, arch)
        by_url.setdefault(url, {})[program] = component.member_of(program, version, arch)
        checksums[url] = component.checksum_of(program, version, arch)
    return [
        Download(component=component.name, version=version, arch=arch, url=url, checksum=checksums[url], programs=names)
        for url, names in by_url.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Where to keep files, what they must hash to, and how they are had."""

    cache: Cache
    lock: Lock
    downloads: Downloads
    progress: Progress

    def find(self, needed: Needed, arch: str) -> Found | None:
        """Everything for one architecture when all of it is in the cache and is what the lock says, else None."""
        found: dict[str, Artifact] = {}
        for desired in _desired(needed, arch):
            for name in desired.programs:
                artifact = self._cached(desired, name)
                if artifact is None:
                    return None
                found[name] = artifact
        for name, reference, version in _images(needed):
            image = self._cached_image(name, reference, version, arch)
            if image is None:
                return None
            found[name] = image
        return found

    def get(self, needed: Needed, arch: str) -> Found:
        """Everything for one architecture, fetched where it is not in the cache. Raises ArtifactError."""
        before = self.lock.added
        found: dict[str, Artifact] = {}
        with ThreadPoolExecutor(_WORKERS) as pool:
            work = [pool.submit(self._fetch, desired) for desired in _desired(needed, arch)]
            work += [pool.submit(self._pull, arch, *row) for row in _images(needed)]
            try:
                for done in as_completed(work):
                    found |= done.result()
            except BaseException:  # the first failure, or Ctrl-C, ends it: what waits is dropped, what runs is cut off
                pool.shutdown(wait=False, cancel_futures=True)
                self.downloads.cancel()
                raise
        if self.lock.path and (added := self.lock.added - before):
            self.progress.note(f"pinned {added} checksums in {self.lock.path.name}: keep it with the inventory")
        return found

    def _cached(self, desired: Download, name: str) -> Artifact | None:
        artifact = self.cache.find(self.cache.folder(UPSTREAM, name, desired.version, desired.arch))
        if artifact is None:
            return None
        download = artifact.url_sha256 or artifact.sha256
        pinned = self.lock.file(desired.url)
        if artifact.url != desired.url or (pinned and pinned != download):
            return None
        if not pinned:  # it was verified, or taken at its first use, when it was stored for another cluster
            self.lock.pin_file(desired.url, download)
        return replace(artifact, url=self.downloads.url(desired.url))

    def _fetch(self, desired: Download) -> Found:
        with self.cache.lock(f"{desired.component}-{desired.version}-{desired.arch}-{'-'.join(desired.programs)}"):
            cached = {name: artifact for name in desired.programs if (artifact := self._cached(desired, name))}
            if len(cached) == len(desired.programs):
                return cached
            with self.cache.scratch() as scratch:
                return self._download(desired, scratch)

    def _download(self, desired: Download, scratch: Path) -> Found:
        """Fetch, verify, unpack, look at the architecture, store: in this order."""
        file = desired.url.rsplit("/", 1)[1]
        pinned = self.lock.file(desired.url)
        if not pinned and desired.checksum:
            pinned = self.downloads.checksum(desired.checksum, file)
        partial = self.cache.root / "downloads"
        partial.mkdir(parents=True, exist_ok=True)
        whole = partial / f"{pinned[:16] or 'unknown'}-{file}"  # by content: a piece of it can be continued next time
        label = f"{file} {desired.version} ({desired.arch})"
        found_sha256 = self.downloads.file(desired.url, pinned, whole, self.progress, label=label)
        if not pinned:
            self.progress.note(
                f"upstream publishes no checksum of {file}: what came now, sha256 {found_sha256}, is pinned at this first "
                "use. Compare it with a second source before you trust it"
            )
        pinned = found_sha256
        members = {member: scratch / name for name, member in desired.programs.items() if member}
        if members:
            archive.extract(whole, members)
            whole.unlink()
        else:
            whole.replace(scratch / next(iter(desired.programs)))
        if not self.lock.file(desired.url):
            self.lock.pin_file(desired.url, pinned)
        found = {}
        for name, member in desired.programs.items():
            elf.require(scratch / name, name, desired.arch, self.downloads.url(desired.url))
            record = Record(
                name=name,
                version=desired.version,
                arch=desired.arch,
                source=UPSTREAM,
                file=name,
                sha256="",
                size=0,
                mtime_ns=0,
                url=desired.url,
                url_sha256=pinned if member else "",
                member=member,
            )
            folder = self.cache.folder(UPSTREAM, name, desired.version, desired.arch)
            found[name] = replace(self.cache.store(folder, scratch / name, record), url=self.downloads.url(desired.url))
        return found

    def _cached_image(self, name: str, reference: str, version: str, arch: str) -> Artifact | None:
        """An image's record keeps the tag's digest as url_sha256; hosts have no use for it, so it is left out."""
        artifact = self.cache.find(self.cache.folder(UPSTREAM, name, version, arch))
        if artifact is None or artifact.reference != reference:
            return None
        digest = f"sha256:{artifact.url_sha256}"
        pinned = self.lock.image(reference)
        if pinned and pinned != digest:
            return None
        if not pinned:
            self.lock.pin_image(reference, digest)
        return replace(artifact, url_sha256="")

    def _pull(self, arch: str, name: str, reference: str, version: str) -> Found:
        folder = self.cache.folder(UPSTREAM, name, version, arch)
        with self.cache.lock(folder.name):
            if (cached := self._cached_image(name, reference, version, arch)) is not None:
                return {name: cached}
            with self.cache.scratch() as scratch:
                tar = scratch / f"{name}.tar"
                pinned = self.lock.image(reference)
                digest = registry.pull(reference, arch, pinned, tar, scratch, self.downloads, self.progress)
                if not pinned:
                    self.lock.pin_image(reference, digest)
                record = Record(
                    name=name,
                    version=version,
                    arch=arch,
                    source=UPSTREAM,
                    file=tar.name,
                    sha256="",
                    size=0,
                    mtime_ns=0,
                    url_sha256=digest.removeprefix("sha256:"),
                    reference=reference,
                )
                return {name: replace(self.cache.store(folder, tar, record), url_sha256="")}


def _desired(needed: Needed, arch: str) -> list[Download]:
    return [desired for component, version in needed.releases for desired in downloads_of(component, version, arch)]


def _images(needed: Needed) -> list[tuple[str, str, str]]:
    """name, reference, version of every image that upstream publishes for us."""
    rows = [(entry, version) for entry, version in needed.images if entry.reference]
    return [(entry.name, entry.reference.format(version=version), version) for entry, version in rows]
