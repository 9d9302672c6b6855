"""Findings of the cluster itself: nodes that are not well, and a DNS that nobody is behind."""

from __future__ import annotations

from typing import Any

import pytest

from kprov.plan.cluster_findings import cluster_findings
from kprov.plan.upgrades import CORDONED


def node(*conditions: tuple[str, str], **more: Any) -> dict[str, Any]:
    rows = [
        {"type": kind, "status": status, "reason": f"{kind}Reason", "message": f"{kind} says {status}"}
        for kind, status in conditions
    ]
    annotations = {CORDONED: "upgrade"} if more.pop("by_kprov", False) else {}
    spec = {"unschedulable": True} if more.pop("cordoned", False) else {}
    meta = {"name": "w1", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": {"conditions": rows}}


def dns(ready: int, *, name: str = "coredns", namespace: str = "kube-system") -> dict[str, Any]:
    status = {"observedGeneration": 2, "updatedReplicas": 2, **({"availableReplicas": ready} if ready else {})}
    meta = {"name": name, "namespace": namespace, "generation": 2}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 2}, "status": status}


READY = ("Ready", "True")


def test_of_a_cluster_that_is_well_there_is_nothing_to_say() -> None:
    calm = node(READY, ("DiskPressure", "False"), ("MemoryPressure", "False"), ("PIDPressure", "False"))
    assert cluster_findings([calm, dns(2), dns(0, name="web"), dns(0, namespace="web")]) == ()


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_node_that_is_not_ready_is_told_with_its_own_words(status: str) -> None:
    (found,) = cluster_findings([node(("Ready", status))])
    assert (found.name, found.host, found.grave) == ("NodeNotReady", "w1", True)
    assert found.what == f"its Node is not Ready: ReadyReason: Ready says {status}"


def test_a_node_that_told_nothing_yet_is_not_ready() -> None:
    (found,) = cluster_findings([node()])
    assert found.what == "its Node is not Ready: kubelet has not told anything yet"


@pytest.mark.parametrize("kind", ["DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable"])
def test_a_node_under_pressure_is_told_though_it_is_ready(kind: str) -> None:
    (found,) = cluster_findings([node(READY, (kind, "True"))])
    assert (found.name, found.grave) == (kind, True)
    assert f"({kind} says True)" in found.what


def test_a_node_that_somebody_cordoned_is_a_remark_and_one_that_kprov_cordoned_is_none() -> None:
    (found,) = cluster_findings([node(READY, cordoned=True)])
    assert (found.name, found.grave) == ("NodeCordoned", False)
    assert cluster_findings([node(READY, cordoned=True, by_kprov=True)]) == ()


def test_dns_without_a_pod_is_grave_and_with_one_of_two_it_is_not() -> None:
    (none,) = cluster_findings([dns(0)])
    assert (none.name, none.host, none.grave) == ("ClusterDns", "cluster", True)
    assert none.what == "CoreDNS: 0 of 2 pods are ready: pods find no names"
    (scaled,) = cluster_findings([{**dns(0), "spec": {"replicas": 0}}])
    assert (scaled.what, scaled.grave) == ("CoreDNS: no pod is ready: pods find no names", True)
    (one,) = cluster_findings([dns(1)])
    assert (one.what, one.grave) == ("CoreDNS: 1 of 2 pods are ready", False)
