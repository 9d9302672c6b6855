"""The reference page of what a change means on a living cluster, rendered from what each setting declares.

`python -m kprov.inventory.changes FILE` writes the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kprov.addon.describe import described, shelf
from kprov.inventory.reference import sections
from kprov.inventory.schema import json_schema
from kprov.values.effect import SCHEMA_KEY, read_effect

_INTRODUCTION = """\
# What a change means

This page is rendered from what each key of the inventory and each parameter of an add-on declares:
`python -m kprov.inventory.changes docs/reference/changes.md` renders it again.

What happens when a key is changed on a cluster that runs. `kprov plan` ends with what it interrupts (which unit, which nodes,
what goes on meanwhile), what goes in steps, and what cannot be undone; `kprov up` shows these before it asks.

| word | means |
|---|---|
| free | nothing is interrupted |
| restarts | these units or pods restart, each behind its health gate; containers of nodes go on |
| drains | a node is emptied first, then these restart, and it is opened again; a cluster of one node cannot be emptied |
| procedure | only in the steps that are named; anything else is refused before anything is touched |
| fixed | refused before anything is touched, with the value that the cluster lives with; the way that works is named |

What is refused is compared with what the cluster and its hosts say of themselves, never with the folder of the one who runs
kprov. A key that is taken out of the file changes to its default.
"""


def render() -> str:
    """Return the page as Markdown, ending with a line break."""
    return "\n".join([_INTRODUCTION, *_inventory_sections(), *_addon_sections()])


def undeclared(schema: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """List the settings that do not say what a change of them means: `ClusterKeys.domain`, `storage.reclaim`.

    A mapping whose keys have a section of their own says nothing itself.
    """
    whole = json_schema() if schema is None else schema
    models = {"Inventory": whole, **whole["$defs"]}
    keys = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, field in model.get("properties", {}).items()
        if SCHEMA_KEY not in field and "'$ref'" not in repr(field)
    ]
    addons = [described(folder, own=True) for folder in shelf(None).values()]
    parameters = [
        f"{addon.name}.{name}" for addon in addons for name, row in addon.parameters.items() if row.change is None
    ]
    return (*keys, *parameters)


def _inventory_sections() -> Iterator[str]:
    for title, model, without in sections(json_schema()):
        rows = [
            (key, field[SCHEMA_KEY])
            for key, field in model["properties"].items()
            if key not in without and SCHEMA_KEY in field
        ]
        if rows:
            yield _table(title, "key", rows)


def _addon_sections() -> Iterator[str]:
    for name, folder in shelf(None).items():
        parameters = described(folder, own=True).parameters.values()
        rows = [(row.name, row.change.text) for row in parameters if row.change is not None]
        if rows:
            yield _table(f"Add-on `{name}`", "parameter", rows)


def _table(title: str, what: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"## {title}\n", f"| {what} | a change | what happens |", "|---|---|---|"]
    for key, text in rows:
        effect = read_effect(text)
        happens = "; ".join(part for part in (", ".join(effect.units), effect.note) if part)
        lines.append(f"| `{key}` | {effect.kind} | {happens} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
