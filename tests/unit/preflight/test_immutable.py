"""Add-ons that would change what nobody can change: refused before anything is applied, with the way."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from observed import bare

from kprov.plan.cluster import ClusterPlan
from kprov.plan.etcd import Membership
from kprov.plan.upgrades import NodeUpgrades
from kprov.preflight.immutable import check


def made(kind: str, **body: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **body}


def plan(*objects: dict[str, Any], recreate: frozenset[str] = frozenset()) -> ClusterPlan:
    addon: Any = SimpleNamespace(addon=SimpleNamespace(name="storage"), objects=objects)
    return ClusterPlan(
        hosts={},
        membership=Membership(),
        peers=(),
        objects=(),
        objects_known=True,
        desired_objects=(),
        not_ready=(),
        upgrades=NodeUpgrades(),
        addons=(addon,),
        recreate=recreate,
    )


NEW, OLD = made("StorageClass", reclaimPolicy="Retain"), made("StorageClass", reclaimPolicy="Delete")


def test_it_is_refused_at_the_add_on_with_the_way() -> None:
    (problem,) = check(plan(NEW), {"cp1": replace(bare(), objects=(OLD,))})
    assert problem.key == "cluster.addons.storage"
    assert not problem.ignorable
    assert "`kprov up --recreate storage`" in problem.todo


@pytest.mark.parametrize(
    ("kind", "body", "way"),
    [
        ("PersistentVolumeClaim", {"spec": {"storageClassName": "a"}}, "--delete-data"),
        ("RoleBinding", {"roleRef": {"name": "a"}}, "delete RoleBinding x with kubectl"),
    ],
)
def test_each_kind_has_its_way_out(kind: str, body: dict[str, Any], way: str) -> None:
    ((section, fields),) = body.items()
    live = made(kind, **{section: {next(iter(fields)): "b"}})
    (problem,) = check(plan(made(kind, **body)), {"cp1": replace(bare(), objects=(live,))})
    assert way in problem.todo


def test_what_is_made_anew_is_new_or_unknown_passes() -> None:
    seen = {"cp1": replace(bare(), objects=(OLD,))}
    assert not list(check(plan(NEW, recreate=frozenset({"storage"})), seen))
    assert list(check(plan(NEW, recreate=frozenset({"other"})), seen))
    assert not list(check(plan(NEW), {"cp1": replace(bare(), objects=())}))
    assert not list(check(plan(NEW), {"cp1": bare()}))
    leaving = {**OLD, "metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert not list(check(plan(NEW), {"cp1": replace(bare(), objects=(leaving,))}))


def test_a_claim_is_not_made_anew() -> None:
    old, new = (made("PersistentVolumeClaim", spec={"storageClassName": name}) for name in ("a", "b"))
    assert list(check(plan(new, recreate=frozenset({"storage"})), {"cp1": replace(bare(), objects=(old,))}))
