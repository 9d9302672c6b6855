"""The two machines that all parts share, and the order of their tests: what needs machines without a cluster comes first.

An emulated cluster takes half an hour to be made, so one serves all parts that run together. It can serve the next run,
too: `KPROV_KEPT=FOLDER` leaves it where it is, with its inventory and its state in that folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_cluster import LabCluster

from kprov.lab.layout import VmSize

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
_MOMENTS = {"vm_cluster": 3, "untouched": 1, "begun": 2}  # fixtures below; the later two ask for `begun`, too


def moment(item: pytest.Item) -> int:
    """Place of a test among those that share the machines; 0 for any other test."""
    names = getattr(item, "fixturenames", ())
    return next((place for name, place in _MOMENTS.items() if name in names), 0)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """A control plane in a container, a worker that is a virtual machine; runs may have begun on them."""
    kept = os.environ.get("KPROV_KEPT", "")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("machines")
    folder.mkdir(exist_ok=True)
    made = LabCluster("vm-machines", folder, HOSTS, suite="trixie", vms={"w1": VmSize()}, keys={}, anew=not kept)
    yield made
    if not kept:
        made.destroy()


@pytest.fixture
def untouched(begun: LabCluster) -> LabCluster:
    """The machines before the first run changed anything."""
    if begun.sh("w1", "ls /etc/kubernetes 2>/dev/null; true"):
        pytest.skip("a run has begun on these machines")
    return begun


@pytest.fixture(scope="session")
def vm_cluster(begun: LabCluster) -> LabCluster:
    begun.kprov("up", "--yes")
    return begun


def serves(cluster: LabCluster) -> bool:
    """Whether the worker is Ready since its last boot, and so are the pods of the system: what `kprov verify` looks at."""
    if not cluster.nodes()["w1"]:
        return False
    boot = cluster.sh("w1", "cat /proc/sys/kernel/random/boot_id").strip()
    if cluster.get("node", "w1")["status"]["nodeInfo"]["bootID"] != boot:
        return False
    measured = json.loads(cluster.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"))["items"]
    if {row["metadata"]["name"] for row in measured} != set(HOSTS):
        return False
    pods = cluster.get("pods", "-n", "kube-system")["items"]
    return all(
        any(row["type"] == "Ready" and row["status"] == "True" for row in pod["status"].get("conditions", ()))
        for pod in pods
        if pod["status"]["phase"] in ("Pending", "Running")
    )
