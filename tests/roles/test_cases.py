"""Every YAML file below cases/ROLE is a test: given these hosts, the role wants exactly these resources and texts.

    why:      what the case is about
    given:    cluster, hosts, host (see given.py)
    keys:     all resources, in order
    text:     path or unit → its whole text; name the ones that the case is about
    contains: path or unit → lines that must be in it (never rewritten)
    lacks:    path or unit → words that must not be in it (never rewritten)

`pytest tests/roles --update-cases` rewrites keys and text.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from given import context

from kprov.values.resources import File, Resource, Unit

CASES = sorted((Path(__file__).parent / "cases").glob("*/*.yaml"))


class _Dumper(yaml.SafeDumper):
    """Texts as blocks, so that a case reads like the file it is about."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def texts(resources: list[Resource]) -> dict[str, str]:
    files = {resource.path: resource.content.decode() for resource in resources if isinstance(resource, File)}
    units = {resource.name: resource.content.decode() for resource in resources if isinstance(resource, Unit)}
    return files | units


def test_there_is_a_case_for_every_role() -> None:
    roles = {path.stem for path in (Path(__file__).parents[2] / "roles").glob("*.py")}
    with_resources = {name for name in roles if hasattr(import_module(f"kprov.roles.{name}"), "resources")}
    assert {path.parent.name for path in CASES} == with_resources


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path, request: pytest.FixtureRequest) -> None:
    case: dict[str, Any] = yaml.safe_load(path.read_text())
    role = import_module(f"kprov.roles.{path.parent.name}")
    resources = list(role.resources(context(case["given"])))
    keys = [" ".join(resource.key) for resource in resources]
    found = texts(resources)
    if request.config.getoption("--update-cases"):
        case["keys"] = keys
        if "text" in case:
            case["text"] = {name: found[name] for name in case["text"]}
        path.write_text(yaml.dump(case, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True))
    assert keys == case["keys"]
    for name, text in case.get("text", {}).items():
        assert found[name] == text
    for name, lines in case.get("contains", {}).items():
        present = [line.strip() for line in found[name].splitlines()]
        assert [line for line in lines if line not in present] == []
    for name, words in case.get("lacks", {}).items():
        assert [word for word in words if word in found[name]] == []
