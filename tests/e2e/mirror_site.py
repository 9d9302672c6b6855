"""A web server on a lab's own bridge that stands in for upstream: the paths of upstream, over HTTPS, with real programs.

The programs are the ones built from pinned modules; archives, checksum files and registry paths are laid out as upstream
lays them out. It writes down who asked for what, and breaks what a test tells it to break.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import ssl
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kprov.artifacts import catalog, image
from kprov.artifacts.cache import hash_file
from kprov.artifacts.registry import parse_reference
from kprov.artifacts.upstream import downloads_of
from kprov.pki.authority import CertificateAuthority
from kprov.values.certificate import CertificateSpec
from kprov.values.resources import Artifact


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: from which address, how, for what, the answer's status and the bytes of its body."""

    client: str
    method: str
    path: str
    status: int
    size: int


class Site:
    """What is served from `folder`. wrong: path → the file sent in its place; cut: path → bytes after which it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wrong: dict[str, Path] = {}
        self.cut: dict[str, int] = {}
        self.asked: list[Asked] = []
        self.base = ""

    def path(self, url: str) -> str:
        """The path that a mirror at this site has for an upstream URL."""
        return urlsplit(url).path

    def got(self, client: str) -> list[str]:
        """Paths of the files that an address was sent whole, in order."""
        return [row.path for row in self.asked if (row.client, row.method, row.status) == (client, "GET", 200)]

    def place(self, url: str) -> Path:
        path = self.folder / self.path(url).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put_upstream(self, versions: Mapping[str, str], arch: str, built: Mapping[str, Artifact]) -> None:
        """Everything that upstream publishes for these versions, made of the built binaries and images."""
        for component in catalog.load().components.values():
            if not built.keys() >= component.programs.keys():
                continue
            for desired in downloads_of(component, versions[component.name], arch):
                target = self.place(desired.url)
                members = {member: Path(built[name].local) for name, member in desired.programs.items() if member}
                if members:
                    _pack(target, members)
                else:
                    target.symlink_to(built[next(iter(desired.programs))].local)
                with self.place(desired.checksum).open("a") as sums:
                    sums.write(f"{hash_file(target)}  {target.name}\n")
        for entry in catalog.load().images.values():
            if entry.name in built:
                self._put_image(entry.reference.format(version=versions[entry.component]), arch, built[entry.name])

    def _put_image(self, reference: str, arch: str, artifact: Artifact) -> None:
        """An image as a registry serves it: an index by tag, its manifest and blobs by digest."""
        name = parse_reference(reference)
        with tarfile.open(artifact.local) as tar:
            blobs = {entry.name: tar.extractfile(entry) for entry in tar if entry.name.startswith("blobs/")}
            for path, stream in blobs.items():
                assert stream is not None
                with self.place(f"{name.base}/blobs/{path.removeprefix('blobs/').replace('/', ':')}").open("wb") as out:
                    shutil.copyfileobj(stream, out)
            top = json.load(tar.extractfile("index.json") or stream)["manifests"][0]
        manifest = self.place(f"{name.base}/manifests/{top['digest']}")
        manifest.symlink_to(self.place(f"{name.base}/blobs/{top['digest']}"))
        entry = {key: top[key] for key in ("mediaType", "digest", "size")}
        entry["platform"] = {"os": "linux", "architecture": arch}
        index = json.dumps({"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [entry]}).encode()
        self.place(f"{name.base}/manifests/{name.tag}").write_bytes(index)
        self.place(f"{name.base}/manifests/sha256:{hashlib.sha256(index).hexdigest()}").write_bytes(index)


def _pack(target: Path, members: Mapping[str, Path]) -> None:
    with gzip.open(target, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for member, path in members.items():
            tar.add(path, arcname=member)


@contextmanager
def serving(site: Site, address: str, ca: Path) -> Iterator[Site]:
    """The site over HTTPS on that address; `ca` is written, the CA that whoever asks has to trust."""
    server = ThreadingHTTPServer((address, 0), type("Handler", (_Handler,), {"site": site}))
    server.daemon_threads = True
    server.socket = _context(address, ca).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    site.base = f"https://{address}:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _context(address: str, ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified(address, ca))
    return context


def certified(address: str, ca: Path) -> Path:
    """A file with key and certificate for a server at that address; its CA's certificate is written to `ca`."""
    now = datetime.now(UTC)
    authority = CertificateAuthority.generate("front-proxy", "ecdsa-p256", 2, now)
    spec = CertificateSpec(
        name="site", authority="front-proxy", common_name=address, server=True, ip_addresses=(address,), days=1
    )
    issued = authority.issue(spec, now)
    ca.write_bytes(authority.cert_pem)
    pair = ca.with_name("site.pem")
    pair.write_bytes(issued.key_pem + issued.cert_pem)
    return pair


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        file = self.site.wrong.get(path, self.site.folder / path.lstrip("/"))
        if not file.is_file() or ".." in path:
            self._end(404, 0)
            return
        size = file.stat().st_size
        if self.command == "HEAD":
            self._end(200, size)
            return
        self._end(200, size, recorded=False)
        left = min(size, self.site.cut.get(path, size))
        with file.open("rb") as source:
            sent = 0
            while sent < left and (piece := source.read(min(1 << 20, left - sent))):
                self.wfile.write(piece)
                sent += len(piece)
        self.close_connection = self.close_connection or sent < size
        self._record(200 if sent == size else 499, sent)

    def _end(self, status: int, size: int, *, recorded: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if recorded:
            self._record(status, 0)

    def _record(self, status: int, size: int) -> None:
        path = self.path.partition("?")[0]
        self.site.asked.append(
            Asked(client=self.client_address[0], method=self.command, path=path, status=status, size=size)
        )
