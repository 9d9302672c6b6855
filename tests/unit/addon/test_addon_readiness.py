"""What an add-on waits for, by what the API says of its workloads and APIServices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kprov.addon.choose import by_name
from kprov.addon.readiness import row_identity, unready, why_not_ready
from kprov.objects.listing import list_object
from kprov.objects.objects import ADDON_LABEL, identity

METRICS = by_name(["metrics-server"])[0]


def item(kind: str, status: dict[str, Any], name: str = "metrics-server", **spec: Any) -> dict[str, Any]:
    front = kind == "APIService"
    return {
        "apiVersion": "apiregistration.k8s.io/v1" if front else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "generation": 2, **({} if front else {"namespace": "kube-system"})},
        "spec": spec,
        "status": {"observedGeneration": 2, **status},
    }


def condition(kind: str, status: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "message": message}


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (item("Deployment", {"updatedReplicas": 2, "availableReplicas": 2}, replicas=2), ""),
        (item("Deployment", {"updatedReplicas": 1, "availableReplicas": 1}), ""),
        (item("Deployment", {}, replicas=0), ""),
        (item("Deployment", {"updatedReplicas": 2, "availableReplicas": 1}, replicas=2), "1 of 2 pods are ready"),
        (item("Deployment", {}, replicas=2), "0 of 2 pods are of the newest kind"),
        (item("Deployment", {"observedGeneration": 1}), "its controller has not looked at it yet"),
        (
            item("Deployment", {"conditions": [condition("ReplicaFailure", "True", 'pods "a" is forbidden')]}),
            '0 of 1 pods are of the newest kind; pods "a" is forbidden',
        ),
        (
            item(
                "Deployment",
                {"updatedReplicas": 1, "conditions": [condition("Progressing", "False", "it timed out")]},
            ),
            "0 of 1 pods are ready; it timed out",
        ),
        (item("DaemonSet", {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}), ""),
        (
            item("DaemonSet", {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2}),
            "2 of 3 pods are ready",
        ),
        (item("DaemonSet", {"desiredNumberScheduled": 3}), "0 of 3 pods are of the newest kind"),
        (item("StatefulSet", {"updatedReplicas": 1, "availableReplicas": 0}), "0 of 1 pods are ready"),
        (item("APIService", {"conditions": [condition("Available", "True")]}), ""),
        (item("APIService", {"conditions": [condition("Available", "False", "no endpoints")]}), "no endpoints"),
        (item("APIService", {}), "it does not say that it is Available"),
    ],
)
def test_an_object_is_ready_or_says_why_not(one: dict[str, Any], reason: str) -> None:
    assert why_not_ready(one) == reason


def test_an_add_on_waits_for_every_row_that_is_not_ready() -> None:
    good = item("Deployment", {"updatedReplicas": 1, "availableReplicas": 1})
    bad = item(
        "APIService", {"conditions": [condition("Available", "False", "no endpoints")]}, "v1beta1.metrics.k8s.io"
    )
    good["metadata"]["labels"] = {ADDON_LABEL: "metrics-server"}
    (row,) = unready(METRICS, {identity(one): one for one in (good, bad)})
    assert (row.addon, str(row)) == ("metrics-server", "apiservice/v1beta1.metrics.k8s.io: no endpoints")
    assert [row.reason for row in unready(METRICS, {})] == ["it is not there"] * 2


def test_what_another_program_made_is_not_judged_but_what_kprov_made_and_is_gone_is() -> None:
    front = item("APIService", {"conditions": [condition("Available", "True")]}, "v1beta1.metrics.k8s.io")
    front["metadata"]["labels"] = {ADDON_LABEL: "metrics-server"}
    live = {identity(front): front}
    assert unready(METRICS, live) == ()
    listing = list_object([row_identity(METRICS, "deployment/metrics-server")])
    (row,) = unready(METRICS, {**live, identity(listing): listing})
    assert str(row) == "deployment/metrics-server: it is not there"


def test_rows_mean_objects_of_the_add_ons_namespace() -> None:
    assert row_identity(METRICS, "statefulset/store") == ("apps", "StatefulSet", "kube-system", "store")
    elsewhere = replace(METRICS, description=replace(METRICS.description, namespace="m"))
    assert row_identity(elsewhere, "daemonset/agent") == ("apps", "DaemonSet", "m", "agent")
