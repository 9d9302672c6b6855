"""Which registry an image is really asked for at, and how a reference is written that says so itself."""

from __future__ import annotations

import pytest

from kprov.values.image_reference import Reference, mirror_hosts, parse, place, rewritten
from kprov.values.model import RegistryAccess, RegistryEntry, RegistrySettings
from kprov.values.secret import Secret

OURS = RegistryAccess(ca=b"CA", username="puller", password=Secret("pw"))
THEIRS = RegistryAccess(username="other", password=Secret("pw"))
MIRRORED = RegistrySettings(
    mirror="registry.example.org/k8s",
    access=OURS,
    registries={
        "docker.io": RegistryEntry(mirror="registry.example.org:5000/hub"),
        "ghcr.io": RegistryEntry(access=THEIRS),
        "quay.io": RegistryEntry(mirror="quay.example.org", access=THEIRS),
    },
)
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "host", "repository", "suffix"),
    [
        ("registry.k8s.io/pause:3.10.2", "registry.k8s.io", "pause", ":3.10.2"),
        ("registry.k8s.io/coredns/coredns:v1", "registry.k8s.io", "coredns/coredns", ":v1"),
        ("nginx", "docker.io", "library/nginx", ""),
        ("nginx:1.29", "docker.io", "library/nginx", ":1.29"),
        ("grafana/grafana", "docker.io", "grafana/grafana", ""),
        ("docker.io/nginx", "docker.io", "library/nginx", ""),
        ("localhost/x:1", "localhost", "x", ":1"),
        ("host:5000/x", "host:5000", "x", ""),
        (f"host:5000/a/b:1@{DIGEST}", "host:5000", "a/b", f":1@{DIGEST}"),
        (f"a.example/b@{DIGEST}", "a.example", "b", f"@{DIGEST}"),
    ],
)
def test_a_reference_has_a_host_a_repository_and_a_suffix(text: str, host: str, repository: str, suffix: str) -> None:
    assert parse(text) == Reference(host=host, repository=repository, suffix=suffix)


@pytest.mark.parametrize(
    ("reference", "desired"),
    [
        ("registry.k8s.io/pause:3.10.2", "registry.example.org/k8s/pause:3.10.2"),
        (f"registry.k8s.io/a/b@{DIGEST}", f"registry.example.org/k8s/a/b@{DIGEST}"),
        ("nginx:1.29", "registry.example.org:5000/hub/library/nginx:1.29"),
        ("quay.io/prometheus/prometheus:v3", "quay.example.org/prometheus/prometheus:v3"),
        ("ghcr.io/headlamp-k8s/headlamp:v0.43.0", "ghcr.io/headlamp-k8s/headlamp:v0.43.0"),
        ("registry.example.org/k8s/pause:3.10.2", "registry.example.org/k8s/pause:3.10.2"),
        ("registry.example.org:5000/own:1", "registry.example.org:5000/own:1"),
        ("kprov.local/coredns:1.14.7", "kprov.local/coredns:1.14.7"),
    ],
)
def test_the_mirror_takes_the_place_of_the_registry(reference: str, desired: str) -> None:
    assert rewritten(reference, MIRRORED) == desired
    assert rewritten(desired, MIRRORED) == desired, "what was rewritten stays as it is"


def test_without_a_mirror_nothing_changes() -> None:
    for reference in ("nginx", "registry.k8s.io/pause:3.10.2"):
        assert rewritten(reference, RegistrySettings()) == reference


def test_authority_and_credentials_are_those_of_the_host_that_is_asked() -> None:
    assert place("registry.k8s.io", MIRRORED).access == OURS
    assert place("registry.example.org", MIRRORED).access == OURS
    assert place("docker.io", MIRRORED).access == RegistryAccess(), "another port is another registry"
    assert place("ghcr.io", MIRRORED).access == THEIRS
    assert place("quay.example.org", MIRRORED).access == THEIRS
    assert place("quay.io", MIRRORED).access == THEIRS
    assert mirror_hosts(MIRRORED) == ("registry.example.org", "registry.example.org:5000", "quay.example.org")
