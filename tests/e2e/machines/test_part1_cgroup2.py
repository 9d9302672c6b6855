"""Part 1: a worker with a kernel of its own and cgroup v2: what limits pods have there, and how they are told of a reboot.

The control plane is a container: an emulated one is too slow to be waited for.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_cluster import LabCluster, until
from shared_machines import serves

from kprov.lab import machines

pytestmark = pytest.mark.machines

SLOW = 300  # seconds that an emulated node may take for what another one does in ten


@pytest.fixture(scope="module")
def image(vm_cluster: LabCluster) -> str:
    return vm_cluster.load_agnhost("w1")


def a_pod(name: str, image: str, *words: str, **container: Any) -> str:
    own = {"name": "c", "image": image, "imagePullPolicy": "Never", "args": list(words), **container}
    spec = {"nodeName": "w1", "restartPolicy": "Never", "containers": [own]}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def condition(vm_cluster: LabCluster, kind: str) -> str:
    conditions = vm_cluster.get("node", "w1")["status"]["conditions"]
    return next(one["status"] for one in conditions if one["type"] == kind)


def cgroup(vm_cluster: LabCluster, pod: str) -> str:
    """The folder of a pod's cgroup on its node."""
    uid = vm_cluster.get("pod", pod)["metadata"]["uid"].replace("-", "_")
    return vm_cluster.sh("w1", f"find /sys/fs/cgroup/kubepods.slice -name '*{uid}.slice'").strip()


def test_the_node_has_a_kernel_of_its_own_and_cgroup_v2(vm_cluster: LabCluster) -> None:
    assert vm_cluster.sh("w1", "stat -fc %T /sys/fs/cgroup").strip() == "cgroup2fs"
    own = vm_cluster.sh("w1", "uname -r").strip()
    assert own == machines.kernel(vm_cluster.lab, vm_cluster.lab.machine("w1"))
    assert own != vm_cluster.sh("cp1", "uname -r").strip()
    assert vm_cluster.get("node", "w1")["status"]["nodeInfo"]["kernelVersion"] == own


def test_all_checks_pass_and_nothing_is_left_to_do(vm_cluster: LabCluster) -> None:
    vm_cluster.kprov("verify")
    assert vm_cluster.kprov("plan").status == 0


def test_pods_and_the_systems_services_are_in_slices_of_their_own(vm_cluster: LabCluster, image: str) -> None:
    vm_cluster.kubectl("apply", "-f", "-", stdin=a_pod("plain", image, "pause"))
    until(lambda: vm_cluster.get("pod", "plain")["status"]["phase"] == "Running", seconds=SLOW, what="a pod")
    assert cgroup(vm_cluster, "plain").startswith("/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/")
    for unit in ("kubelet", "containerd"):
        shown = vm_cluster.sh("w1", f"systemctl show -p ControlGroup --value {unit}").strip()
        assert shown.startswith(("/system.slice/", "/kprov")), shown
    delegated = vm_cluster.sh("w1", "cat /sys/fs/cgroup/kubepods.slice/cgroup.controllers").split()
    assert {"cpu", "memory", "pids"} <= set(delegated)


def test_a_pod_that_takes_more_memory_than_its_limit_is_killed(vm_cluster: LabCluster, image: str) -> None:
    limits = {"limits": {"memory": "64Mi"}}
    eats = ("stress", "--mem-total=256Mi", "--mem-alloc-size=8Mi", "--mem-alloc-sleep=50ms")
    vm_cluster.kubectl("apply", "-f", "-", stdin=a_pod("eater", image, *eats, resources=limits))

    def ended() -> Any:
        (container,) = vm_cluster.get("pod", "eater")["status"]["containerStatuses"]
        return container["state"].get("terminated")

    assert until(ended, seconds=SLOW, what="the end of the pod")["reason"] == "OOMKilled"
    assert "oom-kill" in vm_cluster.sh("w1", "dmesg")


