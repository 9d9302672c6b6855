"""Kubernetes objects: desired is contained in live, or the first difference is told."""

from __future__ import annotations

from typing import Any

import pytest

from kprov.objects.objects import HASH, compare, first_difference, identity, resource_kind, stamped


def item(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}, **more}


def test_what_the_server_adds_is_no_difference() -> None:
    live = item("a", data={"x": "1"}, status={"seen": True})
    live["metadata"]["uid"] = "u"
    assert compare([item("a", data={"x": "1"})], [live]) == ()


def test_missing_and_changed_objects_are_told() -> None:
    changes = compare([item("a"), item("b", data={"x": "1"})], [item("b", data={"x": "2"}), item("c")])
    assert [(change.identity[3], change.action, change.reason) for change in changes] == [
        ("a", "create", "it is not there"),
        ("b", "update", "data.x is '2', desired '1'"),
    ]
    assert changes[0].title == "ConfigMap kube-system/a"


def test_what_a_secret_holds_is_never_told() -> None:
    desired, live = ({**item("a", data={"x": text}), "kind": "Secret"} for text in ("b25l", "dHdv"))
    (change,) = compare([desired], [live])
    assert change.reason == "its content differs"


@pytest.mark.parametrize(
    ("desired", "live", "told"),
    [
        ({"a": {"b": 1}}, {"a": 5}, "a is 5, desired an object"),
        ({"a": [1, 2]}, {"a": [1]}, "a is [1], desired [1, 2]"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2, "c": 3}]}, "a[0].b is 2, desired 1"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 3}]}, ""),
        ({"a": {}}, {}, ""),
        ({"a": 1}, {}, "a is missing, desired 1"),
        ({"spec": {"taints": [{"key": "x"}]}}, {"spec": {"taints": [{"key": "y"}, {"key": "x"}]}}, ""),
    ],
)
def test_first_difference(desired: Any, live: Any, told: str) -> None:
    assert first_difference(desired, live) == told


def test_a_field_that_is_desired_no_more_shows_in_the_hash() -> None:
    with_taint = stamped(item("a", spec={"taints": [{"key": "x"}], "z": 1}))
    changes = compare([stamped(item("a", spec={"z": 1}))], [with_taint])
    assert [change.reason.split(" ")[0] for change in changes] == [f"metadata.annotations.{HASH}"]


def test_kinds_are_asked_with_their_group() -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}
    assert [resource_kind(identity(one)) for one in (item("a"), deployment)] == ["configmap", "deployment.apps"]
