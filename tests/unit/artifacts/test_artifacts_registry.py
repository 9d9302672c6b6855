"""An image is pulled through tokens, redirects and an index, and only what its digests say is written."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from artifact_progress import Kept
from artifact_server import Site, serving

from kprov.artifacts.fetch import Downloads
from kprov.artifacts.registry import parse_reference, pull
from kprov.values.errors import ArtifactError

REFERENCE = "registry.example.org/coredns/coredns:v1.14.7"
MANIFEST = "/v2/coredns/coredns/manifests/v1.14.7"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


def pulled(site: Site, tmp_path: Path, digest: str = "", arch: str = "amd64") -> tuple[str, Path]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    downloads = Downloads(site.base, attempts=2, pause=lambda seconds: None)
    try:
        found = pull(REFERENCE, arch, digest, tmp_path / "image.tar", scratch, downloads, Kept())
    finally:
        downloads.close()
    return found, tmp_path / "image.tar"


def test_an_image_comes_whole_under_its_own_name(site: Site, tmp_path: Path) -> None:
    digest = site.put_image("coredns/coredns", "v1.14.7", "amd64")
    found, tar = pulled(site, tmp_path)
    assert found == digest
    with tarfile.open(tar) as opened:
        index = opened.extractfile("index.json")
        assert index is not None
        (entry,) = json.load(index)["manifests"]
        names = set(opened.getnames())
        manifest = opened.extractfile(f"blobs/{entry['digest'].replace(':', '/')}")
        assert manifest is not None
        body = json.load(manifest)
    assert entry["annotations"]["io.containerd.image.name"] == REFERENCE
    for descriptor in [body["config"], *body["layers"]]:
        assert f"blobs/{descriptor['digest'].replace(':', '/')}" in names


@pytest.mark.parametrize(
    ("reference", "base"),
    [
        ("quay.io/a/b:v1", "https://quay.io/v2/a/b"),
        ("docker.io/a/b:v1", "https://registry-1.docker.io/v2/a/b"),
    ],
)
def test_a_registry_is_asked_where_it_is(reference: str, base: str) -> None:
    assert parse_reference(reference).base == base


def test_a_registry_that_wants_a_token_gets_one(site: Site, tmp_path: Path) -> None:
    site.put_image("coredns/coredns", "v1.14.7", "amd64")
    site.token = "anonymous-1"
    pulled(site, tmp_path)
    assert [path for path, _ in site.asked].count("/token") == 1  # and it is used again for the blobs


def test_a_token_is_asked_where_a_redirect_leads(site: Site, tmp_path: Path) -> None:
    with serving(Site()) as behind:
        behind.put_image("coredns/coredns", "v1.14.7", "amd64")
        behind.token = "anonymous-2"
        site.redirects = {path: behind.base + path for path in behind.files}
        found, _ = pulled(site, tmp_path)
    assert found.startswith("sha256:")
    assert "/token" in {path for path, _ in behind.asked}
    assert "/token" not in {path for path, _ in site.asked}


def test_a_pinned_digest_that_the_tag_left_is_not_replaced(site: Site, tmp_path: Path) -> None:
    site.put_image("coredns/coredns", "v1.14.7", "amd64")
    with pytest.raises(ArtifactError):
        pulled(site, tmp_path, digest=f"sha256:{'2' * 64}")
    assert not (tmp_path / "image.tar").exists()


def test_a_pinned_digest_is_asked_for_by_digest(site: Site, tmp_path: Path) -> None:
    digest = site.put_image("coredns/coredns", "v1.14.7", "amd64")
    site.files[MANIFEST] = b"moved"
    assert pulled(site, tmp_path, digest=digest)[0] == digest


@pytest.mark.parametrize("what", ["blobs", "manifests/sha256"])
def test_content_that_is_not_its_digest_is_refused(site: Site, tmp_path: Path, what: str) -> None:
    site.put_image("coredns/coredns", "v1.14.7", "amd64")
    for path in [path for path in site.files if what in path]:
        site.files[path] = site.files[path][:-1] + b"X"
    with pytest.raises(ArtifactError):
        pulled(site, tmp_path)
    assert not (tmp_path / "image.tar").exists()


def test_an_index_without_the_architecture_says_which_there_are(site: Site, tmp_path: Path) -> None:
    site.put_image("coredns/coredns", "v1.14.7", "amd64")
    with pytest.raises(ArtifactError) as caught:
        pulled(site, tmp_path, arch="arm64")
    assert caught.value.found == "linux/s390x, linux/amd64"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"mediaType": "text/html"}'])
def test_what_is_no_manifest_is_an_error_of_ours(site: Site, tmp_path: Path, content: bytes) -> None:
    site.files[MANIFEST] = content
    with pytest.raises(ArtifactError):
        pulled(site, tmp_path)


def test_references_fall_into_their_parts() -> None:
    name = parse_reference("registry.k8s.io:443/coredns/coredns:v1.14.7")
    assert (name.host, name.repository, name.tag) == ("registry.k8s.io:443", "coredns/coredns", "v1.14.7")
    for wrong in ("pause", "pause:1", "host/pause", "host/../x y:1"):
        with pytest.raises(ArtifactError):
            parse_reference(wrong)
