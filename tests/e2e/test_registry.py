"""Pulls from a real registry program, built from pinned modules: by tag, by pinned digest, and what is refused."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from registry_program import content, push, running

from kprov.artifacts import catalog, own_image, registry
from kprov.artifacts.cache import Cache, default_root
from kprov.artifacts.fetch import Downloads
from kprov.artifacts.progress import Silent
from kprov.values.errors import ArtifactError

pytestmark = pytest.mark.lab

VERSIONS = catalog.resolve_versions("")
COREDNS = catalog.load().images["image-coredns"]
REFERENCE = COREDNS.reference.format(version=VERSIONS["coredns"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The registry's URL."""
    with running(tmp_path_factory.mktemp("registry")) as program:
        yield program.url


@pytest.fixture(scope="module")
def pushed(site: str) -> str:
    """CoreDNS' image behind an index, as registry.k8s.io has it; the index's digest."""
    artifact = own_image.make(COREDNS, VERSIONS["coredns"], "amd64", Cache(default_root()), Silent())
    name = registry.parse_reference(REFERENCE)
    with httpx.Client(timeout=60) as client:
        return push(site, name.repository, name.tag, artifact, client)


def pull(site: str, folder: Path, digest: str = "", arch: str = "amd64") -> str:
    downloads = Downloads(site)
    try:
        return registry.pull(REFERENCE, arch, digest, folder / "image.tar", folder, downloads, Silent())
    finally:
        downloads.close()


def test_a_pull_by_tag_gives_the_digest_to_pin_and_one_by_digest_the_same_bytes(
    site: str, pushed: str, tmp_path: Path
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    assert pull(site, tmp_path / "1") == pushed
    assert pull(site, tmp_path / "2", pushed) == pushed
    first, second = ((tmp_path / number / "image.tar").read_bytes() for number in "12")
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    with tarfile.open(tmp_path / "1" / "image.tar") as tar:
        (entry,) = json.loads(content(tar, "index.json"))["manifests"]
        assert entry["annotations"]["io.containerd.image.name"] == REFERENCE
        for name in tar.getnames():
            if name.startswith("blobs/"):
                assert hashlib.sha256(content(tar, name)).hexdigest() == name.rpartition("/")[2]


def test_a_digest_that_the_registry_does_not_have_is_never_replaced(site: str, pushed: str, tmp_path: Path) -> None:
    other = f"sha256:{'2' * 64}"
    assert other != pushed
    with pytest.raises(ArtifactError) as caught:
        pull(site, tmp_path, other)
    assert caught.value.needed == other
    assert "artifacts.lock.yaml" in caught.value.todo
    assert not (tmp_path / "image.tar").exists()


def test_an_architecture_that_is_not_there_is_named(site: str, pushed: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="arm64"):
        pull(site, tmp_path, pushed, arch="arm64")
