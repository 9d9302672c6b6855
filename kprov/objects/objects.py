"""Kubernetes objects desired and live: which must be applied, and which of kprov's own are removed. Pure.

An object is in order when everything that is desired of it is contained in what lives: fields that the API server or
other managers added do not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Object = Mapping[str, Any]
Identity = tuple[str, str, str, str]  # API group (empty for the core), kind, namespace (empty when cluster-wide), name

ADDON_LABEL = "kprov.io/addon"  # the add-on an object belongs to
HASH = "kprov.io/config-hash"  # of what was applied: shows that something is removed, which containment cannot
OWNER_LABEL = "app.kubernetes.io/managed-by"
OWNER = "kprov"


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """One object to apply or delete, with the first difference that was found."""

    identity: Identity
    action: Literal["create", "update", "delete"]
    reason: str

    @property
    def title(self) -> str:
        return titled(self.identity)


def titled(key: Identity) -> str:
    """`Deployment ns/name`, as people read it."""
    _, kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def group(item: Object) -> str:
    """The API group of an object, empty for the core."""
    return str(item["apiVersion"]).rpartition("/")[0]


def identity(item: Object) -> Identity:
    metadata = item["metadata"]
    return group(item), str(item["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])


def is_ready(node: Object) -> bool:
    """Whether a Node's kubelet tells, and says that it is well."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(row.get("type") == "Ready" and row.get("status") == "True" for row in conditions)


def resource_kind(key: Identity) -> str:
    """The kind as kubectl takes it, with its API group so that no other group's kind is meant: `deployment.apps`."""
    return f"{key[1].lower()}.{key[0]}" if key[0] else key[1].lower()


def stamped(item: Object) -> Object:
    """The object with the hash of itself as an annotation."""
    digest = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:16]
    metadata = dict(item["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), HASH: digest}
    return {**item, "metadata": metadata}


def compare(desired: Sequence[Object], live: Sequence[Object]) -> tuple[ObjectChange, ...]:
    """What to apply so that `live` (all objects with kprov's label) is what is desired, in the order of `wanted`."""
    lives = {identity(item): item for item in live}
    changes: list[ObjectChange] = []
    for item in desired:
        key = identity(item)
        if key not in lives:
            changes.append(ObjectChange(identity=key, action="create", reason="it is not there"))
            continue
        difference = first_difference(item, lives[key])
        if difference:
            shown = difference if item["kind"] != "Secret" else "its content differs"
            changes.append(ObjectChange(identity=key, action="update", reason=shown))
    return tuple(changes)


def first_difference(desired: Any, live: Any, path: str = "") -> str:
    """Where `wanted` is not contained in `live`, as a sentence; empty when it is contained."""
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return f"{path or 'it'} is {_short(live)}, desired an object"
        for name, value in desired.items():
            here = f"{path}.{name}" if path else str(name)
            if name not in live:
                if value in ({}, [], None, "", False):
                    continue  # the API server leaves empty values out
                return f"{here} is missing, desired {_short(value)}"
            found = first_difference(value, live[name], here)
            if found:
                return found
        return ""
    if isinstance(desired, list | tuple):
        if path == "spec.taints" and isinstance(live, list):  # controllers add taints of their own
            return (
                ""
                if all(taint in live for taint in desired)
                else f"{path} is {_short(live)}, desired {_short(desired)}"
            )
        if not isinstance(live, list | tuple) or len(live) != len(desired):
            return f"{path} is {_short(live)}, desired {_short(desired)}"
        for index, (left, right) in enumerate(zip(desired, live, strict=True)):
            found = first_difference(left, right, f"{path}[{index}]")
            if found:
                return found
        return ""
    return "" if desired == live else f"{path} is {_short(live)}, desired {_short(desired)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
