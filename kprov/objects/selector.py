"""Label selectors of Kubernetes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a selector takes an object with these labels; an empty one takes everything."""
    desired = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in desired.items()) and all(
        _meets(labels, one["key"], one["operator"], one.get("values") or ())
        for one in selector.get("matchExpressions") or ()
    )


def _meets(labels: Mapping[str, str], key: str, operator: str, values: Collection[str]) -> bool:
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) == (operator == "Exists")
    return (labels.get(key) in values) == (operator == "In")
