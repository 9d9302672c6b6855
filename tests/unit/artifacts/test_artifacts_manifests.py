"""Manifests of add-ons: fetched once, pinned to what came, refused when they change, read again when they are a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from artifact_server import Site, serving, sha256

from kprov.addon.choose import chosen
from kprov.addon.describe import described, shelf
from kprov.artifacts import build
from kprov.artifacts.lock import Lock
from kprov.artifacts.manifests import manifests
from kprov.artifacts.mirror import write_manifest
from kprov.artifacts.progress import Silent
from kprov.values.errors import ArtifactError
from kprov.values.model import ArtifactSettings, Cluster
from kprov.values.resources import Artifact

FILE = b"kind: ConfigMap\n"
PATH = "/flannel-io/flannel/releases/download/v0.28.10/kube-flannel.yml"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as here:
        here.files[PATH] = FILE
        yield here


def cluster(
    manifest: str = "", mirror: str | None = None, source: Literal["auto", "upstream", "modules"] = "upstream"
) -> Cluster:
    """A cluster with flannel: its own manifest, or this one."""

    def fault(path: tuple[str, ...], what: str, *, needed: str = "", todo: str = "", found: str = "") -> None:
        raise AssertionError(f"{path}: {what}")

    entries = {"metrics-server": False, "flannel": {"manifest": manifest} if manifest else True}
    addons = chosen(entries, None, fault, lambda _path, _value: None)
    settings = ArtifactSettings(mirror=mirror, source=source)
    return Cluster(name="c", versions={"kubernetes": "1.37.2"}, hosts=(), addons=addons, artifacts=settings)


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


class Notes(Silent):
    """Keeps what a user would be told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the Go client, which has flannel's module in a folder, and for kubectl; the log of their calls."""
    folder = tmp_path / "programs"
    folder.mkdir()
    log = folder / "log"
    answer = json.dumps({"Dir": "/modules/flannel"})
    for name, says in (
        ("go", f"if [ $1 = env ]; then echo go1.26.8; else echo '{answer}'; fi"),
        ("kubectl", "echo $*"),
    ):
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $* in $(basename $PWD)" >> {log}\n{says}\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    kubectl = Artifact(
        name="kubectl", version="1.37.2", arch="amd64", sha256="", size=0, local=str(folder / "kubectl"), reference=""
    )
    monkeypatch.setattr(build, "build", lambda *_: {"kubectl": kubectl})
    return log


RENDERED = "kustomize /modules/flannel/Documentation/kustomization/kube-flannel\n"


def test_where_components_are_built_from_modules_it_comes_from_its_module(module: Path, tmp_path: Path) -> None:
    """It is said, once; a second time it is in the cache, and an upstream that comes and goes changes nothing."""
    lock, notes = tmp_path / "artifacts.lock.yaml", Notes()
    Lock(lock).choose("modules")
    for _ in range(2):
        assert manifests(cluster(source="auto"), tmp_path, notes, lock=lock) == {"flannel": RENDERED}
    assert len(notes.told) == 1
    assert "pinned Go module github.com/flannel-io/flannel" in notes.told[0]
    calls = [line for line in module.read_text().splitlines() if not line.startswith("go env")]
    assert calls == [
        "go mod download -json github.com/flannel-io/flannel in flannel-0.28.10",
        f"kubectl {RENDERED.strip()} in flannel-0.28.10",
    ]
    assert "github.com/flannel-io/flannel@v0.28.10/Documentation" in lock.read_text()
    assert cluster().addons[0].manifest not in lock.read_text()


def test_as_long_as_nothing_is_decided_upstream_is_asked_first(site: Site, module: Path, tmp_path: Path) -> None:
    own = cluster(mirror=site.base, source="auto")
    assert manifests(own, tmp_path, Silent(), lock=None) == {"flannel": FILE.decode()}
    del site.files[PATH]
    assert manifests(own, tmp_path, Silent(), lock=None) == {"flannel": RENDERED}


def test_a_module_never_takes_the_place_of_what_was_asked_for(site: Site, module: Path, tmp_path: Path) -> None:
    site.files["/mine.yaml"] = FILE
    own = cluster(f"{site.base}/mine.yaml", source="modules")
    assert manifests(own, tmp_path, Silent(), lock=None) == {"flannel": FILE.decode()}
    del site.files[PATH]
    with pytest.raises(ArtifactError):
        manifests(cluster(mirror=site.base), tmp_path, Silent(), lock=None)
    assert not module.exists()


def test_a_module_that_is_not_what_was_pinned_is_told(module: Path, tmp_path: Path) -> None:
    (module.parent / "go").write_text(
        "#!/bin/sh\n[ $1 = env ] && echo go1.26.8 && exit\necho SECURITY ERROR >&2; exit 1\n"
    )
    with pytest.raises(ArtifactError, match=r"module of flannel-0\.28\.10 cannot be had") as caught:
        manifests(cluster(source="modules"), tmp_path, Silent(), lock=None)
    assert "SECURITY ERROR" in caught.value.log


def test_every_version_of_a_network_with_a_module_is_pinned() -> None:
    for name, path in shelf(None).items():
        description = described(path, own=True)
        if description.manifest_module:
            for version in description.versions:
                pinned = build.module_folder(name, version)
                line = f"{description.manifest_module.path} v{version}"
                assert f"require {line}" in (pinned / "go.mod").read_text()
                assert f"{line} h1:" in (pinned / "go.sum").read_text()
