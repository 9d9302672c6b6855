"""A stand-in for upstream on loopback: files by path, with ranges, broken answers and a registry's tokens."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kprov.artifacts import catalog
from kprov.artifacts.upstream import downloads_of

_NUMBERS = {"amd64": 62, "arm64": 183}


def program(name: str, arch: str, size: int = 4096) -> bytes:
    """Bytes that begin like an ELF program for `arch`."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, _NUMBERS[arch])
    return (head + f"{name} {arch} ".encode() * size)[:size]


def tar_gz(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Site:
    """What is served. `cut`: path → bytes after which the next answers break off, one entry for each."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.kinds: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.cut: dict[str, list[int]] = {}
        self.status: dict[str, list[int]] = {}
        self.ranges = True
        self.token = ""
        self.asked: list[tuple[str, str]] = []  # path, Range
        self.base = ""

    def put_upstream(self, versions: dict[str, str], *archs: str) -> None:
        """Everything that upstream would serve for these versions, checksum files in upstream's three shapes."""
        self.files["/release/stable.txt"] = b"v1.37.2\n"
        for arch in archs:
            self._put_programs(versions, arch)
        self.put_image("pause", versions["pause"], *archs)
        self.put_image("coredns/coredns", f"v{versions['coredns']}", *archs)

    def _put_programs(self, versions: dict[str, str], arch: str) -> None:
        for component in catalog.load().components.values():
            for desired in downloads_of(component, versions[component.name], arch):
                members = {member: program(name, arch) for name, member in desired.programs.items()}
                content = tar_gz(members) if "" not in members else members[""]
                path, file = _path(desired.url), desired.url.rsplit("/", 1)[1]
                self.files[path] = content
                if not desired.checksum:
                    continue
                line = sha256(content) if component.name == "kubernetes" else f"{sha256(content)}  {file}"
                other = f"{'0' * 64}  another-{file}\n" if component.name in {"etcd", "runc"} else ""
                before = self.files.get(_path(desired.checksum), b"")
                self.files[_path(desired.checksum)] = before + f"{other}{line}\n".encode()

    def put_image(self, repository: str, tag: str, *archs: str) -> str:
        """An image behind an index, as registries serve it; the digest of the index."""
        prefix = f"/v2/{repository}"
        entries = [self._put_manifest(prefix, arch) for arch in archs]
        foreign = entries[0] | {"digest": f"sha256:{'1' * 64}", "platform": {"architecture": "s390x", "os": "linux"}}
        index = json.dumps({"schemaVersion": 2, "manifests": [foreign, *entries]}).encode()
        self.files[f"{prefix}/manifests/{tag}"] = index
        self.kinds[f"{prefix}/manifests/{tag}"] = "application/vnd.docker.distribution.manifest.list.v2+json"
        digest = f"sha256:{sha256(index)}"
        self.files[f"{prefix}/manifests/{digest}"] = index
        self.kinds[f"{prefix}/manifests/{digest}"] = self.kinds[f"{prefix}/manifests/{tag}"]
        return digest

    def _put_manifest(self, prefix: str, arch: str) -> dict[str, Any]:
        layer, config = tar_gz({"pause": program("pause", arch)}), json.dumps({"architecture": arch}).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": _descriptor(config, "application/vnd.docker.container.image.v1+json"),
                "layers": [_descriptor(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
            }
        ).encode()
        entry = _descriptor(manifest, "application/vnd.docker.distribution.manifest.v2+json")
        entry["platform"] = {"architecture": arch, "os": "linux"}
        for blob in (layer, config):
            self.files[f"{prefix}/blobs/sha256:{sha256(blob)}"] = blob
        self.files[f"{prefix}/manifests/sha256:{sha256(manifest)}"] = manifest
        return entry


def _descriptor(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{sha256(content)}", "size": len(content)}


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site, answering on loopback; `site.base` is its URL."""

    class Handler(_Handler):
        here = site

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.base = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    here: Site

    def log_message(self, *args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, site = self.path.split("?")[0], self.here
        asked = self.headers.get("Range", "")
        site.asked.append((path, asked))
        if path == "/token":
            self._send(200, json.dumps({"token": site.token}).encode())
        elif site.status.get(path):
            self._send(site.status[path].pop(0), b"")
        elif path in site.redirects:
            self._send(307, b"", {"Location": site.redirects[path]})
        elif site.token and path.startswith("/v2/") and self.headers.get("Authorization") != f"Bearer {site.token}":
            realm = f'Bearer realm="{site.base}/token",service="here",scope="repository:x:pull"'
            self._send(401, b"", {"WWW-Authenticate": realm})
        elif path not in site.files:
            self._send(404, b"")
        else:
            self._file(path, asked)

    def _file(self, path: str, asked: str) -> None:
        site, content = self.here, self.here.files[path]
        headers = {"Content-Type": site.kinds.get(path, "application/octet-stream")}
        if asked and site.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self._send(416, b"")
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206, content[start:], headers, path)
        else:
            self._send(200, content, headers, path)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, path: str = "") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.here.cut.get(path)
        if cuts:
            self.wfile.write(body[: cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body)
