"""What an inventory says of add-ons: on, off, parameters; every mistake with its place and the nearest right spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kprov.addon.choose import by_name, chosen, why_not
from kprov.inventory import load
from kprov.values.addon import Addon, Parameter
from kprov.values.errors import AddonError, InventoryError

HELLO = """\
name: hello
summary: Says hello
namespace: hello
versions: {"1.2.0": {web: 1.2.0}, "1.1.0": {web: 1.1.3}}
images: {web: {reference: "r/web:{version}"}}
parameters:
  replicas: {type: integer, default: 2, minimum: 1, maximum: 9, description: Pods.}
  token: {type: secret, description: Token.}
"""
FOLLOWING = """\
name: hello
summary: Follows Kubernetes
namespace: hello
versions: {"1.99.0": {web: 1.99.0}, "1.37.1": {web: 1.37.1}, "1.36.2": {web: 1.36.2}}
needs_kubernetes: {"1.99.0": "1.99", "1.37.1": "1.37"}
images: {web: {reference: "r/web:{version}"}}
parameters:
  project: {type: text, required: true, description: The project.}
"""
INVENTORY = "cluster:\n  name: c\n  addons:\n    {}\nhosts:\n  a: {{address: 192.0.2.1, group: control_plane}}\n"


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "addons" / "hello").mkdir(parents=True)
    (tmp_path / "addons" / "hello" / "addon.yaml").write_text(HELLO)
    return tmp_path


def loaded(folder: Path, line: str, **environment: str) -> dict[str, Addon]:
    path = folder / "inventory.yaml"
    path.write_text(INVENTORY.format(line))
    return {addon.name: addon for addon in load(path, environment=environment).cluster.addons}


def test_what_is_on_by_default_is_on_until_it_is_switched_off(beside: Path) -> None:
    assert set(loaded(beside, "hello: true")) == {"hello", "metrics-server"}
    assert set(loaded(beside, "metrics-server: false")) == set()


def test_parameters_have_their_defaults_and_a_version_chooses_images(beside: Path) -> None:
    hello = loaded(beside, 'hello: {replicas: 3, version: "1.1.0"}')["hello"]
    assert hello.parameters == {"replicas": 3, "token": None}
    assert [(image.name, image.version) for image in hello.images] == [("web", "1.1.3")]
    assert loaded(beside, "hello: true")["hello"].version == "1.2.0"


def test_the_newest_version_that_is_for_this_kubernetes_is_the_default(beside: Path) -> None:
    (beside / "addons" / "hello" / "addon.yaml").write_text(FOLLOWING)
    assert loaded(beside, "hello: {project: p}")["hello"].version == "1.37.1"
    older = INVENTORY.replace("  name: c\n", '  name: c\n  kubernetes: "1.36"\n')
    path = beside / "older.yaml"
    path.write_text(older.format("hello: {project: p}"))
    assert {addon.name: addon.version for addon in load(path).cluster.addons}["hello"] == "1.36.2"
    path.write_text(older.format('hello: {project: p, version: "1.37.1"}'))
    with pytest.raises(InventoryError) as caught:
        load(path)
    (mistake,) = caught.value.mistakes
    assert "this version is for a newer Kubernetes" in mistake.what
    assert (mistake.needed, mistake.todo) == ("Kubernetes 1.37 or later", "write 1.36.2, or leave it out")


def test_a_parameter_that_must_be_given_is_told_with_its_meaning(beside: Path) -> None:
    (beside / "addons" / "hello" / "addon.yaml").write_text(FOLLOWING)
    with pytest.raises(InventoryError) as caught:
        loaded(beside, "hello: true")
    (mistake,) = caught.value.mistakes
    assert "the parameter project is missing" in mistake.what
    assert mistake.needed == "The project."


def test_the_value_of_a_misspelled_parameter_is_not_shown(beside: Path) -> None:
    with pytest.raises(InventoryError) as caught:
        loaded(beside, "hello: {tokn: s3cret-text}")
    assert "s3cret" not in str(caught.value)
    assert "did you mean 'token'?" in str(caught.value)


def test_a_secret_may_have_several_lines(beside: Path) -> None:
    key = beside / "key.json"
    key.touch(mode=0o600)
    key.write_text('{\n  "a": 1\n}\n')
    hello = loaded(beside, "hello: {token: {file: key.json}}")["hello"]
    assert hello.parameters["token"].reveal() == '{\n  "a": 1\n}'


def test_a_secret_comes_by_reference_and_is_never_shown(beside: Path) -> None:
    hello = loaded(beside, "hello: {token: {env: HELLO_TOKEN}}", HELLO_TOKEN="s3cret-text")["hello"]
    assert hello.parameters["token"].reveal() == "s3cret-text"
    assert "s3cret" not in repr(hello)


@pytest.mark.parametrize(
    ("line", "place", "told", "todo"),
    [
        ("helo: true", "4:", "there is no such add-on", "did you mean 'hello'?"),
        ("hello: {replica: 3}", "4:", "there is no such parameter", "did you mean 'replicas'?"),
        ("hello: {replicas: 30}", "4:23", "out of range", "at most 9"),
        ("hello: {replicas: many}", "4:23", "the wrong kind of value", "a whole number"),
        ('hello: {version: "3.0.0"}', "4:22", "this version is not in the catalog", "1.2.0"),
        ("hello: {version: 1.2}", "4:22", "a version is text", "put it into quotes"),
        ("hello: {token: plain-secret}", "4:20", "a secret may not stand in the inventory", "{env: NAME}"),
        ("hello: {token: {env: NOT_SET}}", "4:", "NOT_SET", "env"),
        ("hello: 3", "4:", "", ""),
    ],
)
def test_a_mistake_is_told_at_its_place(beside: Path, line: str, place: str, told: str, todo: str) -> None:
    with pytest.raises(InventoryError) as caught:
        loaded(beside, line)
    text = str(caught.value)
    assert f"inventory.yaml:{place}" in text
    assert told in text
    assert todo in text
    assert "plain-secret" not in text


def test_a_description_that_is_wrong_is_told_once_and_only_where_it_is_used(beside: Path) -> None:
    (beside / "addons" / "broken").mkdir()
    (beside / "addons" / "broken" / "addon.yaml").write_text("name: other\n")
    assert "hello" in loaded(beside, "hello: true")
    with pytest.raises(InventoryError, match="broken"):
        loaded(beside, "broken: true")


def test_what_is_needed_comes_first_and_must_be_on(beside: Path) -> None:
    needing = HELLO.replace("hello", "aaa").replace("versions:", "needs: [hello]\nversions:")
    (beside / "addons" / "aaa").mkdir()
    (beside / "addons" / "aaa" / "addon.yaml").write_text(needing)
    names = list(loaded(beside, "aaa: true\n    hello: true"))
    assert names.index("hello") < names.index("aaa")
    with pytest.raises(InventoryError, match="needs the add-on hello, which is off"):
        loaded(beside, "aaa: true")


@pytest.mark.parametrize(
    ("kind", "value", "right"),
    [
        *(("duration", "14d", True), ("duration", "14", False), ("duration", "0d", False), ("duration", 14, False)),
        *(("size", "10Gi", True), ("size", "10GB", False), ("boolean", True, True), ("boolean", "true", False)),
        *(("integer", True, False), ("list", ["a"], True), ("list", "a", False), ("mapping", {"a": 1}, True)),
        *(("mapping", [1], False), ("text", "a", True), ("choice", "b", True), ("choice", "c", False)),
    ],
)
def test_kinds_of_parameters(kind: Any, value: Any, right: bool) -> None:
    parameter = Parameter(name="p", type=kind, description="", choices=("a", "b"))
    assert (why_not(parameter, value) is None) == right


def test_a_pattern_holds_for_the_whole_text() -> None:
    parameter = Parameter(name="p", type="text", description="", pattern="[a-z]+")
    assert why_not(parameter, "abc") is None
    assert why_not(parameter, "abc1") is not None


def test_add_ons_by_name_come_with_those_on_by_default() -> None:
    assert [addon.name for addon in by_name(())] == ["metrics-server"]
    assert [addon.version for addon in by_name(["metrics-server=0.8.0"])] == ["0.8.0"]
    with pytest.raises(AddonError, match="not in the catalog"):
        by_name(["metrics-server=0.0.1"])
    versions = {addon.name: addon.version for addon in by_name(["cloud-aws"], (1, 36))}
    assert versions["cloud-aws"] == "1.36.2"
    with pytest.raises(AddonError, match="there is no such add-on"):
        by_name(("metrics-serve",))


def test_nothing_chosen_is_nothing_but_the_defaults() -> None:
    faults: list[Any] = []
    found = chosen({}, None, lambda *arguments, **_: faults.append(arguments), lambda *_: None)
    assert ([addon.name for addon in found], faults) == (["metrics-server"], [])


UI = """\
name: ui
summary: A page
namespace: ui
images: {}
parameters:
  rights: {type: choice, choices: [view, edit], default: view, description: Rights., cautions: {edit: as good as root}}
  arguments: {type: list, default: [], description: More., refused: {'--?base-url(=.*)?': the page at /}}
