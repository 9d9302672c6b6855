"""Part 1: a worker with a kernel of its own and cgroup v2: what limits pods have there, and how they are told of a reboot.

The control plane is a container: an emulated one is too slow to be waited for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_cluster import LabCluster, until

from kprov.lab import machines
from kprov.lab.layout import VmSize

pytestmark = pytest.mark.machines

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
SLOW = 300  # seconds that an emulated node may take for what another one does in ten


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    folder = tmp_path_factory.mktemp("vm1")
    made = LabCluster("vm-cgroup2", folder, HOSTS, suite="trixie", vms={"w1": VmSize()}, keys={})
    try:
        made.kprov("up", "--yes")
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def image(cluster: LabCluster) -> str:
    return cluster.load_agnhost("w1")


def a_pod(name: str, image: str, *words: str, **container: Any) -> str:
    own = {"name": "c", "image": image, "imagePullPolicy": "Never", "args": list(words), **container}
    spec = {"nodeName": "w1", "restartPolicy": "Never", "containers": [own]}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def cgroup(cluster: LabCluster, pod: str) -> str:
    """The folder of a pod's cgroup on its node."""
    uid = cluster.get("pod", pod)["metadata"]["uid"].replace("-", "_")
    return cluster.sh("w1", f"find /sys/fs/cgroup/kubepods.slice -name '*{uid}.slice'").strip()


def test_the_node_has_a_kernel_of_its_own_and_cgroup_v2(cluster: LabCluster) -> None:
    assert cluster.sh("w1", "stat -fc %T /sys/fs/cgroup").strip() == "cgroup2fs"
    own = cluster.sh("w1", "uname -r").strip()
    assert own == machines.kernel(cluster.lab, cluster.lab.machine("w1"))
    assert own != cluster.sh("cp1", "uname -r").strip()
    assert cluster.get("node", "w1")["status"]["nodeInfo"]["kernelVersion"] == own


def test_all_checks_pass_and_nothing_is_left_to_do(cluster: LabCluster) -> None:
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0


def test_pods_and_the_systems_services_are_in_slices_of_their_own(cluster: LabCluster, image: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=a_pod("plain", image, "pause"))
    until(lambda: cluster.get("pod", "plain")["status"]["phase"] == "Running", seconds=SLOW, what="a pod")
    assert cgroup(cluster, "plain").startswith("/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/")
    for unit in ("kubelet", "containerd"):
        shown = cluster.sh("w1", f"systemctl show -p ControlGroup --value {unit}").strip()
        assert shown.startswith(("/system.slice/", "/kprov")), shown
    delegated = cluster.sh("w1", "cat /sys/fs/cgroup/kubepods.slice/cgroup.controllers").split()
    assert {"cpu", "memory", "pids"} <= set(delegated)


def test_a_pod_that_takes_more_memory_than_its_limit_is_killed(cluster: LabCluster, image: str) -> None:
    limits = {"limits": {"memory": "64Mi"}}
    eats = ("stress", "--mem-total=256Mi", "--mem-alloc-size=8Mi", "--mem-alloc-sleep=50ms")
    cluster.kubectl("apply", "-f", "-", stdin=a_pod("eater", image, *eats, resources=limits))

    def ended() -> Any:
        (container,) = cluster.get("pod", "eater")["status"]["containerStatuses"]
        return container["state"].get("terminated")

    assert until(ended, seconds=SLOW, what="the end of the pod")["reason"] == "OOMKilled"
    assert "oom-kill" in cluster.sh("w1", "dmesg")


def test_a_pod_gets_no_more_of_a_processor_than_its_limit(cluster: LabCluster, image: str) -> None:
    limits = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    cluster.kubectl("apply", "-f", "-", stdin=a_pod("worker", image, "stress", "--cpus=1", resources=limits))
    until(lambda: cluster.get("pod", "worker")["status"]["phase"] == "Running", seconds=SLOW, what="a pod")
    folder = cgroup(cluster, "worker")

    def used() -> tuple[float, dict[str, int]]:
        text = cluster.sh("w1", f"cat /proc/uptime {folder}/cpu.stat").splitlines()
        rows = {name: int(value) for name, value in (line.split() for line in text[1:])}
        return float(text[0].split()[0]), rows

    (began, before), _, (ended, after) = used(), time.sleep(30), used()
    share = (after["usage_usec"] - before["usage_usec"]) / 1e6 / (ended - began)
    assert after["nr_throttled"] > before["nr_throttled"]
    assert 0.05 < share < 0.3, f"{share:.2f} of a processor"
    cluster.kubectl("delete", "pod", "worker", "--now", timeout=SLOW)


def test_a_node_that_runs_out_of_memory_evicts_who_took_it(cluster: LabCluster, image: str) -> None:
    eats = ("stress", "--mem-total=8Gi", "--mem-alloc-size=16Mi", "--mem-alloc-sleep=100ms")
    cluster.kubectl("apply", "-f", "-", stdin=a_pod("hog", image, *eats))

    def failed() -> Any:
        status = cluster.get("pod", "hog")["status"]
        return status["phase"] == "Failed" and status

    status = until(failed, seconds=2 * SLOW, what="an eviction")
    assert status.get("reason") == "Evicted", status
    assert "memory" in status["message"]
    until(lambda: cluster.nodes()["w1"], seconds=SLOW, what="the node")


def test_pods_are_told_in_time_when_the_node_reboots(cluster: LabCluster, image: str) -> None:
    """The pod takes twenty seconds to end; a node that simply went down would have cut it off."""
    asked = ("netexec", "--http-port=8080", "--delay-shutdown=20")
    cluster.kubectl("apply", "-f", "-", stdin=a_pod("slow", image, *asked))
    until(lambda: cluster.get("pod", "slow")["status"]["phase"] == "Running", seconds=SLOW, what="a pod")
    machines.reboot(cluster.lab.machine("w1"))
    until(lambda: cluster.nodes()["w1"], seconds=2 * SLOW, what="the node")
    status = cluster.get("pod", "slow")["status"]
    assert "shutdown" in status.get("message", "") or status["phase"] in ("Failed", "Succeeded"), status
    (container,) = status["containerStatuses"]
    ended = container["state"]["terminated"]
    assert ended["exitCode"] != 137, f"it was cut off: {ended}"


def test_after_the_reboot_all_checks_pass_again(cluster: LabCluster, tmp_path: Path) -> None:
    cluster.kprov("verify", "--junit", str(tmp_path / "report.xml"))
    summary = json.loads(cluster.kprov("up", "--yes", "--json").stdout.strip().splitlines()[-1])
    assert not summary["changed"]
