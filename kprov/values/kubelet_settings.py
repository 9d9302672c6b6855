"""Reads what an inventory says of a kubelet, which may be anything until it was judged. It judges nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the mapping that a field holds, such as `kubeReserved`; an empty one where it holds none."""
    value = settings.get(name)
    return value if isinstance(value, Mapping) else {}
