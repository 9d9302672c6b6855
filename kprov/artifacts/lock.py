"""The lock file: the checksum of every download, pinned at its first use, and the source that was chosen.

It lies beside the inventory and belongs under version control. Checksums are never invented: each was published by
upstream beside the file, or came with the image from its registry, or is that of a file at its first use where upstream
publishes none. This module must not fetch.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import yaml

from kprov.values.errors import ArtifactError
from kprov.values.yaml_text import load

_HEADER = """\
# Written by kprov: what each file that was downloaded for this cluster must hash to. Keep it under version control.
# A file that hashes to something else is refused. To accept a file that upstream replaced, remove its line.
"""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Lock:
    """Pins by upstream URL (files) and by reference (images); safe to use from several threads.

    path None keeps the pins in memory only. Raises ArtifactError when the file is not one of kprov's.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._mutex = threading.Lock()
        raw = _read(path) if path is not None else {}
        self._files: dict[str, str] = raw.get("files") or {}
        self._images: dict[str, str] = raw.get("images") or {}
        self._source: str = raw.get("source") or ""
        self.added = 0

    @property
    def source(self) -> str:
        """`upstream` or `modules` when `auto` was decided before, else empty."""
        return self._source

    def choose(self, source: str) -> None:
        with self._mutex:
            if source != self._source:
                self._source = source
                self._save()

    def file(self, url: str) -> str:
        """The sha256 (hex) pinned for an upstream URL, or empty."""
        return self._files.get(url, "")

    def image(self, reference: str) -> str:
        """The digest (`sha256:HEX`) pinned for an image reference, or empty."""
        return self._images.get(reference, "")

    def pin_file(self, url: str, sha256: str) -> None:
        with self._mutex:
            self._files[url] = sha256
            self.added += 1
            self._save()

    def pin_image(self, reference: str, digest: str) -> None:
        with self._mutex:
            self._images[reference] = digest
            self.added += 1
            self._save()

    def _save(self) -> None:
        if self.path is None:
            return
        content: dict[str, Any] = {"source": self._source} if self._source else {}
        content |= {"files": dict(sorted(self._files.items()))} if self._files else {}
        content |= {"images": dict(sorted(self._images.items()))} if self._images else {}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(_HEADER + yaml.safe_dump(content, sort_keys=False, width=1000), encoding="utf-8")
        temporary.replace(self.path)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = load(text) or {}
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unfit(path, str(error).replace("\n", " ")) from error
    if not isinstance(raw, dict) or set(raw) - {"source", "files", "images"}:
        raise _unfit(path, "keys other than source, files and images")
    if raw.get("source", "upstream") not in {"upstream", "modules"}:
        raise _unfit(path, f"source: {raw['source']}")
    for section, prefix in (("files", ""), ("images", "sha256:")):
        pins = raw.get(section) or {}
        if not isinstance(pins, dict):
            raise _unfit(path, f"{section} is not a mapping")
        for name, value in pins.items():
            if not _DIGEST.fullmatch(str(value).removeprefix(prefix)):
                raise _unfit(path, f"{name}: {value}")
    return raw


def _unfit(path: Path, found: str) -> ArtifactError:
    return ArtifactError(
        "the lock file cannot be used",
        where=str(path),
        found=found,
        needed="URLs with sha256 sums as kprov wrote them",
        todo="restore it from version control, or remove it to pin everything again",
    )
