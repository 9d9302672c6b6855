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


def blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def push(url: str, repository: str, tag: str, artifact: Artifact, client: httpx.Client, *, label: str = "") -> str:
    """Puts an image behind an index, as registries of upstream have it; the index's digest.

    label: makes it another image than the one without it.
    """
    base = f"{url}/v2/{repository}"
    with tarfile.open(artifact.local) as tar:
        top = json.loads(content(tar, "index.json"))["manifests"][0]
        manifest = content(tar, blob_path(top["digest"]))
        body = json.loads(manifest)
        parts = [
            (part["digest"], content(tar, blob_path(part["digest"]))) for part in (body["config"], *body["layers"])
        ]
        if label:
            config = json.loads(parts[0][1])
            config.setdefault("config", {})["Labels"] = {"label": label}
            parts[0] = (digest_of(data := json.dumps(config).encode()), data)
            body["config"].update(digest=parts[0][0], size=len(data))
            manifest = json.dumps(body).encode()
            top = {**top, "digest": digest_of(manifest), "size": len(manifest)}
        for digest, blob in parts:
            where = client.post(f"{base}/blobs/uploads/").headers["Location"]
            answer = client.put(httpx.URL(url).join(where), params={"digest": digest}, content=blob)
            assert answer.status_code == 201, answer.text
    entry = {key: top[key] for key in ("mediaType", "digest", "size")}
    entry["platform"] = {"os": "linux", "architecture": artifact.arch}
    index = json.dumps({"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [entry]}).encode()
    for name, kind, data in ((top["digest"], image.MANIFEST, manifest), (tag, image.INDEX, index)):
        answer = client.put(f"{base}/manifests/{name}", content=data, headers={"Content-Type": kind})
        assert answer.status_code == 201, answer.text
    return digest_of(index)
