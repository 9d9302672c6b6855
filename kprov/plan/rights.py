"""What a person may do in a namespace: the binding that kprov makes, and what else gives rights to the same name. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

GROUP = "rbac.authorization.k8s.io"
LABEL = "kprov.io/given-to"  # whose: of the name a digest, as names of people may have letters that labels may not

RoleKind = Literal["ClusterRole", "Role"]


def digest(user: str) -> str:
    """Return what a label says instead of the name."""
    return hashlib.sha256(user.encode()).hexdigest()[:16]


def binding(user: str, namespace: str, role: str, kind: RoleKind) -> dict[str, Any]:
    """Return the RoleBinding of one role to one person. It has the same name however often it is made."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": f"kprov:{kind.lower()}:{role}:{digest(user)}",
            "namespace": namespace,
            "labels": {LABEL: digest(user)},
        },
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
    }


def named(bindings: Iterable[Mapping[str, Any]], user: str, groups: Sequence[str]) -> list[str]:
    """Return which bindings give rights to this person, or to a group of the person's, in words."""
    return [
        f"{_where(item)} ({_who(subject)}): {item['roleRef']['name']}"
        for item in bindings
        for subject in item.get("subjects") or ()
        if (subject["kind"] == "User" and subject["name"] == user)
        or (subject["kind"] == "Group" and subject["name"] in groups)
    ]


def _where(item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    space = metadata.get("namespace")
    return f"rolebinding {space}/{metadata['name']}" if space else f"clusterrolebinding {metadata['name']}"


def _who(subject: Mapping[str, Any]) -> str:
    return f"{str(subject['kind']).lower()} {subject['name']}"
