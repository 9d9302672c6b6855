"""Whether people who sign on with an add-on's page are let in by the API servers: same issuer, and a client of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.inventory.review import Review
from kprov.values.addon import Addon
from kprov.values.spelling import did_you_mean

_AT = ("cluster", "addons")
_CLIENT = "client_id"


def check(review: Review, addons: Iterable[Addon], authentication: Mapping[str, Any]) -> None:
    """Note each add-on whose people would sign on, and be refused. authentication: as the API servers get it."""
    if not review.sound("cluster", "authentication"):
        return
    issuers = {str(row["issuer"]["url"]): row["issuer"] for row in authentication.get("jwt", ())}
    for addon in addons:
        names = [name for name, row in addon.description.parameters.items() if row.type == "issuer"]
        if addon.issuer and names:
            _issuer(review, addon, (*_AT, addon.name, names[0]), issuers)


def _issuer(review: Review, addon: Addon, at: tuple[str, ...], issuers: Mapping[str, Mapping[str, Any]]) -> None:
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
