"""What an API server refuses of encryption, which it does in silence while it runs: told beforehand, with its line."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from inventory_text import cluster, loaded, mistakes, only

KMS = "kms: {apiVersion: v2, name: a, endpoint: 'unix:///run/a.sock'}"
KEY = "{file: k32}"


def keys(kind: str, *rows: str) -> str:
    return f"{kind}: {{keys: [{', '.join(rows)}]}}"


PROVIDERS = [
    # entry of `providers`, place, what, needed
    (keys("aesgcm"), "3:37", "a provider without a key", "keys:"),
    ("aesgcm: {}", "3:37", "a provider without a key", "keys:"),
    (keys("secretbox"), "3:40", "a provider without a key", "`secretbox: {}` alone is kprov's own key"),
    (keys("aesgcm", f"{{name: '', secret: {KEY}}}"), "3:52", "a key without a name", "without a colon"),
    (keys("aesgcm", f"{{name: 'a:b', secret: {KEY}}}"), "3:52", "a key without a name", "without a colon"),
    (
        keys("aesgcm", f"{{name: a, secret: {KEY}}}", f"{{name: a, secret: {KEY}}}"),
        "3:84",
        "two keys have one name",
        "another",
    ),
    (keys("secretbox", f"{{name: key7, secret: {KEY}}}"), "3:55", "kprov's own keys are called so", "other than key1"),
    (keys("aesgcm", "{name: a, secret: {file: k31}}"), "3:63", "not a key: it has 31 bytes", "16 or 24 or 32 bytes"),
    (keys("aescbc", "{name: a, secret: {file: words}}"), "3:63", "not a key: it is not Base64", "16 or 24 or 32 bytes"),
    (keys("secretbox", "{name: a, secret: {file: k16}}"), "3:66", "not a key: it has 16 bytes", "32 bytes as Base64"),
    (KMS.replace("name: a", "name: 'a:b'"), "3:57", "a KMS without a name", "without a colon"),
    (KMS.replace("name: a, ", ""), "3:34", "a KMS without a name", "without a colon"),
    (KMS.replace("unix:///run/a.sock", "http://a"), "3:70", "not the socket of a KMS plugin", "unix:///PATH"),
    (KMS.replace("unix:///run/a.sock", "/run/a.sock"), "3:70", "not the socket of a KMS plugin", "unix:///PATH"),
    (KMS.replace("unix:///run/a.sock", "unix://"), "3:70", "not the socket of a KMS plugin", "unix:///PATH"),
    (KMS.replace("}", ", timeout: 0s}"), "3:101", "no time at all", "above 0s"),
    (KMS.replace("}", ", cachesize: 9}"), "3:92", "KMS v2 has no such setting", "no `cachesize`"),
    (f"{KMS}}}, {{{KMS}", "3:123", "two KMS have one name", "another name"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in {"k32": 32, "k31": 31, "k16": 16}.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(b64encode(b"s" * size).decode())
    (tmp_path / "words").touch(mode=0o600)
    (tmp_path / "words").write_text("no Base64!")
    return tmp_path


@pytest.mark.parametrize(("entry", "place", "what", "needed"), PROVIDERS)
def test_a_provider_that_api_servers_refuse(folder: Path, entry: str, place: str, what: str, needed: str) -> None:
    error = only(cluster(f"encryption: {{providers: [{{{entry}}}]}}"), path=folder / "i.yaml")
    assert error.where.startswith(f"{folder}/i.yaml:{place}")
    assert what in error.what
    assert needed in error.needed
    for secret in ("ssss", "no Base64", b64encode(b"s" * 16).decode()[:8]):
        assert secret not in str(error)


RESOURCES = [
    ("[Secrets]", "3:28", "not a name", "small letters"),
    ("['*']", "3:28", "not a name", "`*.*` for all"),
    ("[pods/status]", "3:28", "not a name", "RESOURCE.GROUP"),
    ("['sec*']", "3:28", "not a name", "RESOURCE.GROUP"),
    ("['']", "3:28", "not a name", "RESOURCE.GROUP"),
    ("[serviceipallocations]", "3:28", "no resource of the API", "another"),
    ("[secrets, events.events.k8s.io]", "3:37", "stored in the core group", "events"),
    ("[secrets, ingresses.extensions]", "3:37", "removed upstream", "apps"),
    ("[secrets, configmaps, '*.']", "3:28", "*. covers it already", "one of both"),
    ("['*.apps', secrets, deployments.apps]", "3:47", "*.apps covers it already", "one of both"),
    ("['*.*', '*.apps']", "3:35", "*.* covers it already", "one of both"),
]


@pytest.mark.parametrize(("resources", "place", "what", "needed"), RESOURCES)
def test_resources_that_api_servers_refuse(resources: str, place: str, what: str, needed: str) -> None:
    error = only(cluster(f"encryption: {{resources: {resources}}}"))
    assert error.where.startswith(f"i.yaml:{place}")
    assert what in error.what
    assert needed in error.needed


def test_a_name_that_would_encrypt_nothing_is_told_with_the_right_one() -> None:
    (error, *_) = mistakes(cluster("encryption: {resources: [secret]}"))
    assert "nothing would be encrypted" in error.what
    assert error.todo == "did you mean 'secrets'?"


def test_what_api_servers_take(folder: Path) -> None:
    own = keys("aesgcm", f"{{name: a, secret: {KEY}}}", "{name: b, secret: {file: k16}}")
    line = f"encryption: {{resources: [secrets, configmaps, things.example.org, '*.apps'], providers: [{{{KMS}}}, {{{own}}}"
    found = loaded(cluster(f"{line}, {{secretbox: {{}}}}, {{identity: {{}}}}]}}"), path=folder / "i.yaml")
    assert len(found.cluster.api.encryption.providers) == 4
    assert found.warnings == ()
    for wide in ("'*.'", "'*.*'", "secrets, '*.apps'"):
        assert loaded(cluster(f"encryption: {{resources: [{wide}]}}")).warnings == ()
    (caution,) = loaded(cluster("encryption: {resources: [configmaps]}")).warnings
    assert "Secrets are not among them" in caution.what
