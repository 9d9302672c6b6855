"""Upgrades in place: what may not be done is refused with nothing touched; what is done keeps what the cluster holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lab_cluster import LabCluster, until

pytestmark = pytest.mark.lab

OLD, NEW = "1.36", "1.37"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """One Debian 13 machine that is everything, on the older version, with a Deployment and a Secret in it."""
    name, hosts = "e2e-upgrade", {"all1": ["control_plane", "worker"]}
    made = LabCluster(name, tmp_path_factory.mktemp(name), hosts, suite="trixie", kubernetes=OLD)
    try:
        made.kprov("up", "--yes")
        image = made.load_agnhost()
        made.kubectl("create", "deployment", "web", f"--image={image}", "--", "/agnhost", "netexec", "--http-port=8080")
        made.kubectl("create", "secret", "generic", "kept", "--from-literal=word=before the upgrade")
        made.kubectl("rollout", "status", "deployment/web", "--timeout=90s", timeout=100)
        yield made
    finally:
        made.destroy()


def want(cluster: LabCluster, kubernetes: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["cluster"]["kubernetes"] = kubernetes

    cluster.edit(change)


def bookkeeping(cluster: LabCluster) -> str:
    """Changes with everything kprov does on the host."""
    return cluster.sh("all1", "sha256sum /var/lib/kprov/ledger /var/lib/kprov/generation /var/lib/kprov/stamps/*")


def kubelet_version(cluster: LabCluster) -> str:
    (node,) = cluster.get("nodes")["items"]
    return str(node["status"]["nodeInfo"]["kubeletVersion"])


def server_version(cluster: LabCluster) -> str:
    return str(json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"])


def test_the_older_version_passes_the_shipped_checks(cluster: LabCluster) -> None:
    assert "13" in cluster.sh("all1", ". /etc/os-release; echo $VERSION_ID")
    assert kubelet_version(cluster).startswith(f"v{OLD}.")
    cluster.kprov("verify")


def test_a_downgrade_is_refused_before_anything_is_fetched_or_touched(cluster: LabCluster) -> None:
    before = bookkeeping(cluster), cluster.main_pids("all1")
    want(cluster, "1.35")
    for command in (["plan"], ["up", "--yes"]):
        refused = cluster.kprov(*command, status=1)
        assert "VersionDowngrade" in refused.text
        assert "all1" in refused.text
        assert f"kube-apiserver {OLD}." in refused.text
        assert f'kubernetes: "{OLD}"' in refused.text
        assert "building" not in refused.text
    assert (bookkeeping(cluster), cluster.main_pids("all1")) == before


def test_the_plan_says_which_units_restart(cluster: LabCluster) -> None:
    want(cluster, NEW)
    planned = json.loads(cluster.kprov("plan", "--json", status=2).stdout)
    units = {restart["unit"] for restart in planned["hosts"]["all1"]["restarts"]}
    assert units == {
        f"{name}.service"
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    }


def test_the_cluster_moves_to_the_next_minor_with_what_it_holds(cluster: LabCluster) -> None:
    (pod,) = cluster.get("pods", "-l", "app=web")["items"]
    untouched = {"containerd.service", "kube-api-proxy.service", "kprov-network.service"}
    pids = cluster.main_pids("all1")
    cluster.kprov("up", "--yes")
    assert kubelet_version(cluster).startswith(f"v{NEW}.")
    assert server_version(cluster).startswith(f"v{NEW}.")
    after = cluster.main_pids("all1")
    assert {unit for unit in pids if pids[unit] == after.get(unit)} == untouched
    cluster.kprov("verify")
    assert cluster.kubectl("get", "secret", "kept", "-o", "jsonpath={.data.word}") == "YmVmb3JlIHRoZSB1cGdyYWRl"
    until(lambda: available(cluster, "web"), seconds=60, what="the Deployment is available")
    (kept,) = cluster.get("pods", "-l", "app=web")["items"]
    assert kept["metadata"]["uid"] == pod["metadata"]["uid"]


def available(cluster: LabCluster, name: str) -> bool:
    return bool(cluster.get("deployment", name)["status"].get("availableReplicas"))


def test_a_second_up_changes_nothing_in_one_exec(cluster: LabCluster) -> None:
    summary = json.loads(cluster.kprov("up", "--yes", "--json").stdout.strip().splitlines()[-1])
    assert (summary["changed"], summary["execs"]) == ([], 1), summary


def test_a_skipped_minor_is_refused_with_the_way_to_go(cluster: LabCluster) -> None:
    """The host says that it runs a version two minors back: a program in the API server's place tells so."""
    cluster.sh("all1", "systemctl stop kube-apiserver")
    cluster.sh("all1", "printf '#!/bin/sh\\necho Kubernetes v1.35.4\\n' > /opt/kprov/bin/kube-apiserver")
    before = bookkeeping(cluster), cluster.main_pids("all1")
    refused = cluster.kprov("up", "--yes", status=1)
    assert "VersionSkip" in refused.text
    assert "kube-apiserver 1.35.4 runs here" in refused.text
    assert "1.36, then 1.37" in refused.text
    assert (bookkeeping(cluster), cluster.main_pids("all1")) == before
    cluster.sh("all1", "printf '#!/bin/sh\\necho nothing\\n' > /opt/kprov/bin/kube-apiserver")
    repaired = cluster.kprov("up", "--yes")
    assert "VersionUnknown" in repaired.text
    assert server_version(cluster).startswith(f"v{NEW}.")
