"""Nodes and the cloud's controller: handed over once each, with a taint, and what it wrote is never taken back. Pure.

kubelet puts the taint only on a Node that it makes itself, and kprov has made the Node before it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.objects.objects import Object

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
PROVIDER = "kprov.io/cloud-provider"  # annotation of a Node: the cloud whose controller it was handed to
_TAINT = {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}


def handed_over(desired: Object, live: Object | None) -> Object:
    """The Node as it is to be applied. desired: with its stamp, which the taint, coming and going, is not part of.

    One that is new to this cloud gets the taint; one that still has it keeps it. A provider ID that a Node has stays: another
    one was refused before (preflight/fixed.py).
    """
    spec = dict(desired.get("spec", {}))
    there = dict((live or {}).get("spec", {}))
    provider, given = _provider(desired), str(there.get("providerID", ""))
    if given:
        spec["providerID"] = given
    if provider and (live is None or _provider(live) != provider or uninitialized(live)):
        spec["taints"] = [*spec.get("taints", ()), _TAINT]
    return {**desired, "spec": spec}


def uninitialized(node: Object) -> bool:
    """Whether a cloud's controller has yet to say what machine this is."""
    return any(taint.get("key") == UNINITIALIZED for taint in node.get("spec", {}).get("taints", ()))


def waiting(nodes: Iterable[Object]) -> tuple[str, ...]:
    """Names of the Nodes among these objects that are, or will be, uninitialized."""
    return tuple(str(node["metadata"]["name"]) for node in nodes if node["kind"] == "Node" and uninitialized(node))


def _provider(node: Mapping[str, Any]) -> str:
    return str((node["metadata"].get("annotations") or {}).get(PROVIDER, ""))
