"""Add-ons as the API and the nodes show them: what they name is ready, their pods run, their certificates are good."""

from __future__ import annotations

import base64
import stat
from typing import Any

import pytest
from cryptography import x509
from testinfra.host import Host as Machine

from kprov.testinfra.fleet import Fleet
from kprov.testinfra.pods import complaints, conditions, evictions
from kprov.testinfra.test_certificates import check_validity
from kprov.values.addon import CertificateRow, HostDirectory
from kprov.values.model import Cluster

WORKLOADS = {"deployment": "deployments", "daemonset": "daemonsets", "statefulset": "statefulsets"}
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


def workload(fleet: Fleet, namespace: str, kind: str, name: str) -> Any:
    return fleet.objects(f"/apis/apps/v1/namespaces/{namespace}/{WORKLOADS[kind]}/{name}")


def pods_of(fleet: Fleet, namespace: str, item: Any) -> list[Any]:
    """Those of a workload, the ones that are about to go left out."""
    labels = item["spec"]["selector"]["matchLabels"]
    return [
        pod
        for pod in fleet.objects(f"/api/v1/namespaces/{namespace}/pods")["items"]
        if labels.items() <= pod["metadata"].get("labels", {}).items() and not pod["metadata"].get("deletionTimestamp")
    ]


def test_what_an_addon_names_is_ready(fleet: Fleet, addon_ready: tuple[str, str, str]) -> None:
    namespace, kind, name = addon_ready
    if kind == "apiservice":
        available = conditions(fleet.objects(f"{APISERVICES}/{name}"))["Available"]
        assert available["status"] == "True", available.get("message")
        return
    item = workload(fleet, namespace, kind, name)
    status = item["status"]
    assert status.get("observedGeneration") == item["metadata"]["generation"], "its controller has not looked at it"
    if kind == "daemonset":
        desired, updated = status["desiredNumberScheduled"], status.get("updatedNumberScheduled", 0)
        ready = status["numberReady"]
    else:
        desired, updated = item["spec"]["replicas"], status.get("updatedReplicas", 0)
        ready = status.get("readyReplicas", 0)
    assert (updated, ready) == (desired, desired), (
        f"of {desired} pods {updated} are of the newest kind, {ready} are ready"
    )


def test_pods_of_an_addon_run(fleet: Fleet, addon_workload: tuple[str, str, str]) -> None:
    """As many as are desired, each Running with every container ready, and none that crashes again and again."""
    namespace, kind, name = addon_workload
    item = workload(fleet, namespace, kind, name)
    desired = item["status"]["desiredNumberScheduled"] if kind == "daemonset" else item["spec"]["replicas"]
    assert complaints(pods_of(fleet, namespace, item), desired) == []


def test_no_pod_of_an_addon_was_evicted(fleet: Fleet, addon_workload: tuple[str, str, str]) -> None:
    """One that used more than it may, or that its node had no room for, will meet the same again."""
    namespace, kind, name = addon_workload
    found = evictions(pods_of(fleet, namespace, workload(fleet, namespace, kind, name)))
    assert found == {}, f"once the cause is gone: kubectl -n {namespace} delete pod {' '.join(found)}"


def test_metrics_of_every_node_are_served(fleet: Fleet, cluster: Cluster, metrics_served: str) -> None:
    """What `kubectl top node` asks."""
    rows = {row["metadata"]["name"]: row["usage"] for row in fleet.objects(f"/apis/{metrics_served}/nodes")["items"]}
    assert set(rows) == {host.name for host in cluster.nodes}
    assert all(not usage[what].startswith("0") for usage in rows.values() for what in ("cpu", "memory"))


def test_certificate_in_a_secret_is_valid(fleet: Fleet, addon_certificate: tuple[str, CertificateRow]) -> None:
    namespace, row = addon_certificate
    data = fleet.objects(f"/api/v1/namespaces/{namespace}/secrets/{row.secret}")["data"]
    leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
    check_validity(leaf)
    authority = x509.load_pem_x509_certificate(fleet.store.ca[row.authority])
    leaf.verify_directly_issued_by(authority)
    assert x509.load_pem_x509_certificate(base64.b64decode(data["ca.crt"])) == authority


@pytest.mark.on("node")
def test_directory_of_an_addon_is_there(host: Machine, host_directory: HostDirectory) -> None:
    folder = host.file(host_directory.path)
    assert folder.is_directory
    assert stat.S_IMODE(folder.mode) == host_directory.mode
    assert folder.user == host_directory.owner
