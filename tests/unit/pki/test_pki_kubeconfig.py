"""Kubeconfig documents: what they hold, and that merging loses nothing that is not kprov's."""

from __future__ import annotations

from base64 import b64decode

import pytest
import yaml

from kprov.pki.kubeconfig import embedded, merge, referencing
from kprov.values.errors import PkiError

FOREIGN = """
apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: home
clusters:
- name: home
  cluster: {server: "https://home:6443", insecure-skip-tls-verify: true}
users:
- name: me
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login}}
contexts:
- name: home
  context: {cluster: home, user: me, namespace: kitchen}
"""


def ours(server="https://10.0.0.11:6443", cluster="prod"):
    return embedded(cluster, server, b"CA", b"CERT", b"KEY", "kubernetes-admin")


def test_embedded_holds_everything():
    document = yaml.safe_load(ours())
    assert document["clusters"] == [
        {"name": "prod", "cluster": {"server": "https://10.0.0.11:6443", "certificate-authority-data": "Q0E="}}
    ]
    (user,) = document["users"]
    assert user["name"] == "kubernetes-admin@prod"
    assert b64decode(user["user"]["client-certificate-data"]) == b"CERT"
    assert b64decode(user["user"]["client-key-data"]) == b"KEY"
    assert document["current-context"] == "kubernetes-admin@prod"
    assert document["contexts"] == [
        {"name": "kubernetes-admin@prod", "context": {"cluster": "prod", "user": "kubernetes-admin@prod"}}
    ]


def test_referencing_holds_paths_and_no_data():
    text = referencing("https://127.0.0.1:6444", "/pki/ca.crt", "/k/c.crt", "/k/c.key", "system:kube-scheduler")
    document = yaml.safe_load(text)
    assert "-data" not in text
    assert document["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:6444",
        "certificate-authority": "/pki/ca.crt",
    }
    assert document["users"][0]["user"] == {"client-certificate": "/k/c.crt", "client-key": "/k/c.key"}
    assert (document["apiVersion"], document["kind"]) == ("v1", "Config")
    assert document["current-context"] == document["contexts"][0]["name"]


def test_referencing_can_name_the_server_it_expects():
    text = referencing("https://127.0.0.1:6444", "a", "b", "c", "u", tls_server_name="kubernetes")
    assert yaml.safe_load(text)["clusters"][0]["cluster"]["tls-server-name"] == "kubernetes"


def test_merge_keeps_foreign_entries():
    merged = yaml.safe_load(merge(FOREIGN, ours()))
    foreign = yaml.safe_load(FOREIGN)
    for kind in ("clusters", "users", "contexts"):
        assert merged[kind][0] == foreign[kind][0]
        assert len(merged[kind]) == 2
    assert merged["preferences"] == {"colors": True}
    assert merged["current-context"] == "kubernetes-admin@prod"


def test_merge_may_leave_the_context_alone():
    assert yaml.safe_load(merge(FOREIGN, ours(), make_current=False))["current-context"] == "home"
    assert yaml.safe_load(merge("", ours(), make_current=False))["current-context"] == "kubernetes-admin@prod"


def test_merge_replaces_its_own_entries_and_is_stable():
    once = merge(FOREIGN, ours())
    assert merge(once, ours()) == once
    moved = yaml.safe_load(merge(once, ours(server="https://api:6443")))
    assert [entry["name"] for entry in moved["clusters"]] == ["home", "prod"]
    assert moved["clusters"][1]["cluster"]["server"] == "https://api:6443"


def test_two_clusters_of_kprov_live_side_by_side():
    merged = yaml.safe_load(merge(ours(), ours(cluster="test")))
    assert [user["name"] for user in merged["users"]] == ["kubernetes-admin@prod", "kubernetes-admin@test"]


@pytest.mark.parametrize("empty", ["", "\n", "# nothing\n", "apiVersion: v1\nkind: Config\nclusters: null\n"])
def test_merge_into_nothing(empty):
    assert yaml.safe_load(merge(empty, ours())) == yaml.safe_load(ours())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("clusters:\n- {name: x\nusers: sekrit-token\n", "line 3"),
        ("- sekrit-token\n", "a list at the top"),
        ("kind: Secret\ndata: sekrit-token\n", "kind: Secret"),
        ("users: sekrit-token\n", "users is not a list"),
        ("users: [sekrit-token]\n", "users is not a list"),
    ],
)
def test_merge_refuses_what_is_no_kubeconfig_and_quotes_none_of_it(text, found):
    with pytest.raises(PkiError) as caught:
        merge(text, ours())
    assert found in caught.value.found
    assert "sekrit" not in str(caught.value)
