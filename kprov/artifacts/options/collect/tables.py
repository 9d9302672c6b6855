"""A program's default configuration in TOML → the kind of each of its settings. Pure."""

from __future__ import annotations

import json
import tomllib
from typing import Any

Tree = dict[str, "Tree | str"]


def settings_of(text: str) -> Tree:
    """Return the settings of a default configuration: a table's as a mapping, the kind of each other one."""
    return {name: _kind(value) for name, value in tomllib.loads(text).items()}


def _kind(value: Any) -> Tree | str:
    if isinstance(value, dict):
        return {name: _kind(item) for name, item in value.items()}
    if isinstance(value, list):
        return "list"
    return {bool: "bool", int: "int", float: "float", str: "text"}.get(type(value), "any")


def as_json(version: str, tree: Tree) -> str:
    """JSON with a line for each setting of a table."""
    return json.dumps({"version": version, "settings": tree}, indent=1) + "\n"
