"""Builds are found again only under all they depend on, and what stops one is said plainly."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from artifact_progress import Kept
from go_standin import Go

from kprov.artifacts import build, catalog, own_image, toolchain
from kprov.artifacts.cache import Cache
from kprov.artifacts.catalog import resolve_versions
from kprov.artifacts.needed import needed
from kprov.values.errors import ArtifactError
from kprov.values.model import Cluster

VERSIONS = resolve_versions("1.37")
BUILT = needed(Cluster(name="c", versions=VERSIONS, hosts=())).components


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Go]:
    monkeypatch.setattr(toolchain, "native", lambda: "amd64")
    yield Go(tmp_path / "go", monkeypatch)
    toolchain._ask.cache_clear()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def etcd(tmp_path: Path) -> build.Target:
    """etcd's target with a folder of its own, that a test may change."""
    target = build.component_target("etcd", "3.7.3")
    folder = tmp_path / target.folder.name
    shutil.copytree(target.folder, folder)
    return replace(target, folder=folder)


def test_a_component_is_built_in_one_call_and_its_programs_get_their_own_names(
    go: Go, cache: Cache, etcd: build.Target
) -> None:
    progress = Kept()
    made = build.build(etcd, "amd64", cache, progress)
    assert set(made) == {"etcd", "etcdctl", "etcdutl"}
    assert Path(made["etcd"].local).read_bytes().endswith(b" server")
    assert (made["etcd"].version, made["etcd"].url) == ("3.7.3", "")
    assert len(go.builds) == 1
    assert "GOFLAGS=-mod=readonly -buildvcs=false -gcflags=all=-dwarf=false CGO=0 ARCH=amd64" in go.builds[0]
    assert "building etcd 3.7.3 for amd64 from pinned Go modules" in progress.notes
    assert progress.totals == {"build etcd 3.7.3 (amd64)": 2}


def test_the_second_time_nothing_is_built(go: Go, cache: Cache, etcd: build.Target) -> None:
    first = build.build(etcd, "amd64", cache, Kept())
    progress = Kept()
    assert build.build(etcd, "amd64", cache, progress) == first
    assert len(go.builds) == 1
    assert progress.notes == []


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_other_modules_are_another_build(go: Go, cache: Cache, etcd: build.Target, file: str) -> None:
    build.build(etcd, "amd64", cache, Kept())
    path = etcd.folder / file
    path.write_text(path.read_text() + "\n")
    build.build(etcd, "amd64", cache, Kept())
    assert len(go.builds) == 2


def test_other_flags_architecture_version_or_go_are_another_build(go: Go, cache: Cache, etcd: build.Target) -> None:
    keys = {build.key(etcd, "amd64"), build.key(etcd, "arm64")}
    keys.add(build.key(replace(etcd, build=replace(etcd.build, tags=("x",))), "amd64"))
    keys.add(build.key(replace(etcd, build=replace(etcd.build, ldflags=("-X a.b={version}",))), "amd64"))
    keys.add(build.key(replace(etcd, programs={"etcd": etcd.programs["etcd"]}), "amd64"))
    go.version("go1.26.9")
    keys.add(build.key(etcd, "amd64"))
    assert len(keys) == 6


def test_a_program_that_is_gone_from_the_cache_is_built_again(go: Go, cache: Cache, etcd: build.Target) -> None:
    made = build.build(etcd, "amd64", cache, Kept())
    Path(made["etcdctl"].local).unlink()
    assert build.build(etcd, "amd64", cache, Kept()) == made
    assert len(go.builds) == 2


def test_kubernetes_is_told_its_version_and_the_date_of_its_module(go: Go, cache: Cache) -> None:
    build.build(build.component_target("kubernetes", "1.37.2"), "amd64", cache, Kept())
    (call,) = go.builds
    assert "-X k8s.io/component-base/version.gitVersion=v1.37.2" in call
    assert "version.gitMajor=1 " in call
    assert "version.gitMinor=37 " in call
    assert "version.buildDate=2026-10-27T12:01:04Z" in call


def test_a_build_that_fails_shows_its_last_lines_and_leaves_nothing(go: Go, cache: Cache, etcd: build.Target) -> None:
    go.broken.touch()
    with pytest.raises(ArtifactError) as caught:
        build.build(etcd, "amd64", cache, Kept())
    assert "404 Not Found" in caught.value.log
    assert list(cache.records()) == []
    assert list((cache.root / "scratch").iterdir()) == []


