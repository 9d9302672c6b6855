"""Volumes of the add-on `storage`: data outlives pods, reboots and the add-on, and goes only when it is asked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from lab_cluster import LabCluster, until

from kprov.lab import machines

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane", "worker"], "w1": ["worker"]}
VOLUMES = "/var/lib/kprov-volumes"
TEXT = "mount-tester new file"  # what agnhost's mounttest writes


def storage(setting: Any) -> dict[str, Any]:
    return {"addons": {"metrics-server": False, "storage": setting}}


def switch(cluster: LabCluster, setting: Any) -> None:
    cluster.edit(lambda document: document["cluster"].update(storage(setting)))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    name = "cld-storage"
    made = LabCluster(name, tmp_path_factory.mktemp(name), HOSTS, keys=storage(True))
    try:
        made.edit(
            lambda document: document["cluster"]["kubelet"].update(volumeStatsAggPeriod="10s")
        )  # a minute as it comes
        made.kprov("up", "--yes")
        made.kubectl("apply", "-f", "-", stdin=stateful(made.load_agnhost()))
        made.kubectl("rollout", "status", "statefulset/keep", "--timeout=150s", timeout=160)
        yield made
    finally:
        made.destroy()


def claim(size: str, **more: Any) -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **more}


def stateful(image: str) -> str:
    """A pod on each node that writes as a user without rights, below Pod Security's strictest level."""
    labels = {"app": "keep"}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "keep",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["pause"],
        "securityContext": security,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "topologySpreadConstraints": [spread],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    keep = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "keep"},
        "spec": {
            "replicas": 2,
            "serviceName": "keep",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            # No class is named: the default one is taken.
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("64Mi")}],
        },
    }
    return str(yaml.safe_dump_all([namespace, keep]))


def volume(cluster: LabCluster, name: str) -> dict[str, Any]:
    return dict(cluster.get("pv", cluster.get("pvc", name)["spec"]["volumeName"]))


def place(cluster: LabCluster, name: str) -> tuple[str, str]:
    """Node and folder of a claim's volume."""
    spec = volume(cluster, name)["spec"]
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return term["matchExpressions"][0]["values"][0], spec["local"]["path"]


def read(cluster: LabCluster, pod: str, file: str) -> str:
    return cluster.kubectl("exec", pod, "--", "/agnhost", "mounttest", f"--file_content=/data/{file}")


def runs(cluster: LabCluster, pod: str, other_than: str = "") -> bool:
    found = cluster.get("pod", pod)
    ready = {"type": "Ready", "status": "True"}
    return found["metadata"]["uid"] != other_than and any(
        ready.items() <= condition.items() for condition in found["status"].get("conditions", ())
    )


def test_each_pod_has_a_folder_on_its_node_and_the_run_has_nothing_left_to_do(cluster: LabCluster) -> None:
    for number in (0, 1):
        node, folder = place(cluster, f"data-keep-{number}")
        assert node == cluster.get("pod", f"keep-{number}")["spec"]["nodeName"]
        assert folder.startswith(f"{VOLUMES}/pvc-")
        assert cluster.sh(node, f"stat -c %a {VOLUMES}").strip() == "700"
        cluster.kubectl("exec", f"keep-{number}", "--", "/agnhost", "mounttest", "--new_file_0644=/data/first")
        assert TEXT in cluster.sh(node, f"cat {folder}/first")
    assert {place(cluster, f"data-keep-{number}")[0] for number in (0, 1)} == set(HOSTS)
    assert cluster.kprov("plan").status == 0
    helpers = [pod["metadata"]["name"] for pod in cluster.get("pods", "-n", "local-path-storage")["items"]]
    assert len(helpers) == 1, helpers


