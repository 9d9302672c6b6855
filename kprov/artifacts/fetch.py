"""Download files over HTTP: with resume, retries and timeouts, and never handed out before the checksum is right.

It knows URLs and checksums; what a file is for, and where it is kept, is not its business.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from kprov.artifacts.progress import Progress
from kprov.values.errors import ArtifactError

_T = TypeVar("_T")
_TEXT_LIMIT = 1 << 22
_SIZE_LIMIT = 2 << 30
_ATTEMPTS = 4
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds; 30 is for silence in mid-stream, not for the whole file


class _AgainError(Exception):
    """The attempt failed in a way that another attempt may not."""


class Downloads:
    """Downloads through an optional mirror, whose base URL takes the place of upstream's scheme and host."""

    def __init__(
        self, mirror: str | None = None, *, attempts: int = _ATTEMPTS, pause: Callable[[float], object] | None = None
    ) -> None:
        self._mirror = mirror.rstrip("/") if mirror else ""
        self._attempts = attempts
        self._cancelled = threading.Event()
        self._pause = pause or self._cancelled.wait

    @cached_property
    def client(self) -> httpx.Client:
        """Made when it is first used: a run that finds everything in the cache pays nothing for it."""
        return httpx.Client(timeout=_TIMEOUT, follow_redirects=True, headers={"Accept-Encoding": "identity"})

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()

    def cancel(self) -> None:
        """End the downloads that other threads are in the middle of; what they got so far is kept for a next run."""
        self._cancelled.set()

    def url(self, upstream: str) -> str:
        """Where the file of an upstream URL is really fetched."""
        if not self._mirror:
            return upstream
        parts = urlsplit(upstream)
        return f"{self._mirror}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def reachable(self, upstream: str, seconds: float = 3.0) -> bool:
        """One quick question whether upstream, or the mirror, answers and has that file."""
        try:
            answer = self.client.head(self.url(upstream), timeout=seconds, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return answer.status_code < 400

    def text(self, upstream: str) -> str:
        """A small text file. Raises ArtifactError."""
        return self.content(upstream).decode(errors="replace")

    def content(self, upstream: str) -> bytes:
        """A small file as it comes. Raises ArtifactError."""
        url = self.url(upstream)

        def attempt() -> bytes:
            answer = self.client.get(url)
            self._judge(answer, url)
            if len(answer.content) > _TEXT_LIMIT:
                raise _unexpected(url, f"{len(answer.content)} bytes", "a small text file")
            return answer.content

        return self._repeat(url, attempt)

    def checksum(self, upstream: str, file: str) -> str:
        """The sha256 (hex) that a published checksum file gives for `file`. Raises ArtifactError."""
        return parse_checksum(self.text(upstream), file, self.url(upstream))

    def file(
        self,
        upstream: str,
        sha256: str,
        target: Path,
        progress: Progress,
        *,
        label: str = "",
        auth: httpx.Auth | None = None,
    ) -> str:
        """Download to `target`, which exists afterwards only with the right content; its sha256.

        sha256: empty for a file of which nothing is known: what comes is taken. What came of an earlier, broken attempt
        is kept in `target` + `.part` and continued, unless nobody can tell whether it is right. Raises ArtifactError.
        """
        url = self.url(upstream)
        part = target.with_name(f"{target.name}.part")
        label = label or target.name

        def attempt() -> str:
            if not sha256:
                part.unlink(missing_ok=True)
            resumed = part.exists() and part.stat().st_size > 0
            found = self._stream(url, part, progress, label, auth)
            if sha256 and found != sha256:
                part.unlink()
                if resumed:  # the earlier piece may have been bad: once more, from the start
                    raise _AgainError(f"sha256 {found} after a resume")
            return found

        found = self._repeat(url, attempt)
        if sha256 and found != sha256:
            raise ArtifactError(
                "a download is not what it must be",
                where=url,
                found=f"sha256 {found}",
                needed=f"sha256 {sha256}",
                todo="do not use it; find out why upstream or the mirror serves another file than was pinned in "
                "artifacts.lock.yaml or is published beside it. Only to accept it: remove its line from that file",
            )
        part.replace(target)
        return found

    def _stream(self, url: str, part: Path, progress: Progress, label: str, auth: httpx.Auth | None) -> str:
        """Append to `part` until the file is whole; its sha256."""
        there = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={there}-"} if there else {}
        with self.client.stream("GET", url, headers=headers, auth=auth) as answer:
            if answer.status_code == 416:  # what is there is not a piece of this file
                part.unlink()
                raise _AgainError("the server has no such range")
            self._judge(answer, url)
            continued = answer.status_code == 206 and _starts_at(answer, there)
            digest = _digest_of(part) if continued else hashlib.sha256()
            size = there if continued else 0
            progress.started(label, size + int(answer.headers.get("Content-Length", 0)))
            progress.advanced(label, size)
            try:
                with part.open("ab" if continued else "wb") as out:
                    for chunk in answer.iter_raw():  # as it comes: what arrived before a break is kept
                        self._go_on(url)
                        size += len(chunk)
                        if size > _SIZE_LIMIT:
                            raise _unexpected(url, f"more than {_SIZE_LIMIT} bytes", "a file of a sane size")
                        out.write(chunk)
                        digest.update(chunk)
                        progress.advanced(label, len(chunk))
            finally:
                progress.finished(label)
        return digest.hexdigest()

    def _go_on(self, url: str) -> None:
        if self._cancelled.is_set():
            raise ArtifactError("the download was given up", where=url, todo="run again; it goes on where it ended")

    def _judge(self, answer: httpx.Response, url: str) -> None:
        if answer.status_code in {200, 206}:
            return
        if answer.status_code >= 500 or answer.status_code in {408, 429}:
            raise _AgainError(f"HTTP {answer.status_code}")
        raise _unexpected(url, f"HTTP {answer.status_code} {answer.reason_phrase}", "the file")

    def _repeat(self, url: str, attempt: Callable[[], _T]) -> _T:
        reason = ""
        for number in range(self._attempts):
            if number:
                self._pause(0.5 * 2**number)
            self._go_on(url)
            try:
                return attempt()
            except (_AgainError, httpx.TransportError) as error:
                reason = str(error) or type(error).__name__
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _unexpected(url, str(error), "an answer over HTTP") from error
        raise ArtifactError(
            f"a download failed {self._attempts} times",
            where=url,
            found=reason,
            needed="an answer from upstream or from the mirror",
            todo="check the network and HTTPS_PROXY, set artifacts.mirror, or set artifacts.source to modules",
        )


def parse_checksum(text: str, file: str, where: str) -> str:
    """The sha256 in a checksum file: bare, or in sha256sum's lines `SHA256  NAME`. Raises ArtifactError."""
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9A-Fa-f]{64})(?:\s+\*?(?:\./)?(\S+))?", line.strip())
        if match and match.group(2) in {None, file}:
            return match.group(1).lower()
    raise _unexpected(where, "no line with a sha256 for it", f"the published sha256 of {file}")


def _digest_of(path: Path) -> hashlib._Hash:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")


def _starts_at(answer: httpx.Response, offset: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {offset}-")


def _unexpected(url: str, found: str, needed: str) -> ArtifactError:
    return ArtifactError(
        "a download is not there",
        where=url,
        found=found,
        needed=needed,
        todo="check the version in the inventory (`kprov artifacts list` shows what the catalog holds) and the mirror",
    )
