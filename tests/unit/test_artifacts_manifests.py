"""Manifests of add-ons: fetched once, pinned to what came, refused when they change, read anew when they are a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from artifact_server import Site, serving, sha256

from kprov.addon.choose import chosen
from kprov.artifacts.lock import Lock
from kprov.artifacts.manifests import manifests
from kprov.artifacts.mirror import write_manifest
from kprov.artifacts.progress import Silent
from kprov.errors import ArtifactError
from kprov.model import ArtifactSettings, Cluster

FILE = b"kind: ConfigMap\n"
PATH = "/flannel-io/flannel/releases/download/v0.28.10/kube-flannel.yml"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as here:
        here.files[PATH] = FILE
        yield here


def cluster(manifest: str = "", mirror: str | None = None) -> Cluster:
    """A cluster with flannel: its own manifest, or this one."""

    def fault(path: tuple[str, ...], what: str, *, needed: str = "", todo: str = "", found: str = "") -> None:
        raise AssertionError(f"{path}: {what}")

    entries = {"metrics-server": False, "flannel": {"manifest": manifest} if manifest else True}
    addons = chosen(entries, None, fault, lambda _path, _value: None)
    return Cluster(name="c", versions={}, hosts=(), addons=addons, artifacts=ArtifactSettings(mirror=mirror))


def test_what_came_first_is_pinned_and_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    own = cluster(mirror=site.base)
    (addon,) = own.addons
    lock = tmp_path / "artifacts.lock.yaml"
    assert manifests(own, tmp_path / "cache", Silent(), lock=lock) == {"flannel": FILE.decode()}
    assert Lock(lock).file(addon.manifest) == sha256(FILE)
    site.files[PATH] = b"kind: Evil\n"
    assert manifests(own, tmp_path / "cache", Silent(), lock=lock) == {"flannel": FILE.decode()}
    assert [path for path, _ in site.asked] == [PATH]


def test_another_file_than_the_pinned_one_is_refused(site: Site, tmp_path: Path) -> None:
    own, lock = cluster(mirror=site.base), tmp_path / "artifacts.lock.yaml"
    manifests(own, tmp_path / "cache", Silent(), lock=lock)
    site.files[PATH] = b"kind: Evil\n"
    with pytest.raises(ArtifactError, match="not what it must be") as caught:
        manifests(own, tmp_path / "empty", Silent(), lock=lock)
    assert caught.value.needed == f"sha256 {sha256(FILE)}"
    kept = tmp_path / "cache" / "manifests" / sha256(FILE)
    kept.write_bytes(b"tampered with")
    with pytest.raises(ArtifactError, match="not what it must be"):
        manifests(own, tmp_path / "cache", Silent(), lock=lock)


def test_a_manifest_that_the_inventory_names_does_not_come_from_the_mirror(site: Site, tmp_path: Path) -> None:
    site.files["/mine.yaml"] = FILE
    own = cluster(f"{site.base}/mine.yaml", mirror="http://127.0.0.1:1")
    assert manifests(own, tmp_path, Silent(), lock=None) == {"flannel": FILE.decode()}


def test_a_file_of_ones_own_is_read_anew_and_not_pinned(tmp_path: Path) -> None:
    file, lock = tmp_path / "mine.yaml", tmp_path / "artifacts.lock.yaml"
    for text in ("a: 1\n", "a: 2\n"):
        file.write_text(text)
        assert manifests(cluster(str(file)), tmp_path, Silent(), lock=lock) == {"flannel": text}
    assert not lock.exists()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError, match="manifest of the add-on flannel cannot be read"):
        manifests(cluster(str(file)), tmp_path, Silent(), lock=lock)


def test_one_that_is_not_there_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        manifests(cluster(f"{site.base}/none.yaml"), tmp_path, Silent(), lock=None)
    assert "404" in caught.value.found
    assert manifests(replace(cluster(), addons=()), tmp_path, Silent(), lock=None) == {}


def test_a_mirror_folder_has_it_under_the_urls_own_path(tmp_path: Path) -> None:
    write_manifest("https://example.org/a/b.yml", "x: 1\n", tmp_path)
    assert (tmp_path / "a" / "b.yml").read_text() == "x: 1\n"
    with pytest.raises(ArtifactError, match="out of the mirror folder"):
        write_manifest("https://example.org/../../b.yml", "x: 1\n", tmp_path)
