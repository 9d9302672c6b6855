"""Write container images as OCI layout tars that `ctr images import` takes: the same bytes for the same input.

Two ways in: one static program (an image built here), or a manifest with its blobs as a registry served them. Nothing
here runs containers, and an image built here is never given upstream's name.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A blob by its content: media type, digest (`sha256:HEX`) and size in bytes."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True)
class OwnImage:
    """An image with one static program as its only file. user: `UID:GID`, numbers, as no passwd file is in it."""

    reference: str
    arch: str
    program: Path
    name: str  # the program becomes /NAME and the entry point
    user: str = "0:0"
    arguments: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def write_own(image: OwnImage, target: Path) -> None:
    """Write an OCI layout tar of `image` to `target`."""
    layer = _layer(image.program, image.name)
    with layer:
        digest, size = _measure(layer)
        config = _encode(_config(image, digest))
        blobs: dict[str, bytes | IO[bytes]] = {digest: layer, _digest(config): config}
        manifest = _encode(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": Descriptor(media_type=_CONFIG, digest=_digest(config), size=len(config)).as_json(),
                "layers": [Descriptor(media_type=_LAYER, digest=digest, size=size).as_json()],
            }
        )
        blobs[_digest(manifest)] = manifest
        top = Descriptor(media_type=MANIFEST, digest=_digest(manifest), size=len(manifest))
        write_layout(target, image.reference, image.arch, top, blobs)


def write_layout(
    target: Path, reference: str, arch: str, manifest: Descriptor, blobs: Mapping[str, bytes | IO[bytes]]
) -> None:
    """Write an OCI layout tar with one image in it.

    Args:
        reference: what the image is called after the import, e.g. `registry.k8s.io/pause:3.10.2`.
        blobs: digest → content (bytes, or a seekable stream), the manifest itself included.
    """
    entry = manifest.as_json() | {
        "platform": {"architecture": arch, "os": "linux"},
        "annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": _tag(reference)},
    }
    index = _encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", index)
        for digest in sorted(blobs):
            _add(tar, f"blobs/{digest.replace(':', '/')}", blobs[digest])


def _tag(reference: str) -> str:
    return reference.rsplit(":", 1)[1]


def _config(image: OwnImage, layer: str) -> dict[str, Any]:
    return {
        "architecture": image.arch,
        "os": "linux",
        "created": _EPOCH,
        "config": {
            "Entrypoint": [f"/{image.name}"],
            "Cmd": list(image.arguments),
            "Env": ["PATH=/"],
            "User": image.user,
            "WorkingDir": "/",
            "Labels": dict(image.labels),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created": _EPOCH, "created_by": "kprov"}],
    }


def _layer(program: Path, name: str) -> IO[bytes]:
    """An uncompressed layer: it is imported without unpacking, and the whole tar compresses as well."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
        with program.open("rb") as stream:
            _add(tar, name, stream, mode=0o755)
    return buffer


def _add(tar: tarfile.TarFile, name: str, content: bytes | IO[bytes], mode: int = 0o644) -> None:
    """Add a file owned by root, dated 1970, so that two runs write the same bytes."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    entry = tarfile.TarInfo(name)
    entry.size = stream.seek(0, io.SEEK_END)
    entry.mode = mode
    stream.seek(0)
    tar.addfile(entry, stream)


def _measure(stream: IO[bytes]) -> tuple[str, int]:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}", size


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
