"""The part of an inventory that names add-ons → those that are on; each mistake is noted at its own line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from kprov.values.spelling import did_you_mean

FOLDER = "addons"  # beside the inventory
_AT = ("cluster", "addons")
_CLIENT = "client_id"


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


def check_sign_on(review: Review, addons: Iterable[Addon], authentication: Mapping[str, Any]) -> None:
    """Note each add-on whose people would sign on, and be refused. authentication: as the API servers get it."""
    if not review.sound("cluster", "authentication"):
        return
    issuers = {str(row["issuer"]["url"]): row["issuer"] for row in authentication.get("jwt", ())}
    for addon in addons:
        names = [name for name, row in addon.description.parameters.items() if row.type == "issuer"]
        if addon.issuer and names:
            _check_issuer(review, addon, (*_AT, addon.name, names[0]), issuers)


def _check_issuer(review: Review, addon: Addon, at: tuple[str, ...], issuers: Mapping[str, Mapping[str, Any]]) -> None:
    if addon.issuer not in issuers:
        review.fault(
            at,
            "the API servers do not know this issuer: whoever signs on with it would be refused",
            found=addon.issuer,
            needed=f"one of {', '.join(issuers)}" if issuers else "an issuer of `authentication: {jwt: […]}`",
            todo=did_you_mean(addon.issuer, issuers) or "add it there (docs/access.md)",
        )
        return
    audiences = [str(one) for one in issuers[addon.issuer].get("audiences") or ()]
    client = str(addon.parameters.get(_CLIENT) or "")
    if client and client not in audiences:
        review.fault(
            (*at[:-1], _CLIENT),
            "the API servers refuse tokens of this client",
            found=client,
            needed=f"one of the issuer's `audiences`: {', '.join(audiences)}",
            todo="add it there, or name another client",
        )
    elif not client and len(audiences) != 1:
        review.fault(
            at,
            "the issuer has several audiences, and people sign on with one of them",
            found=", ".join(audiences),
            needed=f"`{_CLIENT}`",
            todo=f"name it beside this line: `{_CLIENT}: {audiences[0] if audiences else 'ID'}`",
        )
