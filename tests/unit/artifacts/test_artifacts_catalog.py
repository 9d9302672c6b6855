"""The catalog's table is whole, and questions on it get the right answer or a clear mistake."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from kprov.artifacts import build, catalog
from kprov.artifacts.catalog import ARCHITECTURES, load, resolve_versions
from kprov.artifacts.upstream import downloads_of
from kprov.values.errors import ArtifactError
from kprov.values.release import built_name

LINES = sorted(load().lines)

MODULE_VERSIONS = {"docker": "2.0.0-beta.24"}  # where a release's module has another version than the release
NOT_SERVED = {("crio", "1.37.0"), ("crio", "1.35.6")}  # releases whose modules cannot be had
PUBLISH_NO_CHECKSUM = {"docker", "cri-dockerd", "age"}

PROGRAMS = {
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
    "etcd", "etcdctl", "etcdutl", "containerd", "containerd-shim-runc-v2", "ctr", "runc",
    "cni-bridge", "cni-loopback", "cni-host-local", "cni-portmap", "cni-firewall",
    "dockerd", "cri-dockerd", "crio", "pinns", "crictl", "age",
}  # fmt: skip


def test_every_name_that_roles_ask_for_is_in_the_catalog() -> None:
    assert {name for part in load().components.values() for name in part.programs} == PROGRAMS
    assert {"image-pause", "image-coredns", "image-agnhost"} == set(load().images)


@pytest.mark.parametrize("line", LINES)
def test_a_line_names_a_version_of_every_component(line: str) -> None:
    versions = resolve_versions(line)
    runtimes = {"containerd", "runc", "docker", "cri-dockerd", "crio", "cri-tools"}
    assert set(versions) == {"kubernetes", "etcd", "cni-plugins", "coredns", "pause", "age", *runtimes}
    assert versions["kubernetes"].startswith(f"{line}.")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())


@pytest.mark.parametrize("line", LINES)
def test_every_version_of_a_line_can_be_built_from_pinned_modules(line: str) -> None:
    versions = resolve_versions(line)
    for component in load().components.values():
        if not component.module or (component.name, versions[component.name]) in NOT_SERVED:
            continue
        target = build.component_target(component.name, versions[component.name])
        pinned = (target.folder / "go.mod").read_text()
        module = MODULE_VERSIONS.get(component.name, target.version)
        assert f"{component.module} v{module}" in pinned
        assert f"{component.module} v{module} h1:" in (target.folder / "go.sum").read_text()
    for image in load().images.values():
        assert (build.image_target(image, versions[image.component]).folder / "go.mod").is_file()


@pytest.mark.parametrize("line", LINES)
def test_the_staging_modules_of_kubernetes_are_replaced_by_the_same_release(line: str) -> None:
    version = resolve_versions(line)["kubernetes"]
    pinned = (build.module_folder("kubernetes", version) / "go.mod").read_text()
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (k8s\.io/\S+) (v\S+)$", pinned, re.MULTILINE)
    assert len(replaced) > 30
    assert all(old == new and release == f"v0.{version.split('.', 1)[1]}" for old, new, release in replaced)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("component", sorted(load().components))
def test_every_program_has_a_url_and_a_checksum_for_both_architectures(component: str, arch: str) -> None:
    entry = load().components[component]
    version = resolve_versions()[component]
    desired = downloads_of(entry, version, arch)
    assert {name for download in desired for name in download.programs} == set(entry.programs)
    for download in desired:
        assert re.fullmatch(r"https://[a-z0-9./_-]+", download.url, re.IGNORECASE)
        assert version in download.url
        assert arch in download.url or {"amd64": "x86_64", "arm64": "aarch64"}[arch] in download.url
        assert download.checksum.startswith("https://") or component in PUBLISH_NO_CHECKSUM
        assert "{" not in download.url + download.checksum + "".join(download.programs.values())
        assert all(download.programs.values()) or len(download.programs) == 1


def test_urls_are_the_ones_that_upstream_documents() -> None:
    parts = load().components
    assert parts["kubernetes"].url_of("kubelet", "1.37.2", "arm64") == (
        "https://dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubelet"
    )
    assert parts["etcd"].member_of("etcdutl", "3.7.3", "amd64") == "etcd-v3.7.3-linux-amd64/etcdutl"
    assert parts["cni-plugins"].member_of("cni-host-local", "1.9.1", "amd64") == "./host-local"
    assert parts["docker"].url_of("dockerd", "29.8.1", "arm64") == (
        "https://download.docker.com/linux/static/stable/aarch64/docker-29.8.1.tgz"
    )
    assert parts["cri-dockerd"].url_of("cri-dockerd", "0.4.4", "amd64") == (
        "https://github.com/Mirantis/cri-dockerd/releases/download/v0.4.4/cri-dockerd-0.4.4.amd64.tgz"
    )
    assert parts["crio"].url_of("crio", "1.37.0", "amd64") == (
        "https://storage.googleapis.com/cri-o/artifacts/cri-o.amd64.v1.37.0.tar.gz"
    )
    assert parts["runc"].checksum_of("runc", "1.5.2", "amd64").endswith("/v1.5.2/runc.sha256sum")


def test_no_version_means_the_default_line() -> None:
    assert resolve_versions() == resolve_versions("1.37") == resolve_versions("v1.37.2")


def test_a_patch_release_of_a_line_keeps_the_lines_partners() -> None:
    versions = resolve_versions("1.36.7", {"etcd": "v3.6.16"})
    assert (versions["kubernetes"], versions["etcd"]) == ("1.36.7", "3.6.16")
    assert versions["containerd"] == load().lines["1.36"]["containerd"]


@pytest.mark.parametrize(
    ("kubernetes", "overrides", "says"),
    [
        ("1.34", {}, ["1.34", "1.37, 1.36, 1.35", "1.35 or 1.35.4"]),
        ("1.99.1", {}, ["1.99.1", "1.37 or 1.37.2"]),
        ("latest", {}, ["latest", "write 1.37"]),
        ("1.37.02", {}, ["1.37.02"]),
        ("1.37", {"ectd": "3.7.3"}, ["ectd", "did you mean 'etcd'?"]),
        ("1.37", {"kubernetes": "1.37.1"}, ["no component 'kubernetes'"]),
        ("1.37", {"etcd": "3.7"}, ["3.7", "3.7.3"]),
        ("1.37", {"etcd": "3.5.32"}, ["3.5.32", "3.6.0 or later"]),
        ("1.37", {"containerd": "2.3.2"}, ["containerd#13529", "2.3.4 or later"]),
    ],
)
def test_a_version_that_cannot_be_used_is_a_clear_mistake(
    kubernetes: str, overrides: dict[str, str], says: list[str]
) -> None:
    with pytest.raises(ArtifactError) as caught:
        resolve_versions(kubernetes, overrides)
    text = str(caught.value)
    assert all(part in text for part in says), text


def test_the_go_client_names_a_program_after_its_package() -> None:
    assert built_name("go.etcd.io/etcd/server/v3") == "server"
    assert built_name("k8s.io/kubernetes/cmd/kubelet") == "kubelet"


def test_versions_are_resolved_without_network_libraries() -> None:
    """An inventory is validated often and fast: nothing that speaks HTTP or SSH is imported for it."""
    code = (
        "import sys, kprov.artifacts.catalog as c; c.resolve_versions('1.37');"
        "sys.exit(1 if {'httpx', 'paramiko'} & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_module_folders_that_are_missing_are_named_with_those_there_are() -> None:
    with pytest.raises(ArtifactError) as caught:
        build.component_target("kubernetes", "1.37.9")
    assert "1.37.9" in str(caught.value)
    assert "1.37.2" in str(caught.value)
    assert catalog.load().components["etcd"].name == "etcd"
