"""`kprov addons`: which add-ons there are, which of them an inventory has on, and what each takes. Asks no host."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from kprov.addon.describe import described, is_own, shelf
from kprov.cli.options import FILE, json_option
from kprov.inventory import load
from kprov.inventory.addons import FOLDER
from kprov.report.jsonlines import document
from kprov.values.addon import Addon, Description
from kprov.values.errors import AddonError
from kprov.values.secret import Secret
from kprov.values.spelling import did_you_mean

_inventory = click.argument("inventory", type=FILE, required=False)


@click.group()
def addons() -> None:
    """Add-ons: what a cluster can be given besides itself, kprov's own and yours.

    Switched on by a line below `addons:` in the inventory; docs/addons.md tells how they work and how to write one.
    """


@addons.command("list")
@_inventory
@json_option
def show(inventory: Path | None, *, json: bool) -> None:
    """Show all add-ons; with an inventory also its own, and which are on.

    \b
    Examples:
      kprov addons list
      kprov addons list inventory.yaml --json
    """
    chosen = _chosen(inventory)
    rows = [_row(description, chosen) for description in _descriptions(inventory)]
    if json:
        click.echo(document({"addons": rows}))
        return
    for row in rows:
        state = "on " if row["on"] else "off"
        click.echo(f"{row['name']:<22} {state}  {row['version'] or '-':<10} {row['summary']}")


@addons.command()
@click.argument("name")
@_inventory
@json_option
def info(name: str, inventory: Path | None, *, json: bool) -> None:
    """Show one add-on: versions, images, parameters, what it needs.

    \b
    Examples:
      kprov addons info metrics-server
      kprov addons info monitoring inventory.yaml
    """
    known = {description.name: description for description in _descriptions(inventory)}
    if name not in known:
        raise AddonError(
            "there is no such add-on",
            found=name,
            needed=f"one of {', '.join(known)}",
            todo=did_you_mean(name, known) or "your own are listed when you name your inventory too",
        )
    values = _values(known[name], (_chosen(inventory) or {}).get(name))
    click.echo(document({"addon": values}) if json else "\n".join(_lines(values)))


def _chosen(inventory: Path | None) -> dict[str, Addon] | None:
    """What is on, and None without an inventory: one that has nothing on says so too."""
    return {addon.name: addon for addon in load(inventory).cluster.addons} if inventory is not None else None


def _descriptions(inventory: Path | None) -> list[Description]:
    own = inventory.absolute().parent / FOLDER if inventory is not None else None
    return [described(folder, own=is_own(folder)) for _, folder in sorted(shelf(own).items())]


def _row(description: Description, chosen: dict[str, Addon] | None) -> dict[str, Any]:
    addon = (chosen or {}).get(description.name)
    return {
        "name": description.name,
        "summary": description.summary,
        "on": addon is not None if chosen is not None else description.default,
        "version": addon.version if addon else next(iter(description.versions), ""),
        "own": description.own,
    }


def _values(description: Description, addon: Addon | None) -> dict[str, Any]:
    return {
        "name": description.name,
        "summary": description.summary,
        "namespace": description.namespace,
        "default": description.default,
        "folder": str(description.folder),
        "versions": {version: dict(images) for version, images in description.versions.items()},
        "needs_kubernetes": {
            version: ".".join(map(str, minor)) for version, minor in description.needs_kubernetes.items()
        },
        "images": {name: entry.reference for name, entry in description.images.items()},
        "parameters": {
            parameter.name: {
                "type": parameter.type,
                "required": parameter.required,
                "default": parameter.default,
                "description": parameter.description,
                **({"change": parameter.change.text} if parameter.change else {}),
                **({"choices": list(parameter.choices)} if parameter.choices else {}),
                **({"set": _shown(addon.parameters[parameter.name])} if addon else {}),
            }
            for parameter in description.parameters.values()
        },
        "needs": list(description.needs),
        "ready": list(description.ready),
        "pod_security": {"level": description.level, "reason": description.reason},
    }


def _shown(value: Any) -> Any:
    """A parameter's value as JSON has it; secrets mask themselves."""
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return str(value) if isinstance(value, Secret) else value


def _lines(values: dict[str, Any]) -> Iterator[str]:
    yield f"{values['name']}: {values['summary']}"
    yield f"  namespace     {values['namespace']}"
    yield f"  folder        {values['folder']}"
    for version, images in values["versions"].items():
        least = values["needs_kubernetes"].get(version, "")
        after = f", for Kubernetes {least} and later" if least else ""
        parts = ", ".join(f"{part} {number}" for part, number in images.items())
        yield f"  version       {version}" + (f": {parts}" if images else "") + after
    for name, reference in values["images"].items():
        yield f"  image         {name}: {reference}"
    if values["needs"]:
        yield f"  needs         {', '.join(values['needs'])}"
    security = values["pod_security"]
    yield f"  pod security  {security['level']}" + (f": {security['reason']}" if security["reason"] else "")
    for name, parameter in values["parameters"].items():
        choices = f" ({', '.join(parameter['choices'])})" if "choices" in parameter else ""
        default = "" if parameter["default"] is None else f", default {jsonlib.dumps(parameter['default'])}"
        default = ", required" if parameter["required"] else default
        now = (
            f", set to {jsonlib.dumps(parameter['set'])}"
            if parameter.get("set") not in (None, parameter["default"])
            else ""
        )
        yield f"  {name}: {parameter['type']}{choices}{default}{now}"
        yield f"      {parameter['description']}"
        if "change" in parameter:
            yield f"      a change: {parameter['change']}"
