"""What is sent to a control plane about Kubernetes objects: which are applied when, and what is waited for. Pure, no I/O.

What makes pods is applied only when the nodes are Ready: the scheduler spreads pods over the nodes that are there, and
never moves one afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from kprov.cluster_plan import ClusterPlan
from kprov.objects import Object, identity
from kprov.operations import Batch

_KUBECTL = "/opt/kprov/bin/kubectl"
_DEADLINE = "180"  # seconds that nodes and roll-outs get
_WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob"})


def objects_batch(plan: ClusterPlan) -> Batch:
    """All that makes no pods, and every deletion: before the nodes' kubelets come. The credential is not in it yet."""
    batch = Batch()
    _apply(batch, [item for item in _changed(plan) if item["kind"] not in _WORKLOADS])
    for change in plan.objects:
        if change.action == "delete":
            kind, namespace, name = change.identity
            batch.add(change.title, "delete_object", kind.lower(), namespace or "-", name)
    return batch


def workloads_batch(plan: ClusterPlan, nodes: Sequence[str]) -> Batch:
    """What makes pods, once `nodes` are Ready. The credential is not in it yet."""
    batch = Batch()
    workloads = [item for item in _changed(plan) if item["kind"] in _WORKLOADS]
    if workloads:
        _await_nodes(batch, nodes)
        _apply(batch, workloads)
    return batch


def ready_batch(plan: ClusterPlan, nodes: Sequence[str]) -> Batch:
    """Waits for `nodes` and for every Deployment of kprov's. The credential is not in it yet."""
    batch = Batch()
    _await_nodes(batch, nodes)
    for item in plan.wanted_objects:
        if item["kind"] == "Deployment":
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            command = f"{_KUBECTL} -n {namespace} rollout status --timeout=10s deployment/{name}"
            batch.add(f"deployment {namespace}/{name} available", "gate", "-", "command", _DEADLINE, command)
    return batch


def _changed(plan: ClusterPlan) -> list[Object]:
    names = {change.identity for change in plan.objects if change.action != "delete"}
    return [item for item in plan.wanted_objects if not plan.objects_known or identity(item) in names]


def _apply(batch: Batch, items: Sequence[Object]) -> None:
    if items:
        documents = str(yaml.safe_dump_all(items, sort_keys=False)).encode()
        batch.add("Kubernetes objects", "objects", batch.attach(documents))


def _await_nodes(batch: Batch, nodes: Sequence[str]) -> None:
    if nodes:
        command = f"{_KUBECTL} wait --for=condition=Ready --timeout=10s {' '.join(f'node/{name}' for name in nodes)}"
        batch.add("nodes Ready", "gate", "-", "command", _DEADLINE, command)
