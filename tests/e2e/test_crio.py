"""CRI-O with Kubernetes of its own minor version, and the way to the next one. Long: the mixed cluster has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab_cluster import LabCluster, until

pytestmark = [pytest.mark.lab, pytest.mark.long]

OLD, NEW = "1.36", "1.37"
VERSIONS = {"crio": "1.36.3", "cri-tools": "1.36.0"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    name, hosts = "e2e-crio", {"all1": ["control_plane", "worker"]}
    keys = {"versions": VERSIONS, "runtime": "crio"}
    made = LabCluster(name, tmp_path_factory.mktemp(name), hosts, kubernetes=OLD, keys=keys)
    try:
        made.kprov("up", "--yes")
        yield made
    finally:
        made.destroy()


def node_info(cluster: LabCluster) -> Any:
    (node,) = cluster.get("nodes")["items"]
    return node["status"]["nodeInfo"]


def test_the_minor_version_that_crio_was_made_for_passes_all_checks(cluster: LabCluster) -> None:
    info = node_info(cluster)
    assert info["containerRuntimeVersion"] == f"cri-o://{VERSIONS['crio']}"
    assert info["kubeletVersion"].startswith(f"v{OLD}.")
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0


def test_kubectl_top_knows_what_pods_on_crio_use(cluster: LabCluster) -> None:
    """Two looks at a pod make a figure, so that a new one has none yet."""

    def used() -> dict[str, str]:
        rows = cluster.kubectl("top", "pods", "-n", "kube-system", "--no-headers").splitlines()
        found = {name.rsplit("-", 2)[0]: memory for name, _, memory in map(str.split, rows)}
        return found if {"coredns", "metrics-server"} <= set(found) else {}

    memory = until(used, seconds=180, what="figures of both")
    assert all(figure.endswith("Mi") and int(figure[:-2]) > 0 for figure in memory.values())


def test_kubernetes_moves_on_and_crio_stays(cluster: LabCluster) -> None:
    cluster.edit(lambda document: document["cluster"].update(kubernetes=NEW))
    cluster.kprov("up", "--yes")
    info = node_info(cluster)
    assert info["containerRuntimeVersion"] == f"cri-o://{VERSIONS['crio']}"
    assert info["kubeletVersion"].startswith(f"v{NEW}.")
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0
