"""Fields of objects that nobody can change: found before they are applied, and only those."""

from __future__ import annotations

from typing import Any

import pytest

from kprov.addon.immutable import forbidden_change


def made(kind: str, **body: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **body}


def claim(size: str = "10Gi", **spec: Any) -> dict[str, Any]:
    return made("PersistentVolumeClaim", spec={"resources": {"requests": {"storage": size}}, **spec})


def storage_class(name: str, *, grows: bool) -> dict[str, Any]:
    return {**made("StorageClass", allowVolumeExpansion=grows), "metadata": {"name": name}}


@pytest.mark.parametrize(
    ("desired", "live", "told"),
    [
        (
            made("StorageClass", reclaimPolicy="Retain"),
            made("StorageClass", reclaimPolicy="Delete"),
            "reclaimPolicy is",
        ),
        (
            made("StorageClass", parameters={"a": "1"}),
            made("StorageClass", parameters={"a": "1", "b": "2"}),
            "parameters",
        ),
        (
            made("Deployment", spec={"selector": {"matchLabels": {"app": "a"}}}),
            made("Deployment", spec={"selector": {"matchLabels": {"app": "a", "tier": "b"}}}),
            "spec.selector is",
        ),
        (made("RoleBinding", roleRef={"name": "a"}), made("RoleBinding", roleRef={"name": "b"}), "roleRef.name is"),
        (claim(storageClassName="fast"), claim(storageClassName="slow"), "spec.storageClassName is"),
        (claim("5Gi"), claim("10Gi"), "is 10Gi, and 5Gi is desired"),
        (claim("5Gi"), claim("10Gi", storageClassName="unknown"), "is 10Gi, and 5Gi is desired"),
        (claim("20Gi"), claim("10Gi", storageClassName=""), "is 10Gi, and 20Gi is desired"),
        (claim("20Gi"), claim("10Gi", storageClassName="still"), "is 10Gi, and 20Gi is desired"),
        (made("Secret", type="a"), made("Secret", type="b"), "type is"),
        (
            made("PersistentVolume", spec={"local": {"path": "/a"}}),
            made("PersistentVolume", spec={"local": {"path": "/b"}}),
            "spec.local.path is",
        ),
    ],
)
def test_a_field_that_stays_as_it_was_made_is_told(desired: dict[str, Any], live: dict[str, Any], told: str) -> None:
    assert told in forbidden_change(desired, live, [storage_class("still", grows=False)])
    assert forbidden_change(desired, desired) == ""


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        (claim("20Gi"), claim("10Gi", storageClassName="grows")),
        (claim("20Gi"), claim("10Gi", storageClassName="unknown")),  # the API server judges it
        (claim("10240Mi"), claim("10Gi")),
        (claim("much"), claim("10Gi")),
        (claim(), claim(storageClassName="default", volumeName="pvc-1")),  # filled in by others
        (made("Deployment", spec={"replicas": 2}), made("Deployment", spec={"replicas": 1})),
        (made("ConfigMap", data={"a": "1"}), made("ConfigMap", data={"a": "2"})),
        (made("StorageClass", reclaimPolicy="Delete"), made("StorageClass")),
    ],
)
def test_what_may_change_is_let_through(desired: dict[str, Any], live: dict[str, Any]) -> None:
    assert forbidden_change(desired, live, [storage_class("grows", grows=True)]) == ""
