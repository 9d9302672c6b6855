"""Whole hosts: what the roles want together fits together, on every kind of host."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from given import TRUST, context

from kprov.plan.desired import expand
from kprov.plan.stages import desired
from kprov.values.resources import Binary, Certificate, Directory, File, Resource, Unit, User

_HOSTS = {
    "e1": {"groups": ["etcd"]},
    "c1": {"groups": ["etcd", "control_plane"]},
    "c2": {"groups": ["control_plane"]},
    "w1": {"groups": ["worker"], "facts": {"kernel": [5, 10], "nft": None}},
    "all": {"groups": ["etcd", "control_plane", "worker"]},
    "crio": {"groups": ["worker"], "runtime": "crio"},
    "docker": {"groups": ["worker"], "runtime": "docker"},
}
_LINES = ("1.35", "1.36", "1.37")
_SYSTEM_USERS = {"root", "haproxy"}  # haproxy's comes with its package


def _on(name: str, **cluster: Any) -> list[Resource]:
    given = {"cluster": cluster, "hosts": _HOSTS, "host": name}
    return [resource for resources in desired(context(given)).values() for resource in resources]


def _units(resources: list[Resource]) -> list[Unit]:
    return [resource for resource in resources if isinstance(resource, Unit)]


@pytest.mark.parametrize("name", _HOSTS)
@pytest.mark.parametrize("line", _LINES)
def test_nothing_is_desired_in_two_ways(name: str, line: str) -> None:
    for addons in ([], [{"name": "monitoring"}]):
        given = {"cluster": {"kubernetes": line, "addons": addons}, "hosts": _HOSTS, "host": name}
        assert expand(desired(context(given)))  # raises when two resources of one key differ


@pytest.mark.parametrize("name", _HOSTS)
def test_monitoring_is_told_of_every_certificate(name: str) -> None:
    resources = _on(name, addons=[{"name": "monitoring"}])
    (unit,) = (unit for unit in _units(resources) if unit.name == "kprov-metrics-proxy.service")
    certificates = {resource.path for resource in resources if isinstance(resource, Certificate)}
    assert certificates <= unit.reads, "a renewed one is told of again"
    words = set(unit.content.decode().split())
    assert certificates <= words


@pytest.mark.parametrize("name", _HOSTS)
def test_equal_input_gives_equal_resources(name: str) -> None:
    assert _on(name) == _on(name)


@pytest.mark.parametrize("name", _HOSTS)
def test_units_read_what_is_put_there(name: str) -> None:
    resources = _on(name)
    paths: set[str] = set()
    for resource in resources:
        if isinstance(resource, Certificate):
            paths |= {resource.path, resource.key_path}
        elif isinstance(resource, File | Binary):
            paths.add(resource.path)
    for unit in _units(resources):
        assert unit.reads | unit.reloads <= paths
        assert not unit.reads & unit.reloads
        assert unit.gates


@pytest.mark.parametrize("name", _HOSTS)
def test_units_forget_no_file_they_name(name: str) -> None:
    """Every managed file named in a unit is among what it reads: else a change there would restart nothing."""
    resources = _on(name)
    managed = {item.path for item in resources if isinstance(item, File | Binary | Certificate)}
    for unit in _units(resources):
        named = set(re.findall(r"/[\w./-]+", unit.content.decode())) & managed
        assert named <= unit.reads | unit.reloads, unit.name


@pytest.mark.parametrize("name", _HOSTS)
def test_configuration_forgets_no_file_it_names(name: str) -> None:
    """The same one step further: what a read configuration names, its unit reads too."""
    resources = _on(name)
    files = {item.path: item for item in resources if isinstance(item, File)}
    managed = {item.path for item in resources if isinstance(item, File | Binary | Certificate)}
    managed |= {item.key_path for item in resources if isinstance(item, Certificate)}
    for unit in _units(resources):
        for path in unit.reads & set(files):
            if files[path].mode == 0o755:
                continue  # a program, not a configuration
            named = set(re.findall(r"/[\w./-]+", files[path].content.decode())) & managed
            assert named <= unit.reads | unit.reloads, (unit.name, path)


@pytest.mark.parametrize("name", _HOSTS)
def test_no_secret_is_readable_by_others(name: str) -> None:
    secrets = (b"PRIVATE", b"secretbox", TRUST.service_account_key)
    for resource in _on(name):
        if isinstance(resource, File) and any(secret in resource.content for secret in secrets):
            assert resource.secret
            assert resource.mode == 0o600
        if isinstance(resource, Unit):
            assert not any(secret in resource.content for secret in secrets)


def test_control_planes_have_the_secrets_the_test_above_looks_for() -> None:
    found = {resource.path for resource in _on("c1") if isinstance(resource, File) and resource.secret}
    assert found == {"/etc/kubernetes/pki/sa.key", "/etc/kubernetes/kube-apiserver/encryption.yaml"}
    assert not any(isinstance(resource, File) and resource.secret for resource in _on("w1"))


@pytest.mark.parametrize("name", _HOSTS)
def test_owners_are_users_that_are_made(name: str) -> None:
    resources = _on(name)
    users = {resource.name for resource in resources if isinstance(resource, User)} | _SYSTEM_USERS
    for resource in resources:
        if isinstance(resource, File | Directory | Certificate):
            assert {resource.owner, resource.group} <= users
        if isinstance(resource, Unit):
            assert set(re.findall(r"^(?:User|Group)=(.+)$", resource.content.decode(), re.MULTILINE)) <= users


@pytest.mark.parametrize("name", _HOSTS)
def test_users_come_before_what_they_own(name: str) -> None:
    seen = {"root"}
    for resource in _on(name):
        if isinstance(resource, User):
            seen.add(resource.name)
        if isinstance(resource, File | Directory | Certificate):
            assert {resource.owner, resource.group} <= seen


@pytest.mark.parametrize("name", _HOSTS)
def test_processes_without_root_get_roots_files_as_credentials(name: str) -> None:
    """Files that only root may read reach a process of another user by LoadCredential=, never by their path."""
    resources = _on(name)
    closed = {item.path for item in resources if isinstance(item, File) and item.owner == "root" and not item.mode & 4}
    for unit in _units(resources):
        text = unit.content.decode()
        if "\nUser=" in text:
            command = text.replace("\\\n", "").split("ExecStart=", 1)[1].split("\n", 1)[0]
            assert not set(re.findall(r"/[\w./-]+", command)) & closed


@pytest.mark.parametrize("name", _HOSTS)
def test_kubeconfigs_name_files_and_hold_none(name: str) -> None:
    for resource in _on(name):
        if isinstance(resource, File) and b"kind: Config\n" in resource.content:
            document = yaml.safe_load(resource.content)
            assert set(document["users"][0]["user"]) == {"client-certificate", "client-key"}
            assert "certificate-authority" in document["clusters"][0]["cluster"]


@pytest.mark.parametrize("name", _HOSTS)
def test_units_come_back_whatever_happens(name: str) -> None:
    for unit in _units(_on(name)):
        text = unit.content.decode()
        assert "\nRestart=always\n" in text
        assert text.endswith("[Install]\nWantedBy=multi-user.target\n")
        if not unit.name.endswith("containerd.service"):
            assert "\nStartLimitIntervalSec=0\n" in text
