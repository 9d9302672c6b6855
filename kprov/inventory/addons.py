"""The part of an inventory that names add-ons → those that are on; each mistake is noted at its own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kprov.addon.choose import chosen
from kprov.addon.spec import Addon
from kprov.inventory.keys import SecretReference
from kprov.inventory.passwords import SecretReader, Unresolved
from kprov.inventory.review import Review
from kprov.model import NETWORK_ADDONS, Secret

FOLDER = "addons"  # beside the inventory
_AT = ("cluster", "addons")


def addons(review: Review, folder: Path, reader: SecretReader) -> tuple[Addon, ...]:
    """The add-ons that are on. folder: the inventory's."""

    def fault(path: tuple[str, ...], what: str, *, needed: str = "", todo: str = "", found: str = "") -> None:
        review.fault((*_AT, *path), what, needed=needed, todo=todo, found=found)

    def secret(path: tuple[str, ...], value: Any) -> Secret | None:
        needed = "`{env: NAME}` or `{file: PATH}`"
        try:
            return reader.read(SecretReference.model_validate(value))
        except ValidationError:
            fault(path, "a secret may not stand in the inventory", found="something that is not shown", needed=needed)
        except Unresolved as error:
            fault(path, str(error), found="a reference", needed=needed)
        return None

    own = folder / FOLDER
    return chosen(_entries(review), own if own.is_dir() else None, fault, secret, folder)


def _entries(review: Review) -> dict[str, Any]:
    """What stands under `addons`, with the pod network's own, which `network` switches on and nothing else does."""
    cluster = review.inventory.cluster
    mode = cluster.network.mode
    entries: dict[str, Any] = dict(cluster.addons)
    for name in NETWORK_ADDONS:
        if name != mode and entries.get(name, False) is not False:
            review.fault((*_AT, name), "this add-on is a pod network", todo=f"write `network: {name}` under `cluster`")
        elif name == mode and entries.setdefault(name, True) is False:
            review.fault((*_AT, name), f"the pod network is {name}", needed="its add-on", todo="remove this line")
    return entries
