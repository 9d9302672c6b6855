"""Images are OCI layouts whose every digest is true, the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from artifact_server import program

from kprov.artifacts.image import OwnImage, write_own


def write(tmp_path: Path, name: str = "one.tar", reference: str = "kprov.local/pause:3.10.2") -> Path:
    binary = tmp_path / "binary"
    binary.write_bytes(program("pause", "amd64"))
    own = OwnImage(
        reference=reference, arch="amd64", program=binary, name="pause", user="65535:65535", arguments=["-v"],
        labels={"org.opencontainers.image.vendor": "kprov"},
    )  # fmt: skip
    write_own(own, tmp_path / name)
    return tmp_path / name


def read(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as opened:
        members = opened.getmembers()
        assert all(member.isreg() for member in members)
        found = {}
        for member in members:
            stream = opened.extractfile(member)
            assert stream is not None
            found[member.name] = stream.read()
    return found


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
    assert len(content) == descriptor["size"]
    return content


def test_the_layout_is_complete_and_every_digest_is_true(tmp_path: Path) -> None:
    files = read(write(tmp_path))
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "kprov.local/pause:3.10.2"
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    manifest = json.loads(blob(files, entry))
    config = json.loads(blob(files, manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]  # true because the layer is not compressed
    assert layer["mediaType"].endswith(".tar")
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert config["config"]["User"] == "65535:65535"
    assert config["config"]["Cmd"] == ["-v"]
    assert config["config"]["Labels"] == {"org.opencontainers.image.vendor": "kprov"}
    with tarfile.open(fileobj=io.BytesIO(blob(files, layer))) as inner:
        member = inner.getmember("pause")
        assert (member.mode, member.uid, member.gid, member.mtime) == (0o755, 0, 0, 0)
        stream = inner.extractfile(member)
        assert stream is not None
        assert stream.read() == program("pause", "amd64")
    assert len(files) == 5  # layout, index, manifest, config, layer


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path, "a.tar").read_bytes()
    assert write(tmp_path, "b.tar").read_bytes() == first


@pytest.mark.parametrize("reference", ["kprov.local/pause:3.10.1", "registry.k8s.io/pause:3.10.2"])
def test_another_name_gives_another_image(tmp_path: Path, reference: str) -> None:
    assert write(tmp_path, "a.tar").read_bytes() != write(tmp_path, "b.tar", reference).read_bytes()