"""


def test_a_choice_that_has_a_caution_is_taken_and_told(beside: Path) -> None:
    (beside / "addons" / "ui").mkdir()
    (beside / "addons" / "ui" / "addon.yaml").write_text(UI)
    path = beside / "inventory.yaml"
    path.write_text(INVENTORY.format("ui: {rights: edit}"))
    (caution,) = [one for one in load(path).warnings if "addons" in one.what]
    assert caution.what == "cluster.addons.ui.rights: as good as root"
    assert caution.where.endswith("inventory.yaml:4:10")
    path.write_text(INVENTORY.format("ui: true"))
    assert not [one for one in load(path).warnings if "addons" in one.what]


@pytest.mark.parametrize("argument", ["-base-url=/ui", "--base-url=/ui", "-base-url"])
def test_an_argument_that_would_break_the_add_on_is_refused_with_the_reason(beside: Path, argument: str) -> None:
    (beside / "addons" / "ui").mkdir()
    (beside / "addons" / "ui" / "addon.yaml").write_text(UI)
    with pytest.raises(InventoryError) as caught:
        loaded(beside, f"ui: {{arguments: [-oidc-scopes=a, {argument}]}}")
    found = str(caught.value)
    assert f"{argument} cannot be set here" in found
    assert "the page at /" in found
    assert loaded(beside, "ui: {arguments: [-oidc-scopes=base-url]}")["ui"].parameters["arguments"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("cautions: {edit:", "cautions: {admin:", "a caution for a choice that there is not"),
        ("type: list, default: []", "type: text", "refuses values and is no list"),
        ("--?base-url(=.*)?", "base-url(", "no regular expression"),
    ],
)
def test_a_description_that_says_it_wrongly_is_refused(beside: Path, old: str, new: str, told: str) -> None:
    (beside / "addons" / "ui").mkdir()
    (beside / "addons" / "ui" / "addon.yaml").write_text(UI.replace(old, new))
    with pytest.raises(InventoryError, match=told):
        loaded(beside, "ui: true")
