"""`kprov addons list` and `info`, as they are typed: what is on, in which version, whose it is, and near misses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kprov.cli import program

HELLO = """\
name: hello
summary: Says hello
namespace: hello
versions: {"1.2.0": {web: 1.2.0}, "1.1.0": {web: 1.1.3}}
images: {web: {reference: "r/web:{version}"}}
needs: [metrics-server]
parameters:
  replicas: {type: integer, default: 2, minimum: 1, maximum: 9, description: Pods.}
  token: {type: secret, description: Token.}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "addons" / "hello").mkdir(parents=True)
    (tmp_path / "addons" / "hello" / "addon.yaml").write_text(HELLO)
    (tmp_path / "addons" / "plain").mkdir()
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text("s3cret-text")
    path = tmp_path / "inventory.yaml"
    path.write_text(
        'cluster:\n  name: c\n  addons:\n    hello: {version: "1.1.0", replicas: 3, token: {file: token}}\n'
        "    logging: {retention: 30d}\nhosts:\n  a: {address: 192.0.2.1, group: control_plane}\n"
    )
    return path


def said(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert program.run(["addons", *map(str, words)]) == status
    told = capsys.readouterr()
    return told.err if status else told.out


def rows(text: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(text)["addons"]}


def test_without_an_inventory_kprovs_own_are_listed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    found = {line.split()[0]: line.split()[1] for line in said(capsys, "list").splitlines()}
    assert {"metrics-server", "monitoring", "logging", "headlamp", "storage", "cloud-aws"} <= set(found)
    assert {name for name, state in found.items() if state == "on"} == {"metrics-server"}


def test_an_inventory_says_what_is_on_and_in_which_version(capsys: pytest.CaptureFixture[str], inventory: Path) -> None:
    lines = said(capsys, "list", inventory).splitlines()
    assert next(line for line in lines if line.startswith("hello ")).split()[:3] == ["hello", "on", "1.1.0"]
    assert next(line for line in lines if line.startswith("plain ")).split()[:3] == ["plain", "off", "-"]
    found = rows(said(capsys, "list", inventory, "--json"))
    assert {name for name, row in found.items() if row["on"]} == {"hello", "logging", "metrics-server"}
    assert {name for name, row in found.items() if not row["own"]} == {"hello", "plain"}
    assert found["hello"]["version"] == "1.1.0"
    inventory.write_text(inventory.read_text().replace("logging: {retention: 30d}", "metrics-server: false"))
    inventory.write_text(inventory.read_text().replace("hello: {version", "# hello: {version"))
    found = rows(said(capsys, "list", inventory, "--json"))
    assert not [name for name, row in found.items() if row["on"]], "what is on by default was switched off"


def test_info_shows_versions_parameters_and_what_is_set(capsys: pytest.CaptureFixture[str], inventory: Path) -> None:
    told = said(capsys, "info", "hello", inventory)
    for text in (
        "hello: Says hello",
        "1.2.0: web 1.2.0",
        "1.1.0: web 1.1.3",
        "web: r/web:{version}",
        "needs         metrics-server",
        "pod security  restricted",
        "replicas: integer, default 2, set to 3",
        "Pods.",
    ):
        assert text in told, text
    assert "s3cret" not in told
    values = json.loads(said(capsys, "info", "hello", inventory, "--json"))["addon"]
    shown = {key: values["parameters"]["replicas"][key] for key in ("type", "required", "default", "set")}
    assert shown == {"type": "integer", "required": False, "default": 2, "set": 3}
    assert values["folder"] == str(inventory.parent / "addons" / "hello")
    assert "s3cret" not in json.dumps(values)


@pytest.mark.parametrize("name", ["cloud-aws", "flannel", "headlamp", "logging", "metrics-server", "node-local-dns"])
def test_info_of_kprovs_own_needs_no_inventory(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert said(capsys, "info", name).startswith(f"{name}: ")
    assert json.loads(said(capsys, "info", name, "--json"))["addon"]["name"] == name


def test_what_a_change_of_a_parameter_means_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "a change: procedure; `kprov up --recreate storage`" in said(capsys, "info", "storage")
    values = json.loads(said(capsys, "info", "storage", "--json"))["addon"]
    assert values["parameters"]["default_class"]["change"] == "free"


def test_a_near_miss_is_told(capsys: pytest.CaptureFixture[str], inventory: Path) -> None:
    assert "did you mean 'hello'?" in said(capsys, "info", "helo", inventory, status=1)
    told = said(capsys, "info", "zzz", status=1)
    assert "there is no such add-on" in told
    assert "your own are listed when you name your inventory too" in told


def test_how_a_page_is_exposed_is_shown(capsys: pytest.CaptureFixture[str], inventory: Path) -> None:
    given = "logging: {expose: {type: NodePort, host: logs.example.org}}"
    inventory.write_text(inventory.read_text().replace("logging: {retention: 30d}", given))
    assert "logs.example.org" in said(capsys, "info", "logging", inventory)
    values = json.loads(said(capsys, "info", "logging", inventory, "--json"))["addon"]
    assert values["parameters"]["expose"]["set"]["host"] == "logs.example.org"
