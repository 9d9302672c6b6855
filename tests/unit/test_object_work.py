"""Which Kubernetes objects are sent before the nodes, which after them, and what is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from kprov.cluster_plan import ClusterPlan
from kprov.membership import Membership
from kprov.node_upgrades import NodeUpgrades
from kprov.object_work import objects_batch, ready_batch, workloads_batch
from kprov.objects import Object, compare
from kprov.operations import Batch


def item(kind: str, name: str) -> dict[str, Any]:
    version = "apps/v1" if kind == "Deployment" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "ns"}, "spec": {"x": 1}}


WANTED = (item("ConfigMap", "settings"), item("Deployment", "web"))


def plan(wanted: Sequence[Object], live: Sequence[Object] | None) -> ClusterPlan:
    return ClusterPlan(
        hosts={},
        membership=Membership(),
        peers=(),
        objects=compare(wanted, live or ()),
        objects_known=live is not None,
        wanted_objects=tuple(wanted),
        not_ready=(),
        upgrades=NodeUpgrades(),
    )


def applied(batch: Batch) -> list[str]:
    """Names of all objects that a batch applies, in order."""
    payload = dict(batch.payload)
    documents = [payload[operation[1]] for operation in batch.operations if operation[0] == "objects"]
    return [found["metadata"]["name"] for document in documents for found in yaml.safe_load_all(document)]


def words(batch: Batch) -> list[str]:
    return [operation[0] for operation in batch.operations]


def test_what_makes_pods_waits_until_all_nodes_are_ready() -> None:
    made = plan(WANTED, None)
    assert applied(objects_batch(made)) == ["settings"]
    later = workloads_batch(made, ["a", "b"])
    assert words(later) == ["gate", "objects"]
    assert later.operations[0][4].endswith("node/a node/b")
    assert applied(later) == ["web"]


def test_what_is_in_order_is_not_sent_again() -> None:
    made = plan(WANTED, WANTED)
    assert words(objects_batch(made)) == []
    assert words(workloads_batch(made, ["a"])) == []


def test_only_what_differs_is_sent() -> None:
    drifted = {**WANTED[1], "spec": {"x": 2}}
    made = plan(WANTED, (WANTED[0], drifted))
    assert words(objects_batch(made)) == []
    assert applied(workloads_batch(made, ["a"])) == ["web"]


def test_what_is_wanted_no_more_leaves_before_the_nodes_change() -> None:
    made = plan(WANTED, (*WANTED, item("Deployment", "old")))
    assert objects_batch(made).operations == [("delete_object", "deployment", "ns", "old")]


def test_without_nodes_nothing_waits_for_nodes() -> None:
    assert words(workloads_batch(plan(WANTED, None), [])) == ["objects"]
    assert [operation[4].split()[-1] for operation in ready_batch(plan(WANTED, None), []).operations] == [
        "deployment/web"
    ]
