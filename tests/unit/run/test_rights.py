"""Rights of people in namespaces: what is asked of the API for them, every refusal, and what is left when they end."""

from __future__ import annotations

import pytest
from rights_api import Api, bound, client

from kprov.plan.rights import LABEL, binding, digest, named
from kprov.run.rights import give, take_back
from kprov.values.errors import KprovError


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
