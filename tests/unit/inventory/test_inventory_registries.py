"""`registry:` of an inventory: files and passwords are read, slips named at their line, and nothing secret is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from inventory_text import cluster, loaded, mistakes, only

from kprov.pki.authority import CertificateAuthority
from kprov.report.redact import Redactor
from kprov.roles import registries
from kprov.values.image_reference import place

CANARY = "hunter2-canary"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 30, datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    (tmp_path / "key.pem").write_bytes(authority.cert_pem + authority.key_pem)
    (tmp_path / "no.pem").write_text("certainly")
    return tmp_path


def test_settings_are_read_with_their_files(folder: Path) -> None:
    text = cluster(
        "registry:",
        "  mirror: registry.example.org:5000/k8s",
        "  ca: ca.pem",
        "  username: puller",
        "  password: {env: PW}",
        "  registries: {ghcr.io: {username: me, password: {env: PW}}, docker.io: {mirror: hub.example.org}}",
    )
    made = loaded(text, {"PW": CANARY}, folder / "i.yaml")
    registry = made.cluster.registry
    assert registry.access.ca == (folder / "ca.pem").read_bytes()
    assert registry.access.password is not None
    assert registry.access.password.reveal() == CANARY
    assert place("docker.io", registry).host == "hub.example.org"
    assert registry.registries["ghcr.io"].access.username == "me"
    assert CANARY not in repr(made)


def test_what_files_say_of_a_password_is_never_shown() -> None:
    text = cluster("registry: {mirror: r.example.org, username: u, password: {env: PW}}")
    registry = loaded(text, {"PW": CANARY}).cluster.registry
    redactor = Redactor()
    redactor.learn(*registries.secrets(registry))
    files = [*registries.containerd_hosts(registry, "/certs"), registries.credentials(registry)]
    shown = [item if isinstance(item, bytes) else item.content for item in files]
    assert "***" in redactor.clean(shown[0].decode())
    assert redactor.clean(shown[0].decode()) != shown[0].decode()
    assert CANARY not in "".join(content.decode() for content in shown)


@pytest.mark.parametrize(
    ("line", "key", "what"),
    [
        ("registry: {mirror: https://r.example.org}", "mirror", "a URL where the name"),
        ("registry: {mirror: r.example.org/K8S}", "mirror", "not a path in a registry"),
        ("registry: {mirror: 'r.example.org:99999'}", "mirror", "not a registry"),
        ("registry: {mirror: r.example.org, ca: no.pem}", "ca", "holds no certificates"),
        ("registry: {mirror: r.example.org, ca: none.pem}", "ca", "cannot be read"),
        ("registry: {mirror: r.example.org, ca: key.pem}", "ca", "a private key"),
        ("registry: {ca: ca.pem}", "ca", "but not whom"),
        ("registry: {mirror: r.example.org, username: u}", "username", "no password beside it"),
        ("registry: {mirror: r.example.org, password: {env: PW}}", "password", "no username beside it"),
        ("registry: {mirror: r.example.org, username: 'a:b', password: {env: PW}}", "username", "user name"),
        ("registry: {mirror: r.example.org, username: u, password: {env: NONE}}", "password", "not set or empty"),
        ("registry: {mirror: r.example.org, username: u, password: hunter2-canary}", "password", "may not stand"),
        ("registry: {registries: {docker.io/library: {mirror: r.example.org}}}", "registries", "not a registry"),
        ("registry: {registries: {docker.io: {mirorr: r.example.org}}}", "registries", "unknown key"),
    ],
)
def test_each_slip_is_named_at_its_line(folder: Path, line: str, key: str, what: str) -> None:
    found = only(cluster(line), {"PW": CANARY}, folder / "i.yaml")
    assert f"registry.{key}" in str(found)
    assert what in str(found)
    assert "i.yaml:3" in str(found)
    assert CANARY not in str(found)


def test_all_slips_come_at_once(folder: Path) -> None:
    text = cluster("registry: {mirror: r.example.org, ca: no.pem, username: u, password: {env: NONE}}")
    assert len(mistakes(text, {}, folder / "i.yaml")) == 2
