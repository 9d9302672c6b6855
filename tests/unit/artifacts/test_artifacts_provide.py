"""Where artifacts come from is decided once, told, kept, and costs nothing when all is there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from artifact_progress import Kept
from artifact_server import Site, program, serving, sha256, tar_gz
from go_standin import Go

from kprov.artifacts import toolchain
from kprov.artifacts import upstream as upstream_module
from kprov.artifacts.catalog import resolve_versions
from kprov.artifacts.provide import Provided, provide
from kprov.values.addon import Addon, AddonImage, AddonProgram, Description
from kprov.values.errors import ArtifactError
from kprov.values.model import ArtifactSettings, Cluster, Connection, Host
from kprov.values.release import Component, ImageEntry

VERSIONS = dict(resolve_versions("1.37"))
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        site.put_upstream(VERSIONS, "amd64")
        yield site


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Go]:
    monkeypatch.setattr(toolchain, "native", lambda: "amd64")
    yield Go(tmp_path / "go", monkeypatch)
    toolchain._ask.cache_clear()


class Run:
    """One inventory with its lock file and a cache, asked again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "artifacts.lock.yaml"
        self.progress = Kept()

    def __call__(
        self,
        source: str = "upstream",
        mirror: str = NOBODY,
        archs: tuple[str, ...] = ("amd64",),
        addons: tuple[Addon, ...] = (),
        sources: Mapping[str, str] = MappingProxyType({}),
    ) -> Provided:
        self.progress = Kept()
        settings = ArtifactSettings(source=source, mirror=mirror, sources=sources)  # type: ignore[arg-type]
        cluster = Cluster(name="c", versions=VERSIONS, hosts=(), artifacts=settings, addons=addons)
        return provide(cluster, archs, self.folder / "cache", self.progress, lock=self.lock)

    @property
    def locked(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.lock.read_text()))


