"""Runtimes as values and as roles: each has both, what a role wants is its runtime's, files are what they say they are."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from given import context

from kprov.roles import container_runtime, kubelet
from kprov.roles.crio import mirrors_of
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
    shared = ("/opt/cni/bin", "/etc/cni/net.d", "/var/lib/cni", "/etc/containers")
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