def test_data_outlives_the_pod(cluster: LabCluster) -> None:
    before = cluster.get("pod", "keep-0")["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "keep-0", "--wait=false")
    until(lambda: runs(cluster, "keep-0", before), seconds=120, what="the pod is back")
    assert TEXT in read(cluster, "keep-0", "first")


def test_data_outlives_a_reboot_of_its_node(cluster: LabCluster) -> None:
    pod = next(name for name in ("keep-0", "keep-1") if cluster.get("pod", name)["spec"]["nodeName"] == "w1")
    machines.reboot(cluster.lab.machine("w1"))
    until(lambda: TEXT in read(cluster, pod, "first"), seconds=180, what="the pod reads its data after the reboot")


def test_kubelet_tells_how_full_a_volume_is(cluster: LabCluster) -> None:
    def claims() -> set[str]:
        found = json.loads(cluster.kubectl("get", "--raw", "/api/v1/nodes/w1/proxy/stats/summary"))
        volumes = [item for pod in found["pods"] for item in pod.get("volume", ())]
        return {item["pvcRef"]["name"] for item in volumes if "pvcRef" in item and item["availableBytes"] > 0}

    until(lambda: claims() & {"data-keep-0", "data-keep-1"}, seconds=120, what="the volume's figures are there")


def test_more_than_a_node_has_free_is_refused_with_volume_and_node(cluster: LabCluster) -> None:
    pod = cluster.get("pod", "keep-1")
    large = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "large"},
        "spec": claim("1000Ti"),
    }
    user = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "large"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "w1"},
            "containers": [
                {"name": "large", "image": pod["spec"]["containers"][0]["image"], "imagePullPolicy": "Never"}
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "large"}}],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([large, user]))

    def told() -> str:
        for item in cluster.get("pods", "-n", "local-path-storage")["items"]:
            for status in item["status"].get("containerStatuses", ()):
                message = str(status["state"].get("terminated", {}).get("message", ""))
                if "asked for" in message:
                    return message
        return ""

    message = until(told, seconds=120, what="the helper says why")
    uid = cluster.get("pvc", "large")["metadata"]["uid"]
    assert f"volume pvc-{uid}_default_large: {1000 * 2**40} bytes were asked for, node w1 has" in message
    cluster.kubectl("delete", "pod/large", "pvc/large", "--wait=false")


def test_a_claim_that_is_deleted_takes_its_folder_with_it(cluster: LabCluster) -> None:
    node, folder = place(cluster, "data-keep-1")
    name = volume(cluster, "data-keep-1")["metadata"]["name"]
    cluster.kubectl("scale", "statefulset/keep", "--replicas=1")
    cluster.kubectl("delete", "pvc/data-keep-1", "--timeout=60s")
    until(
        lambda: (
            cluster.sh(node, f"test ! -e {folder} && echo gone", check=False).strip() == "gone"
            and not cluster.kubectl("get", "pv", name, "--ignore-not-found")
        ),
        seconds=120,
        what="the folder and its volume are gone",
    )


def test_what_cannot_be_changed_in_a_class_is_told_and_made_anew_on_request(cluster: LabCluster) -> None:
    switch(cluster, {"reclaim": "Retain"})
    refused = cluster.kprov("up", "--yes", status=1)
    assert "StorageClass local-path of the add-on storage cannot be changed in place" in refused.text
    assert "kprov up --recreate storage" in refused.text
    cluster.kprov("up", "--yes", "--recreate", "storage")
    assert cluster.get("storageclass", "local-path")["reclaimPolicy"] == "Retain"
    assert TEXT in read(cluster, "keep-0", "first")


def test_switched_off_nothing_is_left_but_the_data(cluster: LabCluster) -> None:
    switch(cluster, False)
    cluster.kprov("up", "--yes")
    assert not cluster.kubectl("get", "namespace/local-path-storage", "--ignore-not-found")
    assert not cluster.get("storageclass")["items"]
    images = {name for host in HOSTS for name in cluster.images(host)}
    assert {name for name in images if "local-path" in name or "volume-folder" in name} == set()
    node, folder = place(cluster, "data-keep-0")
    assert TEXT in cluster.sh(node, f"cat {folder}/first")
    before = cluster.get("pod", "keep-0")["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "keep-0", "--wait=false")
    until(lambda: runs(cluster, "keep-0", before), seconds=120, what="a pod starts with its old volume")
    assert TEXT in read(cluster, "keep-0", "first")
    assert cluster.kprov("plan").status == 0


def test_data_that_is_claimed_is_not_removed_and_what_is_left_goes_when_it_is_asked_to(cluster: LabCluster) -> None:
    node, folder = place(cluster, "data-keep-0")
    name = volume(cluster, "data-keep-0")["metadata"]["name"]
    refused = cluster.kprov("up", "--yes", "--delete-data", status=1)  # nothing was touched
    assert f"{name} on node {node}, claimed by default/data-keep-0" in refused.text
    assert TEXT in cluster.sh(node, f"cat {folder}/first")
    cluster.kubectl("delete", "statefulset/keep", "--timeout=60s")
    cluster.kubectl("delete", "pvc/data-keep-0", "--timeout=60s")
    cluster.kprov("up", "--yes", "--delete-data")
    for host in HOSTS:
        assert cluster.sh(host, f"test ! -e {VOLUMES} && echo gone").strip() == "gone"
    assert not cluster.get("pv")["items"]
    assert cluster.kprov("plan").status == 0
