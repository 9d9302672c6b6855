"""Runtimes as values and as roles: each has both, what a role wants is its runtime's, files are what they say they are."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from given import context

from kprov.roles import container_runtime, kubelet
from kprov.roles.crio import mirrors_of
from kprov.roles.templating import render
from kprov.values.resources import File, Image, Resource, Unit
from kprov.values.runtimes import RUNTIMES, must_rewrite

REGISTRY = {"mirror": "registry.example.org/k8s", "ca": "PEM\n", "username": "puller", "password": "secret"}
HANDLERS = {"youki": {"path": "/usr/local/bin/youki", "options": {"Root": "/run/youki"}}}


def given(runtime: str, **cluster: Any) -> Any:
    return context(
        {"cluster": cluster, "hosts": {"w": {"groups": ["worker"], "runtime": runtime, "handlers": HANDLERS}}}
    )


def desired(runtime: str, **cluster: Any) -> list[Resource]:
    return list(container_runtime.resources(given(runtime, **cluster)))


def test_every_runtime_has_a_role() -> None:
    assert RUNTIMES.keys() == container_runtime.ROLES.keys()


@pytest.mark.parametrize("name", RUNTIMES)
def test_what_a_role_wants_is_its_runtimes_or_everybodys(name: str) -> None:
    """What is not goes in no swap: CNI plugins, packages, and what of registries other programs see too."""
    shared = ("/opt/cni/bin", "/etc/kprov/cni/net.d", "/var/lib/cni", "/etc/crictl.yaml", "/etc/containers")
    shared = (*shared, "/var/lib/containers", "/usr/share/containers")
    for resource in desired(name, registry=REGISTRY):
        kind, path = resource.key
        assert RUNTIMES[name].owns(resource.key) or kind == "package" or path.startswith(shared), resource.key


@pytest.mark.parametrize("name", RUNTIMES)
def test_units_come_in_the_order_they_start_and_kubelet_waits_for_the_last(name: str) -> None:
    units = [resource for resource in desired(name) if isinstance(resource, Unit)]
    assert tuple(unit.name for unit in units) == RUNTIMES[name].units
    (unit,) = [item for item in kubelet.resources(given(name)) if isinstance(item, Unit)]
    assert f" {RUNTIMES[name].serving} " in unit.content.decode().split("After=", 1)[1].split("\n", 1)[0] + " "
    (config,) = [item for item in kubelet.resources(given(name)) if item.key == ("file", kubelet.CONFIG)]
    assert isinstance(config, File)
    assert f"containerRuntimeEndpoint: unix://{RUNTIMES[name].cri}\n".encode() in config.content


@pytest.mark.parametrize("name", RUNTIMES)
def test_first_images_go_into_the_runtimes_own_store(name: str) -> None:
    assert {item.store for item in desired(name) if isinstance(item, Image)} == {RUNTIMES[name].store}


@pytest.mark.parametrize("name", RUNTIMES)
def test_files_are_what_their_names_say_and_credentials_are_roots_alone(name: str) -> None:
    files = [resource for resource in desired(name, registry=REGISTRY) if isinstance(resource, File)]
    for file in files:
        if file.path.endswith((".toml", ".conf")):
            assert tomllib.loads(file.content.decode())
        if file.path.endswith(".json"):
            assert json.loads(file.content)
        if b"cHVsbGVyOnNlY3JldA==" in file.content or b"secret" in file.content:
            assert (file.mode, file.owner, file.secret) == (0o600, "root", True)
    assert any(file.secret for file in files)
    assert any(b"youki" in file.content for file in files)


@pytest.mark.parametrize(
    ("name", "kubernetes", "off"),
    [("docker", "1.37", True), ("docker", "1.36", True), ("docker", "1.35", False), ("containerd", "1.37", False)],
)
def test_kubelet_is_sent_no_websockets_that_cri_dockerd_cannot_take(name: str, kubernetes: str, off: bool) -> None:
    """A gate that a version of kubelet does not know would keep it from starting."""
    resources = kubelet.resources(given(name, kubernetes=kubernetes))
    (config,) = [item for item in resources if isinstance(item, File) and item.path == kubelet.CONFIG]
    assert (b"featureGates:\n  ExtendWebSocketsToKubelet: false\n" in config.content) == off


@pytest.mark.parametrize("name", RUNTIMES)
def test_crictl_is_told_the_nodes_own_runtime(name: str) -> None:
    (config,) = [item for item in desired(name) if isinstance(item, File) and item.path == "/etc/crictl.yaml"]
    assert f"runtime-endpoint: unix://{RUNTIMES[name].cri}\n".encode() in config.content


def restricted(name: str, **handlers: Any) -> list[Resource]:
    host = {"groups": ["worker"], "runtime": name, "restrict_oom_score_adj": True, "handlers": handlers}
    return list(container_runtime.resources(context({"cluster": {}, "hosts": {"w": host}})))


def text_of(resources: list[Resource], path: str) -> str:
    (file,) = [item for item in resources if isinstance(item, File) and item.path == path]
    return file.content.decode()


def test_each_runtime_keeps_oom_scores_where_it_is_told_to() -> None:
    handlers = {
        "youki": {"path": "/usr/local/bin/youki"},
        "kata": {"path": "/opt/kata", "type": "io.containerd.kata.v2"},
    }
    config = tomllib.loads(text_of(restricted("containerd", **handlers), "/etc/containerd/config.toml"))
    assert config["plugins"]["io.containerd.cri.v1.runtime"]["restrict_oom_score_adj"] is True
    crio = restricted("crio", **handlers)
    runtimes = tomllib.loads(text_of(crio, "/etc/crio/crio.conf"))["crio"]["runtime"]["runtimes"]
    assert {name: row["runtime_path"] for name, row in runtimes.items()} == {
        "runc": "/opt/kprov/bin/restricted-runc",
        "youki": "/opt/kprov/bin/restricted-youki",
        "kata": "/opt/kata",  # a shim is no program that is called as runc is
    }
    docker = json.loads(text_of(restricted("docker"), "/etc/docker/daemon.json"))
    assert docker["runtimes"][docker["default-runtime"]] == {"path": "/opt/kprov/bin/restricted-runc"}
    for name in ("crio", "docker"):
        wrappers = [item.key for item in restricted(name) if item.key[1].startswith("/opt/kprov/bin/restricted-")]
        assert wrappers
        assert all(RUNTIMES[name].owns(key) and not RUNTIMES["containerd"].owns(key) for key in wrappers)
    assert not any("restricted-" in item.key[1] for item in desired("crio"))


@pytest.mark.parametrize(
    ("call", "asked", "kept"),
    [
        ("--root /r create --bundle {} --pid-file x id", -998, True),
        ("run -b {} id", -998, True),
        ("create --bundle={} id", -998, True),
        ("create --bundle {} id", 1000, False),
        ("kill --bundle {} id", -998, False),
    ],
)
def test_a_container_gets_no_lower_score_than_its_runtime(tmp_path: Path, call: str, asked: int, kept: bool) -> None:
    program = tmp_path / "runc"
    program.write_text('#!/bin/sh\necho "called: $*"\nexit 7\n')
    program.chmod(0o755)
    wrapper = tmp_path / "restricted-runc"
    wrapper.write_bytes(render(None, "handlers/restricted.sh.j2", program=str(program)))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    spec = {"annotations": {"a": '"oomScoreAdj":-998'}, "process": {"oomScoreAdj": asked, "user": {"uid": 1}}}
    (bundle / "config.json").write_text(json.dumps(spec, indent="\t"))
    done = subprocess.run(["sh", wrapper, *call.format(bundle).split()], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"called: {call.format(bundle)}\n", "", 7)
    own = int(Path("/proc/self/oom_score_adj").read_text())
    expected = {**spec, "process": {"oomScoreAdj": max(asked, own) if kept else asked, "user": {"uid": 1}}}
    assert json.loads((bundle / "config.json").read_text()) == expected
    assert [path.name for path in bundle.iterdir()] == ["config.json"]


def test_cri_o_is_told_each_mirror_by_name_and_the_others_are_not() -> None:
    registry = given(
        "crio", registry={**REGISTRY, "registries": {"ghcr.io": {}, "corp.example": {"mirror": "m.example"}}}
    )
    mirrors = mirrors_of(registry.cluster.registry)
    assert mirrors["registry.k8s.io"] == mirrors["quay.io"] == "registry.example.org/k8s"
    assert mirrors["corp.example"] == "m.example"
    assert "ghcr.io" not in mirrors
    assert must_rewrite(given("crio", registry=REGISTRY).cluster)
    assert not must_rewrite(given("crio").cluster)
    assert not must_rewrite(given("docker", registry=REGISTRY).cluster)