def without_mirror(found: Provided) -> Provided:
    return {key: replace(artifact, copy="") for key, artifact in found.items()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_upstream_gives_every_program_and_image_verified_and_pinned(site: Site, run: Run) -> None:
    found = run(mirror=site.base)
    assert len(found) == 20
    kubelet, etcdctl = found[("kubelet", "amd64")], found[("etcdctl", "amd64")]
    assert Path(kubelet.local).read_bytes() == program("kubelet", "amd64")
    assert kubelet.copy == f"{site.base}/sha256/{kubelet.sha256}"
    assert kubelet.url == f"{site.base}/release/v1.37.2/bin/linux/amd64/kubelet"
    assert (kubelet.url_sha256, kubelet.member) == ("", "")
    assert etcdctl.member == "etcd-v3.7.3-linux-amd64/etcdctl"
    assert etcdctl.url_sha256 == run.locked["files"][
        "https://github.com/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz"
    ]  # fmt: skip
    assert run.locked["files"]["https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet"] == kubelet.sha256
    assert found[("image-coredns", "amd64")].reference == "registry.k8s.io/coredns/coredns:v1.14.7"
    assert found[("image-coredns", "amd64")].url == ""
    assert set(run.locked["images"]) == {
        "registry.k8s.io/pause:3.10.2", "registry.k8s.io/coredns/coredns:v1.14.7",
    }  # fmt: skip
    assert any("artifacts.lock.yaml" in note for note in run.progress.notes)


def addon_with(entry: ImageEntry) -> Addon:
    description = Description(name="a", folder=Path("a"), summary="", namespace="a", images={"own": entry})
    image = AddonImage(name="own", version="1.0.0", entry=entry)
    return Addon(description=description, version="1", parameters={}, images=(image,))


def test_an_image_that_is_only_ever_built_is_not_asked_for_upstream(site: Site, go: Go, run: Run) -> None:
    entry = ImageEntry(
        name="image-own",
        component="pause",
        reference="",
        built="kprov.local/own:{version}",
        program="pause",
        package=".",
    )
    found = run(mirror=site.base, addons=(addon_with(entry),))
    assert not any(name == "image-own" for name, _ in found)
    built = run("modules", site.base, addons=(addon_with(entry),))
    assert built[("image-own", "amd64")].reference == "kprov.local/own:1.0.0"


def addon_with_program(version: str) -> Addon:
    component = Component(
        name="pause",
        module="kprov.local/pause",
        programs={"guard": "."},
        url="https://github.com/example/guard/releases/download/v{version}/guard-{arch}.tar.gz",
        member="guard-prod",
        checksum="https://github.com/example/guard/releases/download/v{version}/checksums.txt",
    )
    description = Description(name="a", folder=Path("a"), summary="", namespace="a", programs={"guard": component})
    own = AddonProgram(name="guard", version=version, component=component)
    return Addon(description=description, version=version, parameters={}, images=(), programs=(own,))


def test_a_program_that_an_add_on_has_on_hosts_is_had_as_those_of_components_are(site: Site, go: Go, run: Run) -> None:
    content = tar_gz({"guard-prod": program("guard", "amd64")})
    path = "/example/guard/releases/download/v2.0.1"
    site.files[f"{path}/guard-amd64.tar.gz"] = content
    site.files[f"{path}/checksums.txt"] = f"{sha256(content)}  guard-amd64.tar.gz\n".encode()
    found = run(mirror=site.base, addons=(addon_with_program("2.0.1"),))
    guard = found[("guard", "amd64")]
    assert Path(guard.local).read_bytes() == program("guard", "amd64")
    assert (guard.version, guard.member) == ("2.0.1", "guard-prod")
    assert run.locked["files"][f"https://github.com{path}/guard-amd64.tar.gz"] == sha256(content)
    built = run("modules", site.base, addons=(addon_with_program("2.0.1"),))
    assert (built[("guard", "amd64")].version, built[("guard", "amd64")].url) == ("2.0.1", "")
    assert ("guard", "amd64") not in run("modules", site.base)


def test_each_archive_is_fetched_once(site: Site, run: Run) -> None:
    run(mirror=site.base)
    paths = [path for path, _ in site.asked]
    assert paths.count("/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz") == 1
    assert len(paths) == len(set(paths))


def test_the_second_run_asks_nobody_and_reads_no_artifact(
    site: Site, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(mirror=site.base)
    site.asked.clear()
    monkeypatch.delattr(hashlib, "file_digest")
    assert run(mirror=site.base) == first
    assert site.asked == []
    assert run.progress.notes == []


def test_another_inventory_pins_what_the_cache_already_verified(site: Site, run: Run) -> None:
    run(mirror=site.base)
    pinned = run.lock.read_text()
    run.lock.unlink()
    site.asked.clear()
    run(mirror=site.base)
    assert site.asked == []
    assert run.lock.read_text() == pinned


def test_a_pin_wins_over_what_upstream_publishes_now(site: Site, run: Run) -> None:
    url = "https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet"
    run.lock.write_text(yaml.safe_dump({"files": {url: "c" * 64}}))
    with pytest.raises(ArtifactError) as caught:
        run(mirror=site.base)
    assert caught.value.needed == f"sha256 {'c' * 64}"
    assert run.locked["files"][url] == "c" * 64


def test_a_cached_file_that_the_lock_does_not_want_is_not_used(site: Site, run: Run) -> None:
    url = "https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet"
    run(mirror=site.base)
    run.lock.write_text(yaml.safe_dump({"files": {url: "c" * 64}}))
    with pytest.raises(ArtifactError, match="not what it must be"):
        run(mirror=site.base)


def test_a_program_for_another_machine_is_refused(site: Site, run: Run) -> None:
    path = "/release/v1.37.2/bin/linux/amd64/kubelet"
    content = program("kubelet", "arm64")
    site.files[path] = content
    site.files[f"{path}.sha256"] = sha256(content).encode()
    with pytest.raises(ArtifactError, match="kubelet is not a program for amd64"):
        run(mirror=site.base)


def test_a_version_that_upstream_has_not_is_named_by_its_url(site: Site, run: Run) -> None:
    del site.files["/release/v1.37.2/bin/linux/amd64/kubelet.sha256"]
    with pytest.raises(ArtifactError) as caught:
        run(mirror=site.base)
    assert caught.value.where.endswith("/kubelet.sha256")
    assert "404" in caught.value.found


def test_a_corrupted_file_is_an_error_once_and_fetched_anew_then(site: Site, run: Run) -> None:
    first = run(mirror=site.base)
    Path(first[("runc", "amd64")].local).write_bytes(b"bad")
    with pytest.raises(ArtifactError, match="cached runc"):
        run(mirror=site.base)
    assert run(mirror=site.base) == first


def test_both_architectures_are_provided_side_by_side(site: Site, run: Run) -> None:
    site.put_upstream(VERSIONS, "amd64", "arm64")
    found = run(mirror=site.base, archs=("arm64", "amd64"))
    assert len(found) == 40
    for (name, arch), artifact in found.items():
        assert artifact.arch == arch
        assert name.startswith("image-") or Path(artifact.local).read_bytes() == program(name, arch)


def test_an_unknown_architecture_is_refused(run: Run) -> None:
    with pytest.raises(ArtifactError, match="architecture"):
        run(archs=("amd64", "riscv64"))


def test_auto_takes_upstream_when_it_answers(site: Site, go: Go, run: Run) -> None:
    assert run("auto", site.base)[("kubelet", "amd64")].url
    assert run.locked["source"] == "upstream"
    assert go.builds == []


def test_auto_builds_when_upstream_does_not_answer_and_says_so(go: Go, run: Run) -> None:
    found = run("auto")
    assert found[("kubelet", "amd64")].url == ""
    assert found[("image-coredns", "amd64")].reference == "kprov.local/coredns:1.14.7"
    assert any("cannot be had: building from pinned Go modules" in note for note in run.progress.notes)
    assert run.locked["source"] == "modules"


def test_auto_builds_when_the_mirror_is_a_folder_for_hosts_only(site: Site, go: Go, run: Run) -> None:
    site.files = {"/contents.txt": b""}
    assert run("auto", site.base)[("kubelet", "amd64")].url == ""
    assert [path for path, _ in site.asked] == ["/release/v1.37.2/bin/linux/amd64/kube-apiserver.sha256"]
    assert run.locked["source"] == "modules"


def test_a_network_that_comes_back_changes_nothing(site: Site, go: Go, run: Run) -> None:
    first = run("auto")
    assert without_mirror(run("auto", site.base)) == without_mirror(first)
    assert site.asked == []
    assert run.progress.notes == []


def test_auto_without_a_lock_takes_what_is_complete_in_the_cache(site: Site, go: Go, run: Run) -> None:
    built = run("modules")
    assert not run.lock.exists()
    assert without_mirror(run("auto", site.base)) == without_mirror(built)
    assert site.asked == []


def test_modules_never_ask_upstream(site: Site, go: Go, run: Run) -> None:
    run("modules", site.base)
    assert site.asked == []
    assert len(go.builds) == 7


def test_the_probe_asks_the_documented_place() -> None:
    assert upstream_module.PROBE == "https://dl.k8s.io/release/stable.txt"


def test_the_first_failure_ends_the_run_and_what_came_before_is_kept(site: Site, run: Run) -> None:
    """kube-apiserver is the first file: when it is refused, files far behind it were never asked for."""
    site.files["/release/v1.37.2/bin/linux/amd64/kube-apiserver.sha256"] = b"rubbish"
    slow = "/release/v1.37.2/bin/linux/amd64/kube-scheduler"
    site.cut[slow] = [10, 10]  # keeps one worker busy with its pauses
    with pytest.raises(ArtifactError) as caught:
        run(mirror=site.base)
    assert caught.value.where.endswith("kube-apiserver.sha256")
    assert not run.lock.exists() or "kube-apiserver" not in run.lock.read_text()


def test_a_component_may_have_a_source_of_its_own(site: Site, go: Go, run: Run) -> None:
    """What cannot be built comes from a mirror that has nothing else, though everything else is built."""
    site.files = {path: content for path, content in site.files.items() if "etcd" in path}
    found = run(source="modules", mirror=site.base, sources={"etcd": "upstream"})
    assert found[("etcd", "amd64")].url
    assert not found[("kubelet", "amd64")].url
    assert all("etcd" in path for path, _ in site.asked)
    assert not any("etcd" in call for call in go.builds)


def test_a_component_may_be_built_though_the_others_are_published(site: Site, go: Go, run: Run) -> None:
    found = run(source="upstream", mirror=site.base, sources={"coredns": "modules", "runc": "modules"})
    assert found[("kubelet", "amd64")].url
    assert not found[("runc", "amd64")].url
    assert found[("image-coredns", "amd64")].reference.startswith("kprov.local/coredns:")
    assert found[("image-pause", "amd64")].reference.startswith("registry.k8s.io/pause:")
    assert len(go.builds) == 2


def test_the_open_choice_is_about_what_has_no_source_of_its_own(site: Site, go: Go, run: Run) -> None:
    del site.files["/release/v1.37.2/bin/linux/amd64/kube-apiserver.sha256"]
    found = run(source="auto", mirror=site.base, sources={"kubernetes": "modules"})
    assert not found[("kubelet", "amd64")].url
    assert found[("etcd", "amd64")].url
    assert run.locked["source"] == "upstream"


def test_an_image_that_cannot_be_built_is_refused_when_that_is_asked_for(go: Go, run: Run) -> None:
    entry = ImageEntry(name="image-x", component="x", reference="example.org/x:{version}")
    with pytest.raises(ArtifactError, match=r"the image example\.org/x:1\.0\.0 cannot be built"):
        run(source="upstream", addons=(addon_with(entry),), sources={"x": "modules"})


def with_runtime(run: Run, runtime: str, source: str, mirror: str) -> Provided:
    host = Host(name="w1", groups=frozenset({"worker"}), connection=Connection(address="w1"), runtime=runtime)
    settings = ArtifactSettings(source=source, mirror=mirror)  # type: ignore[arg-type]
    cluster = Cluster(name="c", versions=VERSIONS, hosts=(host,), artifacts=settings)
    return provide(cluster, ["amd64"], run.folder / "cache", run.progress, lock=run.lock)


def test_only_clusters_with_a_runtime_need_its_programs(site: Site, run: Run) -> None:
    found = {name for name, _ in with_runtime(run, "crio", "upstream", site.base)}
    assert {"crio", "pinns", "crictl", "runc"} <= found
    assert not found & {"containerd", "ctr", "dockerd", "cri-dockerd"}
    assert "dockerd" not in {name for name, _ in run(mirror=site.base)}


def test_what_upstream_publishes_no_checksum_of_is_pinned_at_its_first_use_and_said(site: Site, run: Run) -> None:
    found = with_runtime(run, "docker", "upstream", site.base)
    url = "https://download.docker.com/linux/static/stable/x86_64/docker-29.8.1.tgz"
    assert run.locked["files"][url] == found[("dockerd", "amd64")].url_sha256
    assert len([note for note in run.progress.notes if "no checksum of docker-29.8.1.tgz" in note]) == 1
    site.files["/linux/static/stable/x86_64/docker-29.8.1.tgz"] += b"more"
    shutil.rmtree(run.folder / "cache")
    with pytest.raises(ArtifactError, match="not what it must be"):
        with_runtime(run, "docker", "upstream", site.base)


def test_what_cannot_be_built_here_says_where_it_is_had(site: Site, go: Go, run: Run) -> None:
    with pytest.raises(ArtifactError) as caught:
        with_runtime(run, "crio", "modules", site.base)
    assert "crio 1.37.0 cannot be built" in str(caught.value)
    assert caught.value.found == "modules for 1.36.3"
    assert "artifacts.sources: {crio: upstream}" in caught.value.todo
