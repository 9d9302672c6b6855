"""A cluster is switched off for longer than its tokens and leases live, and comes back with its machines.

One control plane and one worker. A pod's token lives ten minutes, the least that Kubernetes gives; so long this takes.
"""

from __future__ import annotations

import base64
import json
import time

import pytest
import yaml
from conftest import Make
from lab_cluster import LabCluster, until

from kprov.lab import machines

pytestmark = [pytest.mark.lab, pytest.mark.long]

LIFE = 600  # seconds
TOKEN = "/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/token/token"
CURL = "curl -sk -o /dev/null -w '%{http_code}' --max-time 10"


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("keys-off", {"cp1": ["control_plane"], "w1": ["worker"]})
    made.kprov("up", "--yes")
    return made


def pod(image: str) -> str:
    """One that is given a token of its own, apart from the one that all pods have."""
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": LIFE}}
    container = {"name": "mine", "image": image, "imagePullPolicy": "Never", "args": ["pause"]}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "mine"},
            "spec": {
                "nodeName": "w1",
                "terminationGracePeriodSeconds": 0,
                "containers": [{**container, "volumeMounts": [{"name": "token", "mountPath": "/token"}]}],
                "volumes": [{"name": "token", "projected": {"sources": [source]}}],
            },
        }
    )


def token(cluster: LabCluster) -> str:
    [text] = cluster.sh("w1", f"cat {TOKEN}").split()
    return text


def end_of(text: str) -> float:
    part = text.split(".")[1]
    return float(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])


def says(cluster: LabCluster, text: str) -> str:
    """HTTP's code for who shows a token: 403 is somebody known, who may not."""
    return cluster.sh("cp1", f"{CURL} -H 'Authorization: Bearer {text}' https://127.0.0.1:6443/api/v1/nodes").strip()


def ready(cluster: LabCluster) -> bool:
    [status] = cluster.get("pod", "mine")["status"]["containerStatuses"]
    return bool(status["ready"])


def test_a_cluster_that_was_off_for_longer_than_tokens_and_leases_live(cluster: LabCluster) -> None:
    cluster.kubectl("create", "-f", "-", stdin=pod(cluster.load_agnhost("w1")))
    cluster.kubectl("create", "secret", "generic", "kept", "--from-literal=a=b")
    until(lambda: ready(cluster), seconds=90, what="a pod")
    old = token(cluster)
    assert says(cluster, old) == "403"
    for name in ("w1", "cp1"):
        machines.stop(cluster.lab.machine(name))
    time.sleep(max(0.0, end_of(old) - time.time()) + 60)
    for name in ("cp1", "w1"):
        machines.start(cluster.lab.machine(name))
    cluster.kprov("up", "--yes")
    until(lambda: cluster.nodes() == {"cp1": True, "w1": True}, seconds=120, what="all nodes Ready")
    assert says(cluster, old) == "401"
    until(lambda: ready(cluster) and token(cluster) != old, seconds=180, what="the pod, with a new token")
    assert says(cluster, token(cluster)) == "403"
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=110s")
    assert "nothing to change" in cluster.kprov("plan").stdout
