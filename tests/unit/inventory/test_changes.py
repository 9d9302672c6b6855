"""What a change of each key means: declared by every key, parsed from add-ons, and rendered into a page."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from kprov.addon.describe import described
from kprov.inventory.changes import render, undeclared
from kprov.inventory.schema import json_schema
from kprov.values.components import BY_NAME
from kprov.values.effect import KINDS, SCHEMA_KEY, Effect, fixed, free, read_effect, restarts
from kprov.values.errors import AddonError

ROOT = Path(__file__).parents[3]


def test_every_key_and_parameter_declares_what_a_change_means() -> None:
    assert undeclared() == ()


def test_a_key_without_a_declaration_is_found() -> None:
    schema = deepcopy(json_schema())
    del schema["$defs"]["ClusterKeys"]["properties"]["domain"][SCHEMA_KEY]
    del schema["properties"]["hosts"][SCHEMA_KEY]  # its keys are declared elsewhere
    assert undeclared(schema) == ("ClusterKeys.domain",)


def test_what_restarts_is_a_component() -> None:
    schema = json_schema()
    fields = [field for model in (schema, *schema["$defs"].values()) for field in model["properties"].values()]
    units = {unit for field in fields if SCHEMA_KEY in field for unit in read_effect(field[SCHEMA_KEY]).units}
    assert "kubelet" in units
    assert {unit for unit in units if " " not in unit} - set(BY_NAME) == set()  # others are words


def test_the_page_is_up_to_date() -> None:
    page = ROOT / "docs/reference/changes.md"
    assert page.read_text() == render(), f"run: python -m kprov.inventory.changes {page.relative_to(ROOT)}"


def test_the_page_has_every_key_and_every_kind() -> None:
    page = render()
    models = json_schema()["$defs"].values()
    keys = [key for model in models for key, field in model["properties"].items() if SCHEMA_KEY in field]
    assert [key for key in keys if f"| `{key}` |" not in page] == []
    assert all(f"| {kind} |" in page for kind in KINDS)


@pytest.mark.parametrize(
    "effect", [free(), free("a; b"), restarts("etcd", "kubelet", note="one by one"), fixed("write it")]
)
def test_a_declaration_is_read_as_it_was_written(effect: Effect) -> None:
    assert read_effect(effect.text) == effect


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sometimes", "'sometimes' is not one of free, restarts"),
        ("restarts", "needs the name of what restarts"),
        ("free etcd", "restarts nothing"),
        ("fixed", "needs the way"),
        ("procedure; ", "needs the way"),
    ],
)
def test_a_declaration_of_an_add_on_that_says_too_little_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        read_effect(text)
    folder = tmp_path / "own"
    folder.mkdir()
    head = "name: own\nsummary: s\nnamespace: n\nparameters:\n"
    (folder / "addon.yaml").write_text(f"{head}  size: {{type: text, description: d, change: {text!r}}}\n")
    with pytest.raises(AddonError, match=told):
        described(folder)


def test_a_users_add_on_need_not_declare_it(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    head = "name: own\nsummary: s\nnamespace: n\nparameters:\n"
    (folder / "addon.yaml").write_text(
        f"{head}  a: {{type: text, description: d}}\n  b: {{type: text, description: d, change: free}}\n"
    )
    parameters = described(folder).parameters
    assert (parameters["a"].change, parameters["b"].change) == (None, free())
