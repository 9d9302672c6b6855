"""Nodes are emptied before their kubelets move to another minor: budgets hold, and a run that was cut off is taken up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from lab_cluster import KPROV, NODE_PORT, LabCluster, until

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"], "w2": ["worker"]}
MARK = "kprov.io/cordoned"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """A web server with two replicas, both of which its budget wants at first: no node with one can be drained."""
    name = "e2e-drain"
    made = LabCluster(name, tmp_path_factory.mktemp(name), HOSTS, kubernetes="1.36")
    try:
        made.kprov("up", "--yes")
        made.kubectl("apply", "-f", "-", stdin=workload(made.load_agnhost()))
        made.kubectl("rollout", "status", "deployment/web", "--timeout=90s", timeout=100)
        yield made
    finally:
        made.destroy()


def workload(image: str) -> str:
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["netexec", "--http-port=8080"],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/healthz"}, "periodSeconds": 1},
        # A pod that leaves still answers until every node has heard that it does.
        "lifecycle": {"preStop": {"sleep": {"seconds": 8}}},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 12, "topologySpreadConstraints": [spread]}
    return str(
        yaml.safe_dump_all(
            [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {"name": "web"},
                    "spec": {
                        "replicas": 2,
                        "selector": {"matchLabels": labels},
                        "template": {"metadata": {"labels": labels}, "spec": pod},
                    },
                },
                {
                    "apiVersion": "policy/v1",
                    "kind": "PodDisruptionBudget",
                    "metadata": {"name": "web"},
                    "spec": {"minAvailable": 2, "selector": {"matchLabels": labels}},
                },
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": "web"},
                    "spec": {
                        "type": "NodePort",
                        "selector": labels,
                        "ports": [{"port": 80, "targetPort": 8080, "nodePort": NODE_PORT}],
                    },
                },
            ]
        )
    )


def want_next_minor(document: dict[str, Any]) -> None:
    document["cluster"]["kubernetes"] = "1.37"


def cordoned(cluster: LabCluster) -> dict[str, bool]:
    """Cordoned node → whether kprov marked it. Raises JSONDecodeError while the API server restarts."""
    return {
        node["metadata"]["name"]: MARK in node["metadata"]["annotations"]
        for node in json.loads(cluster.kubectl("get", "nodes", "-o", "json", check=False))["items"]
        if node["spec"].get("unschedulable")
    }


def kubelets(cluster: LabCluster) -> dict[str, str]:
    return {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"].rpartition(".")[0]
        for node in cluster.get("nodes")["items"]
    }


@contextmanager
def asked_all_along(address: str) -> Iterator[dict[str, int]]:
    """Asks the web server five times a second, each time again; counts answers and failures while the block runs."""
    counts = {"answered": 0, "failed": 0}
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                with socket.create_connection((address, NODE_PORT), timeout=5) as connection:
                    connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                    good = b" 200 " in connection.makefile("rb").readline()
            except OSError:
                good = False
            counts["answered" if good else "failed"] += 1
            over.wait(0.2)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join(timeout=30)


def test_a_run_killed_while_a_budget_holds_it_leaves_its_mark_and_ends_on_the_host(cluster: LabCluster) -> None:
    cluster.kubectl("cordon", "cp1")
    cluster.edit(want_next_minor)
    with subprocess.Popen(
        [KPROV, "up", str(cluster.inventory), "--yes"], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        try:
            until(lambda: cordoned(cluster).get("w1"), seconds=240, what="a node is cordoned by kprov")
        finally:
            os.killpg(run.pid, signal.SIGKILL)
    assert cordoned(cluster) == {"cp1": False, "w1": True}
    assert kubelets(cluster)["w1"] == "v1.36"
    # The drain ends by itself soon after its operator, and not only at its deadline of five minutes.
    cluster.sh("cp1", "flock -w 120 /var/lib/kprov/apply.lock true")
    planned = cluster.kprov("plan", status=2).text
    assert "cordoned by a run that did not end: w1" in planned
    assert "w1, w2: drained before they are changed" in planned


def patience(seconds: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["cluster"]["upgrade"] = {"drain_timeout": seconds}

    return change


def test_a_budget_that_never_allows_it_ends_the_run_with_the_node_as_it_was(cluster: LabCluster) -> None:
    cluster.edit(patience(10))
    before = cluster.main_pids("w1")
    ended = cluster.kprov("up", "--yes", status=3)
    assert "cannot drain w1 within 10 s" in ended.text
    assert "disruption budget" in ended.text
    assert cordoned(cluster) == {"cp1": False, "w1": True}
    assert cluster.main_pids("w1") == before
    cluster.edit(patience(300))


def test_the_next_run_finishes_and_the_web_server_answers_all_along(cluster: LabCluster) -> None:
    cluster.kubectl("patch", "pdb", "web", "-p", '{"spec":{"minAvailable":1}}')
    address = next(machine.address for machine in cluster.lab.machines if machine.name == "cp1")
    with asked_all_along(address) as counts:
        cluster.kprov("up", "--yes")
    assert kubelets(cluster) == dict.fromkeys(HOSTS, "v1.37")
    assert counts["failed"] == 0, counts
    assert counts["answered"] > 20, counts
    # What a user cordoned stays so.
    assert cordoned(cluster) == {"cp1": False}
    assert cluster.kprov("plan").status == 0