def test_without_go_the_error_says_what_to_install(go: Go, cache: Cache, etcd: build.Target) -> None:
    go.remove("go")
    with pytest.raises(ArtifactError) as caught:
        build.build(etcd, "amd64", cache, Kept())
    assert caught.value.found == "no `go` on PATH"
    assert caught.value.needed == "Go 1.26.0 or later"


def test_a_go_that_is_too_old_is_named(go: Go, cache: Cache, etcd: build.Target) -> None:
    go.version("go1.25.12")
    with pytest.raises(ArtifactError) as caught:
        build.build(etcd, "amd64", cache, Kept())
    assert caught.value.found == "Go 1.25.12"
    assert go.builds == []


@pytest.mark.parametrize("missing", ["gcc", "pkg-config"])
def test_what_runc_needs_beyond_go_is_named(
    go: Go, cache: Cache, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = {"gcc", "pkg-config"} - {missing}
    monkeypatch.setattr("kprov.artifacts.toolchain.shutil.which", lambda name: name if name in present else None)
    with pytest.raises(ArtifactError) as caught:
        build.build(build.component_target("runc", "1.5.2"), "amd64", cache, Kept())
    assert missing in caught.value.found
    assert "libseccomp-dev" in caught.value.todo


def test_libseccomp_is_asked_for_before_the_build(go: Go, cache: Cache) -> None:
    go._write("pkg-config", "#!/bin/sh\nexit 1\n")
    with pytest.raises(ArtifactError, match="has C in it") as caught:
        build.build(build.component_target("runc", "1.5.2"), "amd64", cache, Kept())
    assert "libseccomp" in caught.value.found
    assert go.builds == []


def test_runc_for_another_machine_asks_for_a_cross_compiler(go: Go, cache: Cache) -> None:
    with pytest.raises(ArtifactError) as caught:
        build.build(build.component_target("runc", "1.5.2"), "arm64", cache, Kept())
    assert "aarch64-linux-gnu-gcc" in caught.value.found
    assert "gcc-aarch64-linux-gnu libseccomp-dev:arm64" in caught.value.todo


def test_a_program_for_the_wrong_machine_never_enters_the_cache(go: Go, cache: Cache, etcd: build.Target) -> None:
    script = go._folder / "go"
    script.write_text(script.read_text().replace("\\267", "\\076"))
    with pytest.raises(ArtifactError, match="not a program for arm64"):
        build.build(etcd, "arm64", cache, Kept())
    assert list(cache.records()) == []


def test_a_program_that_is_c_is_made_by_one_call_of_the_compiler(go: Go, cache: Cache) -> None:
    """From the source in the very module that is pinned; Go is not asked for it."""
    source = go.modules / "pinns" / "src"
    source.mkdir(parents=True)
    for name in ("sysctl.c", "pinns.c", "sysctl.h"):
        (source / name).touch()
    made = build.build(build.component_target("crio", "1.36.3"), "amd64", cache, Kept())
    assert set(made) == {"crio", "pinns"}
    assert Path(made["pinns"].local).read_bytes().endswith(b" c")
    (call,) = [call for call in go.calls if call.startswith("gcc ")]
    assert call.endswith(f" {source}/pinns.c {source}/sysctl.c")
    assert " -static " in call
    (built,) = go.builds
    assert built.split(" | ")[0].endswith(" github.com/cri-o/cri-o/cmd/crio")
    assert "-linkmode external -extldflags -static" in built, "it asks for no C library of the host's"


def test_build_all_builds_every_component_once(go: Go, tmp_path: Path) -> None:
    made = build.build_all(BUILT, "amd64", tmp_path / "cache", Kept())
    assert len(made) == 18
    assert len(go.builds) == 5
    assert build.build_all(BUILT, "amd64", tmp_path / "cache", Kept()) == made
    assert len(go.builds) == 5


def test_an_image_built_here_never_bears_upstreams_name(go: Go, cache: Cache) -> None:
    for entry in catalog.load().images.values():
        image = own_image.make(entry, VERSIONS[entry.component], "amd64", cache, Kept())
        assert image.reference.startswith("kprov.local/")
        assert b"kprov" in Path(image.local).read_bytes()
        assert own_image.find(entry, VERSIONS[entry.component], "amd64", cache) == image
    assert len(go.builds) == 3
    own_image.make(catalog.load().images["image-pause"], VERSIONS["pause"], "amd64", cache, Kept())
    assert len(go.builds) == 3
