"""An API server that knows namespaces, roles and their bindings, for tests. No test is here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from kprov.plan.rights import LABEL
from kprov.tunnel.client import Client, Said

RBAC = "/apis/rbac.authorization.k8s.io/v1"
SHOP = f"{RBAC}/namespaces/shop"


class Api:
    """Answers from a table; what is not in it is not there."""

    def __init__(self, **failures: str) -> None:
        self.objects: dict[str, Any] = {
            "/api/v1/namespaces/shop": {},
            f"{RBAC}/clusterroles/edit": {},
            f"{SHOP}/roles/baker": {},
        }
        self.bindings: list[dict[str, Any]] = []
        self.cluster_bindings: list[dict[str, Any]] = []
        self.failures = failures
        self.asked: list[str] = []

    def ask(self, method: str, path: str, body: Any = None) -> Said:
        self.asked.append(f"{method} {path}")
        if method in self.failures:
            return Said(why=self.failures[method])
        if method == "POST":
            if any(item["metadata"]["name"] == body["metadata"]["name"] for item in self.bindings):
                return Said(why="HTTP 409")
            self.bindings.append(body)
            return Said(body=body)
        if method == "DELETE":
            name = path.rpartition("/")[2].replace("%3A", ":")
            self.bindings = [item for item in self.bindings if item["metadata"]["name"] != name]
            return Said(body={})
        if "bindings?" in path:
            return Said(body={"items": self._listed(path), "metadata": {}})
        return Said(body=self.objects[path]) if path in self.objects else Said(why="HTTP 404")

    def _listed(self, path: str) -> list[dict[str, Any]]:
        kind, _, query = path.partition("?")
        found = self.cluster_bindings if kind.endswith("/clusterrolebindings") else self.bindings
        selector = (
            query.partition("labelSelector=")[2]
            .replace("%3D", "=")
            .replace("%2F", "/")
            .replace("kprov.io/given-to=", "")
        )
        if not selector:
            return found
        return [item for item in found if item["metadata"].get("labels", {}).get(LABEL) == selector]


def client(api: Api) -> Client:
    return cast(Client, api)


def bound(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    role, (subject,) = item["roleRef"], item["subjects"]
    return item["metadata"]["namespace"], role["kind"], role["name"], subject["name"]
