"""Rights of a person in a namespace, given and taken back by bindings. It prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from kprov.plan.rights import GROUP, LABEL, RoleKind, binding, digest, named
from kprov.run.api_client import all_of, silent
from kprov.tunnel.client import Client
from kprov.values.errors import KprovError

_RBAC = f"/apis/{GROUP}/v1"
_MISSING, _THERE = "HTTP 404", "HTTP 409"


@dataclass(frozen=True, kw_only=True)
class TakenBack:
    """removed: kprov's own bindings, `NAMESPACE/NAME`. left: what else gives rights to the person, in words."""

    removed: tuple[str, ...]
    left: tuple[str, ...]


def give(client: Client, user: str, namespace: str, role: str) -> None:
    """Bind a role to a person, in one namespace; nothing happens where it is bound already. Raises KprovError."""
    space = f"/namespaces/{quote(namespace, safe='')}"
    if not _there(client, f"/api/v1{space}"):
        raise KprovError(
            "there is no such namespace", found=namespace, todo=f"make it: kubectl create namespace {namespace}"
        )
    said = client.ask(
        "POST", f"{_RBAC}{space}/rolebindings", binding(user, namespace, role, _kind(client, space, role))
    )
    if said.why not in ("", _THERE):
        raise silent(f"rolebindings of {namespace}", said.why)


def take_back(client: Client, user: str, groups: Sequence[str]) -> TakenBack:
    """Remove the bindings that kprov made for a person, in all namespaces. Raises KprovError.

    groups: those that certificates of the person say.
    """
    own = all_of(client, f"{_RBAC}/rolebindings", f"&labelSelector={quote(f'{LABEL}={digest(user)}')}")
    removed = []
    for item in own:
        name, space = item["metadata"]["name"], item["metadata"]["namespace"]
        said = client.ask("DELETE", f"{_RBAC}/namespaces/{space}/rolebindings/{quote(name, safe='')}")
        if said.why not in ("", _MISSING):
            raise silent(f"rolebinding {space}/{name}", said.why)
        removed.append(f"{space}/{name}")
    others = [*all_of(client, f"{_RBAC}/rolebindings"), *all_of(client, f"{_RBAC}/clusterrolebindings")]
    return TakenBack(removed=tuple(removed), left=tuple(named(others, user, groups)))


def _kind(client: Client, space: str, role: str) -> RoleKind:
    """A ClusterRole, as Kubernetes' own roles are; else one of the namespace. Raises KprovError."""
    name = quote(role, safe="")
    if _there(client, f"{_RBAC}/clusterroles/{name}"):
        return "ClusterRole"
    if _there(client, f"{_RBAC}{space}/roles/{name}"):
        return "Role"
    raise KprovError(
        "there is no such role",
        found=role,
        needed="a ClusterRole, or a Role of that namespace",
        todo="view, edit and admin are always there; all of them: kubectl get clusterroles",
    )


def _there(client: Client, path: str) -> bool:
    said = client.ask("GET", path)
    if said.why not in ("", _MISSING):
        raise silent(path, said.why)
    return not said.why
