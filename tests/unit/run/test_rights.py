"""Rights of people in namespaces: what is asked of the API for them, every refusal, and what is left when they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from kprov.plan.rights import LABEL, binding, digest, named
from kprov.run.rights import give, take_back
from kprov.tunnel.client import Client, Said
from kprov.values.errors import KprovError

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


@pytest.mark.parametrize(("role", "kind"), [("edit", "ClusterRole"), ("baker", "Role")])
def test_a_role_is_bound_once(role: str, kind: str) -> None:
    api = Api()
    for _ in range(2):
        give(client(api), "anna@example.org", "shop", role)
    assert list(map(bound, api.bindings)) == [("shop", kind, role, "anna@example.org")]
    assert api.bindings[0]["metadata"]["labels"] == {LABEL: digest("anna@example.org")}


def test_people_do_not_share_a_binding() -> None:
    api = Api()
    for user in ("anna", "Anna"):
        give(client(api), user, "shop", "edit")
    assert len(api.bindings) == 2


def test_a_namespace_or_a_role_that_is_not_there_is_told() -> None:
    with pytest.raises(KprovError, match="no such namespace"):
        give(client(Api()), "anna", "none", "edit")
    with pytest.raises(KprovError, match="no such role") as raised:
        give(client(Api()), "anna", "shop", "edti")
    assert raised.value.found == "edti"


def test_names_are_no_paths() -> None:
    api = Api()
    with pytest.raises(KprovError):
        give(client(api), "anna", "shop/../kube-system", "edit")
    assert api.asked == ["GET /api/v1/namespaces/shop%2F..%2Fkube-system"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_api_that_does_not_say_ends_it(method: str) -> None:
    with pytest.raises(KprovError, match="does not say"):
        give(client(Api(**{method: "HTTP 500"})), "anna", "shop", "edit")


def test_all_that_was_given_is_taken_back_and_the_rest_is_named() -> None:
    api = Api()
    give(client(api), "anna", "shop", "edit")
    give(client(api), "anna", "shop", "baker")
    give(client(api), "berta", "shop", "edit")
    theirs = binding("anna", "shop", "view", "ClusterRole")
    theirs["metadata"] = {"name": "readers", "namespace": "shop"}
    api.bindings.append(theirs)
    api.cluster_bindings.append(
        {
            "metadata": {"name": "devs"},
            "roleRef": {"name": "view"},
            "subjects": [{"kind": "Group", "name": "developers"}, {"kind": "ServiceAccount", "name": "anna"}],
        }
    )
    api.cluster_bindings.append({"metadata": {"name": "empty"}, "roleRef": {"name": "view"}})
    done = take_back(client(api), "anna", ["developers"])
    assert len(done.removed) == 2
    assert [bound(item)[3] for item in api.bindings] == ["berta", "anna"]
    assert done.left == (
        "rolebinding shop/readers (user anna): view",
        "clusterrolebinding devs (group developers): view",
    )
    assert take_back(client(api), "anna", []).removed == ()


def test_one_that_cannot_be_taken_back_ends_it() -> None:
    api = Api(DELETE="HTTP 403")
    give(client(api), "anna", "shop", "edit")
    with pytest.raises(KprovError, match="does not say") as raised:
        take_back(client(api), "anna", [])
    assert raised.value.found == "HTTP 403"


def test_nobody_else_is_named() -> None:
    item = binding("anna", "shop", "edit", "ClusterRole")
    assert named([item], "ann", ["anna"]) == []
