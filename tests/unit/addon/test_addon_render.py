"""An add-on's files become labelled objects in apply order, or a mistake with file and line."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from kprov.addon.render import Surroundings, fingerprint, login, password, rendered
from kprov.objects.kinds import departure, rank
from kprov.objects.objects import ADDON_LABEL, OWNER_LABEL
from kprov.values.addon import Addon, Description
from kprov.values.errors import AddonError
from kprov.values.secret import Secret

AROUND = Surroundings(
    cluster={"name": "c", "domain": "cluster.local", "nodes": [{"name": "n1", "address": "192.0.2.1"}]},
    ca={"kubernetes": "PEM\n"},
    images={"web": "r/web:1"},
    secret_seed=b"k" * 32,
)
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"


def addon(folder: Path, namespace: str = "hello", **parameters: Any) -> Addon:
    description = Description(name="hello", folder=folder, summary="", namespace=namespace)
    return Addon(description=description, version="1", parameters=parameters, images=())


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_objects_are_labelled_placed_and_ordered(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__yaml="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {own: label}}\n---\n" + SETTINGS,
        b__yaml="apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reader}\n---\n",
        c__yaml="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: far, namespace: elsewhere}\n",
        notes__txt="not a manifest",
    )
    found = rendered(addon(tmp_path), AROUND)
    assert [item["kind"] for item in found] == ["Namespace", "ClusterRole", "ConfigMap", "ConfigMap", "Deployment"]
    assert all(item["metadata"]["labels"][ADDON_LABEL] == "hello" for item in found)
    assert all(item["metadata"]["labels"][OWNER_LABEL] == "kprov" for item in found)
    assert found[4]["metadata"]["labels"]["own"] == "label"
    assert [item["metadata"].get("namespace") for item in found] == [None, None, "hello", "elsewhere", "hello"]


def test_a_namespace_that_others_use_is_not_made(tmp_path: Path) -> None:
    write(tmp_path, a__yaml=SETTINGS)
    assert [item["kind"] for item in rendered(addon(tmp_path, "kube-system"), AROUND)] == ["ConfigMap"]


def test_the_namespace_enforces_what_the_add_on_needs(tmp_path: Path) -> None:
    (namespace,) = rendered(addon(tmp_path), AROUND)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_custom_resources_keep_the_scope_their_author_gave_them(tmp_path: Path) -> None:
    write(tmp_path, a__yaml="apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: one}\n")
    assert "namespace" not in rendered(addon(tmp_path), AROUND)[1]["metadata"]


def test_a_list_is_taken_apart(tmp_path: Path) -> None:
    inner = "".join(f"  - {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}\n" for name in "ab")
    write(tmp_path, a__yaml=f"apiVersion: v1\nkind: List\nitems:\n{inner}")
    assert [item["metadata"]["name"] for item in rendered(addon(tmp_path), AROUND)[1:]] == ["a", "b"]


def test_templates_see_parameters_images_cluster_and_files(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.txt").write_text("line one\nline two\n")
    write(
        tmp_path,
        a__yaml__j2=SETTINGS
        + "data:\n  image: {{ images.web }}\n  replicas: '{{ parameters.replicas }}'\n  node: {{ cluster.nodes[0].name }}\n"
        "  ca: {{ ca.kubernetes | b64 }}\n  list: '{{ parameters.names | json }}'\n  text: |\n"
        "    {{ file('rules/a.txt') | indent(4) }}\n",
    )
    data = rendered(addon(tmp_path, replicas=2, names=["x"]), AROUND)[1]["data"]
    assert data == {
        "image": "r/web:1",
        "replicas": "2",
        "node": "n1",
        "ca": base64.b64encode(b"PEM\n").decode(),
        "list": '["x"]',
        "text": "line one\nline two\n",
    }


def test_inventory_values_are_data_and_never_templates(tmp_path: Path) -> None:
    write(tmp_path, a__yaml__j2=SETTINGS + "data: {text: {{ parameters.text | json }}}\n")
    assert rendered(addon(tmp_path, text="{{ 7 * 7 }}"), AROUND)[1]["data"]["text"] == "{{ 7 * 7 }}"


def test_a_secret_shows_only_where_it_is_encoded(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__yaml__j2=SETTINGS + "data: {plain: '{{ parameters.token }}', coded: {{ parameters.token | b64 }}}\n",
    )
    data = rendered(addon(tmp_path, token=Secret("s3cret")), AROUND)[1]["data"]
    assert data == {"plain": "***", "coded": base64.b64encode(b"s3cret").decode()}


def test_json_with_a_secret_in_it_is_a_secret(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__yaml__j2=SETTINGS
        + "{% set all = {'list': [1, {'token': parameters.token}]} %}\n"
        + "data: {plain: '{{ all | json }}', coded: {{ all | json | b64 }}, open: {{ [1] | json | b64 }}}\n",
    )
    data = rendered(addon(tmp_path, token=Secret("s3cret")), AROUND)[1]["data"]
    assert data["plain"] == "***"
    assert base64.b64decode(data["coded"]) == b'{"list": [1, {"token": "s3cret"}]}'
    assert base64.b64decode(data["open"]) == b"[1]"


def test_a_fingerprint_moves_with_each_part_and_with_the_cluster() -> None:
    one = fingerprint(b"k" * 32, ("text", Secret("s3cret"), None, {"a": Secret("b")}))
    assert re.fullmatch(r"[0-9a-f]{16}", one)
    assert one == fingerprint(b"k" * 32, ("text", Secret("s3cret"), None, {"a": Secret("b")}))
    others = {
        fingerprint(b"j" * 32, ("text", Secret("s3cret"), None, {"a": Secret("b")})),
        fingerprint(b"k" * 32, ("text", Secret("other"), None, {"a": Secret("b")})),
        fingerprint(b"k" * 32, ("text", Secret("s3cret"), None, {"a": Secret("c")})),
    }
    assert len(others | {one}) == 4


def test_a_template_may_import_what_kprovs_own_share(tmp_path: Path) -> None:
    write(tmp_path, a__yaml__j2='{% import "cloud.j2" as cloud with context %}\n{{ cloud.rights() }}\n')
    assert {item["kind"] for item in rendered(addon(tmp_path), AROUND)} >= {"ServiceAccount", "ClusterRole"}


def test_passwords_differ_by_name_add_on_and_cluster_and_not_by_run() -> None:
    one = password(b"k" * 32, "a", "x").reveal()
    assert re.fullmatch(r"[A-Za-z0-9]{32}", one)
    assert one == password(b"k" * 32, "a", "x").reveal()
    rest = ((b"j" * 32, "a", "x"), (b"k" * 32, "b", "x"), (b"k" * 32, "a", "y"))
    others = {password(*each).reveal() for each in rest}
    assert len(others | {one}) == 4


def test_a_login_is_what_basic_authentication_sends_and_masks_itself(tmp_path: Path) -> None:
    found = login(b"k" * 32, "hello", "admin", "x")
    scheme, _, pair = found.reveal().partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == (
        "Basic", f"admin:{password(b'k' * 32, 'hello', 'x').reveal()}",
    )  # fmt: skip
    assert "Basic" not in f"{found}"
    write(tmp_path, a__yaml__j2=SETTINGS + "data: {x: {{ login('admin', 'x') | b64 }}}\n")
    shown = rendered(addon(tmp_path), AROUND)[1]["data"]["x"]
    assert base64.b64decode(shown).decode() == found.reveal()


@pytest.mark.parametrize(
    ("name", "text", "place", "told"),
    [
        ("a__yaml__j2", SETTINGS + "data:\n  x: {{ parameters.missing }}\n", ":5", "missing"),
        ("a__yaml__j2", SETTINGS + "data:\n  x: {{ parameters.n + 'a' }}\n", ":5", "unsupported operand"),
        ("a__yaml__j2", SETTINGS + "{% if %}\n", ":4", "Expected an expression"),
        ("a__yaml", "apiVersion: v1\nkind: [\n", ":3", "this manifest is not YAML"),
        ("a__yaml", "apiVersion: v1\nmetadata: {name: x}\n", "a.yaml", "kind"),
        ("a__yaml", "just text\n", "a.yaml", "no Kubernetes object"),
        ("a__yaml__j2", SETTINGS + "data: {x: {{ file('../../etc/passwd') | json }}}\n", "etc/passwd", "not there"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path: Path, name: str, text: str, place: str, told: str) -> None:
    write(tmp_path, **{name: text})
    with pytest.raises(AddonError) as caught:
        rendered(addon(tmp_path, n=1), AROUND)
    assert place in caught.value.where
    assert told in str(caught.value)


def test_a_template_cannot_reach_into_python(tmp_path: Path) -> None:
    write(tmp_path, a__yaml__j2=SETTINGS + "data: {x: '{{ ''.__class__.__mro__ }}'}\n")
    with pytest.raises(AddonError):
        rendered(addon(tmp_path), AROUND)


def test_what_comes_first_goes_last() -> None:
    kinds = ["Namespace", "CustomResourceDefinition", "ClusterRole", "Secret", "Service", "Thing", "Deployment"]
    assert [rank({"kind": kind}) for kind in kinds] == sorted(rank({"kind": kind}) for kind in kinds)
    assert sorted([*kinds, "APIService"], key=departure)[0] == "APIService"
    assert sorted(kinds, key=departure) == list(reversed(kinds))
