"""A registry program, built from pinned modules and run on this computer: open on loopback, or guarded on a lab's bridge."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kprov.artifacts import image
from kprov.values.resources import Artifact


@dataclass(frozen=True, kw_only=True)
class Program:
    """A running one. `log`: what it was asked."""

    url: str
    log: Path

    @property
    def host(self) -> str:
        """HOST:PORT."""
        return self.url.partition("://")[2]


@contextmanager
def running(folder: Path, *, address: str = "", pair: Path | None = None, login: str = "") -> Iterator[Program]:
    """pair: PEM file with key and certificate, for HTTPS. login: NAME:PASSWORD that it asks for."""
    program, log = folder / "registry", folder / "registry.log"
    build = {**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", program, "."], cwd=Path(__file__).parent / "registry", env=build, check=True)
    environment = {"REGISTRY_ADDRESS": address, "REGISTRY_PAIR": str(pair or ""), "REGISTRY_LOGIN": login}
    with (
        log.open("w") as written,
        subprocess.Popen([program], env=environment, stdout=subprocess.PIPE, stderr=written, text=True) as server,
    ):
        assert server.stdout is not None
        yield Program(url=server.stdout.readline().strip(), log=log)
        server.terminate()


def content(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    assert stream is not None
    return stream.read()


def push(url: str, repository: str, tag: str, artifact: Artifact, client: httpx.Client) -> str:
    """Puts an image behind an index, as registries of upstream have it; the index's digest."""
    base = f"{url}/v2/{repository}"
    with tarfile.open(artifact.local) as tar:
        top = json.loads(content(tar, "index.json"))["manifests"][0]
        manifest = content(tar, f"blobs/{top['digest'].replace(':', '/')}")
        body = json.loads(manifest)
        for part in (body["config"], *body["layers"]):
            blob = content(tar, f"blobs/{part['digest'].replace(':', '/')}")
            where = client.post(f"{base}/blobs/uploads/").headers["Location"]
            answer = client.put(httpx.URL(url).join(where), params={"digest": part["digest"]}, content=blob)
            assert answer.status_code == 201, answer.text
    entry = {key: top[key] for key in ("mediaType", "digest", "size")}
    entry["platform"] = {"os": "linux", "architecture": artifact.arch}
    index = json.dumps({"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [entry]}).encode()
    for name, kind, data in ((top["digest"], image.MANIFEST, manifest), (tag, image.INDEX, index)):
        answer = client.put(f"{base}/manifests/{name}", content=data, headers={"Content-Type": kind})
        assert answer.status_code == 201, answer.text
    return f"sha256:{hashlib.sha256(index).hexdigest()}"
