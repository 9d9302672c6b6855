"""A folder is an add-on, or its description is refused with file and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kprov.addon.describe import described, is_own, shelf
from kprov.values.errors import AddonError

WHOLE = """\
name: hello
summary: Says hello
namespace: hello
default: true
versions:
  "1.2.0": {web: 1.2.0, guard: 0.9.1}
  "1.1.0": {web: 1.1.3, guard: 0.9.0}
images:
  web: {reference: "registry.example.org/web:v{version}"}
programs:
  guard: {package: example.org/guard, url: "https://example.org/guard-{version}", checksum: "https://example.org/sums"}
parameters:
  replicas: {type: integer, default: 2, minimum: 1, description: Pods.}
certificates:
  - {secret: hello-tls, common_name: hello, usage: server, dns_names: [hello.hello.svc]}
ready: [deployment/web]
pod_security: {level: privileged, reason: it reads files}
host_directories:
  - {path: /var/lib/hello, mode: "0750", data: true}
open: {service: web, port: 8080, path: /ui/, login: {user: admin, password: admin}}
"""


def folder(tmp_path: Path, text: str, name: str = "hello") -> Path:
    made = tmp_path / name
    made.mkdir(exist_ok=True)
    (made / "addon.yaml").write_text(text)
    return made


def test_a_whole_description(tmp_path: Path) -> None:
    found = described(folder(tmp_path, WHOLE))
    assert list(found.versions) == ["1.2.0", "1.1.0"]
    assert found.images["web"].name == "image-hello-web"
    assert found.images["web"].component == "web"
    assert found.programs["guard"].url_of("guard", "0.9.1", "amd64") == "https://example.org/guard-0.9.1"
    assert dict(found.programs["guard"].programs) == {"guard": "example.org/guard"}
    assert found.parameters["replicas"].default == 2
    assert found.certificates[0].dns_names == ("hello.hello.svc",)
    assert (found.level, found.reason) == ("privileged", "it reads files")
    assert (found.directories[0].mode, found.directories[0].data) == (0o750, True)
    assert found.opening is not None
    assert (found.opening.path, found.opening.user) == ("/ui/", "admin")


def test_only_kprovs_own_add_ons_are_on_by_default(tmp_path: Path) -> None:
    assert not described(folder(tmp_path, WHOLE)).default
    assert described(folder(tmp_path, WHOLE), own=True).default


def test_a_folder_without_a_description_is_plain_manifests(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    assert described(plain).parameters == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("summary: Says hello\n", ""), "summary: field required"),
        (("name: hello", "name: other"), "an add-on is called as its folder is"),
        (("type: integer", "type: number"), "parameters.replicas.type"),
        (("ready: [deployment/web]", "ready: [job/web]"), "ready.0"),
        (('{reference: "registry.example.org/web:v{version}"}', "{}"), "can neither be pulled nor built"),
        (("{web: 1.1.3, ", "{wob: 1.1.3, "), "version 1.1.0 does not name a version of each image and program"),
        ((", guard: 0.9.0", ""), "needed: web, guard"),
        (('"0750"', '"9"'), "host_directories.0.mode"),
        (("images:", 'needs_kubernetes: {"9.0.0": "1.37"}\nimages:'), "names a version there is not"),
        (("images:", 'needs_kubernetes: {"1.2.0": latest}\nimages:'), "needs_kubernetes.1.2.0"),
        (("images:", "provider_id: {pattern: '(', example: x}\nimages:"), "no regular expression"),
        (("usage: server", "usage: sever"), "certificates.0.usage"),
        (("login: {", "service_account: a, login: {"), "login and service_account below open"),
        (
            ("login: {user: admin, password: admin}", "bearer: {service_account: a}"),
            "open.bearer.audience: field required",
        ),
        (("name: hello", "name: hello\nfoo: 1"), "foo: extra inputs"),
        (("type: integer, default: 2, minimum: 1", "type: choice"), "a choice without choices"),
        (("type: integer, default: 2, minimum: 1", "type: text, pattern: '('"), "no regular expression"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    path = folder(tmp_path, WHOLE.replace(*change, 1))
    with pytest.raises(AddonError) as caught:
        described(path)
    assert str(path / "addon.yaml") in str(caught.value)
    assert told in str(caught.value).lower() or told in str(caught.value)


def test_what_is_not_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    path = folder(tmp_path, "name: hello\nsummary: [a\n")
    with pytest.raises(AddonError, match=re.escape(f"{path}/addon.yaml:3: this is not YAML")):
        described(path)


def test_a_users_add_on_takes_the_place_of_kprovs(tmp_path: Path) -> None:
    folder(tmp_path, WHOLE, "metrics-server")
    (tmp_path / "__pycache__").mkdir()
    found = shelf(tmp_path)
    assert found["metrics-server"] == tmp_path / "metrics-server"
    assert not is_own(found["metrics-server"])
    assert is_own(shelf(None)["metrics-server"])
    assert "__pycache__" not in found


@pytest.mark.parametrize("path", shelf(None).values(), ids=lambda path: path.name)
def test_every_add_on_of_kprovs_says_what_it_is_and_why_it_needs_rights(path: Path) -> None:
    found = described(path, own=True)
    assert found.summary
    assert found.level == "restricted" or found.reason
    assert all(parameter.description.endswith((".", "}", ")")) for parameter in found.parameters.values())
    assert all(entry.built.startswith("kprov.local/") for entry in found.images.values() if entry.package)
