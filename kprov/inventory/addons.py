"""The part of an inventory that names add-ons → those that are on; each mistake is noted at its own line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kprov.addon.choose import chosen
from kprov.inventory.cloud import entries
from kprov.inventory.keys import SecretReference
from kprov.inventory.passwords import SecretReader, Unresolved
from kprov.inventory.review import Review
from kprov.values.addon import Addon
from kprov.values.model import NETWORK_ADDONS
from kprov.values.secret import Secret

FOLDER = "addons"  # beside the inventory
_AT = ("cluster", "addons")


def addons(
    review: Review, folder: Path, reader: SecretReader, kubernetes: tuple[int, int] | None = None
) -> tuple[Addon, ...]:
    """The add-ons that are on, the cloud's controller among them. folder: the inventory's; kubernetes: minor version."""
    own = folder / FOLDER if (folder / FOLDER).is_dir() else None
    listed, cloud = entries(review, own)
    desired = _with_network(review, listed)

    def place(path: tuple[str, ...]) -> tuple[str, ...]:
        return ("cluster", "cloud", *path[1:]) if path[0] == cloud else (*_AT, *path)

    def fault(path: tuple[str, ...], what: str, *, needed: str = "", todo: str = "", found: str = "") -> None:
        review.fault(place(path), what, needed=needed, todo=todo, found=found)

    def caution(path: tuple[str, ...], what: str) -> None:
        review.caution(place(path), what)

    def secret(path: tuple[str, ...], value: Any) -> Secret | None:
        needed = "`{env: NAME}` or `{file: PATH}`"
        try:
            return reader.read(SecretReference.model_validate(value), several_lines=True)
        except ValidationError:
            fault(path, "a secret may not stand in the inventory", found="something that is not shown", needed=needed)
        except Unresolved as error:
            fault(path, str(error), found="a reference", needed=needed)
        return None

    return chosen(desired, own, fault, secret, folder, kubernetes, caution)


def _with_network(review: Review, entries: Mapping[str, Any]) -> dict[str, Any]:
    """These, with the pod network's own, which `network` switches on and nothing else does."""
    mode = review.inventory.cluster.network.mode
    found = dict(entries)
    for name in NETWORK_ADDONS:
        if name != mode and found.get(name, False) is not False:
            review.fault((*_AT, name), "this add-on is a pod network", todo=f"write `network: {name}` under `cluster`")
        elif name == mode and found.setdefault(name, True) is False:
            review.fault((*_AT, name), f"the pod network is {name}", needed="its add-on", todo="remove this line")
    return found
