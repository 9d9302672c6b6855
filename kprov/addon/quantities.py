"""Quantities of resources in the form in which the API server gives them back. Pure.

Manifests write them in several ways (`cpu: 1`, `0.5`, `1024Mi`); what lives has one, and would differ from the others in
every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|[MGTPE]|[KMGTPE]i)?")
_DECIMAL: Mapping[str, int | Decimal] = {
    "E": 10**18,
    "P": 10**15,
    "T": 10**12,
    "G": 10**9,
    "M": 10**6,
    "k": 1000,
    "": 1,
    "m": Decimal("0.001"),
}
_BINARY: Mapping[str, int | Decimal] = {
    "Ei": 2**60,
    "Pi": 2**50,
    "Ti": 2**40,
    "Gi": 2**30,
    "Mi": 2**20,
    "Ki": 2**10,
    "": 1,
}


def with_quantities(item: Any) -> Any:
    """A copy with every quantity below `resources` in that form."""
    if isinstance(item, Mapping):
        return {
            key: _amounts(value) if key == "resources" and isinstance(value, Mapping) else with_quantities(value)
            for key, value in item.items()
        }
    return [with_quantities(one) for one in item] if isinstance(item, list) else item


def _amounts(resources: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {name: canonical(amount) for name, amount in value.items()}
        if key in {"limits", "requests"} and isinstance(value, Mapping)
        else with_quantities(value)
        for key, value in resources.items()
    }


def quantity(written: Any) -> Decimal | None:
    """Return the amount that is written, in bytes or whole units; None for what is no quantity, or has an exponent."""
    match = _WRITTEN.fullmatch(str(written)) if isinstance(written, str | int | float) else None
    if match is None or isinstance(written, bool):
        return None
    unit = match[2] or ""
    return Decimal(match[1]) * (_BINARY if unit.endswith("i") else _DECIMAL)[unit]


def share_or_amount(written: Any, whole: int) -> Decimal | None:
    """Return an amount, or `10%` of the whole; None for what is neither."""
    text = str(written)
    if not text.endswith("%"):
        return quantity(written)
    share = quantity(text.removesuffix("%"))
    return None if share is None else share * whole / 100


def canonical(written: Any) -> Any:
    """The quantity with the largest unit that leaves a whole number; what is none, or has an exponent, as it is."""
    amount = quantity(written)
    if amount is None:
        return written
    units = _BINARY if str(written).endswith("i") else _DECIMAL
    fitting = next(((name, size) for name, size in units.items() if amount and amount % size == 0), ("", 1))
    whole = amount / fitting[1]
    return f"{int(whole)}{fitting[0]}" if whole == int(whole) else written
