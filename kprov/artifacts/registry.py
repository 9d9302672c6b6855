"""Pull one image from a container registry into an OCI layout tar, every blob verified by its digest.

Speaks the part of the OCI distribution protocol that an anonymous pull needs: token, index, manifest, blobs.
It must not push, and keeps nothing but the tar.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx

from kprov.artifacts import image
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.image import Descriptor
from kprov.artifacts.progress import Progress
from kprov.values.errors import ArtifactError

_INDEXES = (image.INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = (image.MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
_ACCEPT = {"Accept": ", ".join((*_INDEXES, *_MANIFESTS))}
_SERVERS = {"docker.io": "registry-1.docker.io"}  # the one registry that is not where its name says
_MANIFEST_LIMIT = 4 << 20  # bytes, as in the distribution specification


@dataclass(frozen=True, kw_only=True)
class Reference:
    """`registry.k8s.io/coredns/coredns:v1.14.7` in its three parts."""

    host: str
    repository: str
    tag: str

    @property
    def base(self) -> str:
        return f"https://{_SERVERS.get(self.host, self.host)}/v2/{self.repository}"


def parse_reference(text: str) -> Reference:
    """Split a reference with host and tag. Raises ArtifactError."""
    match = re.fullmatch(r"([a-z0-9.-]+(?::\d+)?)/([a-z0-9._/-]+):([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})", text)
    if not match:
        raise ArtifactError("this is not an image reference", found=text, needed="HOST/NAME:TAG")
    return Reference(host=match.group(1), repository=match.group(2), tag=match.group(3))


class AnonymousToken(httpx.Auth):
    """Answers a registry's Bearer challenge with an anonymous token, at whichever host of a redirect it was put."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if token := self._tokens.get(request.url.host):
            request.headers["Authorization"] = f"Bearer {token}"
        answer = yield request
        if answer.status_code != 401 or (challenge := _challenge(answer)) is None:
            return
        answer.read()
        realm = challenge.pop("realm")
        given = yield httpx.Request("GET", realm, params=challenge)
        given.read()
        if given.status_code != 200:
            return
        body = given.json()
        token = body.get("token") or body.get("access_token") or ""
        again = answer.request
        self._tokens[again.url.host] = token
        again.headers["Authorization"] = f"Bearer {token}"
        yield again


def _challenge(answer: httpx.Response) -> dict[str, str] | None:
    """realm, service and scope of a Bearer challenge; none when the realm would send us from https to http."""
    header = answer.headers.get("WWW-Authenticate", "")
    if not header.lower().startswith("bearer "):
        return None
    values = dict(re.findall(r'(realm|service|scope)="([^"]*)"', header))
    if "realm" not in values or (answer.request.url.scheme == "https" and urlsplit(values["realm"]).scheme != "https"):
        return None
    return values


def pull(
    reference: str, arch: str, digest: str, target: Path, scratch: Path, downloads: Downloads, progress: Progress
) -> str:
    """Write the image for `arch` as an OCI layout tar to `target`; the digest that the tag stands for.

    Args:
        digest: what the tag must stand for, `sha256:HEX`; empty to accept what it stands for now.
        scratch: folder for blobs, on a file system with room for them.

    Raises ArtifactError when the registry has no such image or serves something else than its digests say.
    """
    name = parse_reference(reference)
    auth = AnonymousToken()
    top, content = _manifest(name, digest or name.tag, digest, downloads, auth)
    manifest = top
    if top.media_type in _INDEXES:
        desired = _for_arch(json.loads(content), arch, reference)
        manifest, content = _manifest(name, desired, desired, downloads, auth)
    body = json.loads(content)
    with ExitStack() as stack:
        blobs: dict[str, bytes | IO[bytes]] = {manifest.digest: content}
        for entry in [body["config"], *body["layers"]]:
            if entry["digest"] in blobs:
                continue
            path = _blob(name, entry["digest"], scratch, downloads, auth, progress)
            blobs[entry["digest"]] = stack.enter_context(path.open("rb"))
        image.write_layout(target, reference, arch, manifest, blobs)
    return top.digest


def _manifest(
    name: Reference, which: str, digest: str, downloads: Downloads, auth: AnonymousToken
) -> tuple[Descriptor, bytes]:
    """A manifest or index by tag or digest, verified when its digest is known."""
    url = downloads.url(f"{name.base}/manifests/{which}")
    try:
        answer = downloads.client.get(url, headers=_ACCEPT, auth=auth)
    except httpx.HTTPError as error:
        raise _refused(url, str(error) or type(error).__name__) from error
    if answer.status_code == 404 and digest:
        raise _refused(url, "HTTP 404: the registry does not have it", digest)
    if answer.status_code != 200 or len(answer.content) > _MANIFEST_LIMIT:
        raise _refused(url, f"HTTP {answer.status_code}, {len(answer.content)} bytes")
    found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    if digest and found != digest:
        raise _refused(url, found, digest)
    kind = _media_type(answer, url)
    return Descriptor(media_type=kind, digest=found, size=len(answer.content)), answer.content


def _media_type(answer: httpx.Response, url: str) -> str:
    """What the body says it is, else what the header says."""
    try:
        body: Any = json.loads(answer.content)
    except ValueError as error:
        raise _refused(url, "not JSON") from error
    kind = body.get("mediaType") if isinstance(body, dict) else None
    kind = kind or answer.headers.get("Content-Type", "").split(";")[0]
    if kind not in {*_INDEXES, *_MANIFESTS}:
        raise _refused(url, f"media type {kind!r}", "an image manifest or index")
    return str(kind)


def _for_arch(index: dict[str, Any], arch: str, reference: str) -> str:
    there = []
    for entry in index.get("manifests", ()):
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", arch):
            return str(entry["digest"])
        there.append(f"{platform.get('os')}/{platform.get('architecture')}")
    raise _refused(reference, ", ".join(there) or "an empty index", f"an image for linux/{arch}")


def _blob(
    name: Reference, digest: str, scratch: Path, downloads: Downloads, auth: AnonymousToken, progress: Progress
) -> Path:
    match = re.fullmatch(r"sha256:([0-9a-f]{64})", digest)
    if not match:
        raise _refused(name.base, digest, "a sha256 digest")
    path = scratch / match.group(1)
    url = f"{name.base}/blobs/{digest}"
    label = f"{name.repository}:{name.tag} {match.group(1)[:12]}"
    downloads.file(url, match.group(1), path, progress, label=label, auth=auth)
    return path


def _refused(where: str, found: str, needed: str = "an image manifest") -> ArtifactError:
    return ArtifactError(
        "an image cannot be pulled",
        where=where,
        found=found,
        needed=needed,
        todo="check the version and the network, set artifacts.mirror, or set artifacts.source to modules. To take what a "
        "tag stands for now instead of what was pinned, remove its line from artifacts.lock.yaml",
    )