def test_a_pod_gets_no_more_of_a_processor_than_its_limit(vm_cluster: LabCluster, image: str) -> None:
    """A limit so low that an emulated machine beside other work has that much to give."""
    limits = {"limits": {"cpu": "50m", "memory": "64Mi"}}
    vm_cluster.kubectl("apply", "-f", "-", stdin=a_pod("worker", image, "stress", "--cpus=1", resources=limits))
    until(lambda: vm_cluster.get("pod", "worker")["status"]["phase"] == "Running", seconds=SLOW, what="a pod")
    folder = cgroup(vm_cluster, "worker")

    def used() -> tuple[float, dict[str, int]]:
        text = vm_cluster.sh("w1", f"cat /proc/uptime {folder}/cpu.stat").splitlines()
        rows = {name: int(value) for name, value in (line.split() for line in text[1:])}
        return float(text[0].split()[0]), rows

    try:
        (began, before), _, (ended, after) = used(), time.sleep(30), used()
    finally:  # it takes what the tests after this one need
        vm_cluster.kubectl("delete", "pod", "worker", "--now", "--wait=false")
    share = (after["usage_usec"] - before["usage_usec"]) / 1e6 / (ended - began)
    assert after["nr_throttled"] > before["nr_throttled"], (before, after)
    assert share < 0.1, f"{share:.2f} of a processor"


def test_a_node_that_runs_out_of_memory_evicts_who_took_it(vm_cluster: LabCluster, image: str) -> None:
    # Kubelet looks every ten seconds, and more seldom on an emulated machine: who takes more than its threshold in between
    # is met by the kernel first. Most of the memory is taken at once, by nobody's pod.
    vm_cluster.sh("w1", "dd if=/dev/zero of=/dev/shm/taken bs=1M count=1200 status=none")
    eats = ("stress", "--mem-total=8Gi", "--mem-alloc-size=2Mi", "--mem-alloc-sleep=1s")
    vm_cluster.kubectl("apply", "-f", "-", stdin=a_pod("hog", image, *eats))

    def failed() -> Any:
        status = vm_cluster.get("pod", "hog")["status"]
        return status["phase"] == "Failed" and status

    try:
        status = until(failed, seconds=4 * SLOW, what="an eviction")
    finally:
        vm_cluster.sh("w1", "rm /dev/shm/taken")
        vm_cluster.kubectl("delete", "pod", "hog", "--now", "--wait=false")
    assert status.get("reason") == "Evicted", status
    assert "memory" in status["message"]
    # Until then kubelet takes no pod without requests; it waits five minutes before it says so.
    until(
        lambda: condition(vm_cluster, "MemoryPressure") == "False", seconds=3 * SLOW, what="the end of memory pressure"
    )
    assert vm_cluster.nodes()["w1"]


def test_pods_are_told_in_time_when_the_node_reboots(vm_cluster: LabCluster, image: str) -> None:
    """The pod takes twenty seconds to end; a node that simply went down would have cut it off."""
    asked = ("netexec", "--http-port=8080", "--delay-shutdown=20")
    vm_cluster.kubectl("apply", "-f", "-", stdin=a_pod("slow", image, *asked))
    until(lambda: vm_cluster.get("pod", "slow")["status"]["phase"] == "Running", seconds=SLOW, what="a pod")
    machines.reboot(vm_cluster.lab.machine("w1"))
    until(lambda: serves(vm_cluster), seconds=2 * SLOW, what="the node")
    status = vm_cluster.get("pod", "slow")["status"]
    assert "shutdown" in status.get("message", "") or status["phase"] in ("Failed", "Succeeded"), status
    (container,) = status["containerStatuses"]
    ended = container["state"]["terminated"]
    assert ended["exitCode"] != 137, f"it was cut off: {ended}"


def test_after_the_reboot_all_checks_pass_again(vm_cluster: LabCluster, tmp_path: Path) -> None:
    vm_cluster.kprov("verify", "--junit", str(tmp_path / "report.xml"))
    summary = json.loads(vm_cluster.kprov("up", "--yes", "--json").stdout.strip().splitlines()[-1])
    assert not summary["changed"]
