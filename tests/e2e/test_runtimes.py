"""Runtimes on living nodes: swapped for another and back, once cut off and once not drained; pulls from a guarded mirror."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lab_cluster import HOST_PORT, LabCluster, agnhost, probe_pods, until
from mirror_site import certified
from registry_program import Program, push, running

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane", "worker"], "w1": ["worker"]}
FIRST, SECOND = "containerd.service", "second.service"
PASSWORD = secrets.token_hex(12)
UPSTREAM = "registry.k8s.io/e2e-test-images/agnhost:2.53"  # a name that leads nowhere here
PROGRAM = Path(__file__).parent / "second_runtime.py"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """With a pod of a DaemonSet on each node, which no drain takes away, and two that move."""
    made = LabCluster("rt-runtimes", tmp_path_factory.mktemp("runtimes"), HOSTS)
    made.command = (sys.executable, PROGRAM)
    try:
        made.kprov("up", "--yes")
        made.kubectl("apply", "-f", "-", stdin=probe_pods(made.load_agnhost()))
        made.kubectl("rollout", "status", "daemonset/each", "--timeout=90s", timeout=100)
        yield made
    finally:
        made.destroy()


def choose(cluster: LabCluster, runtime: str | None, *, drain: bool = True) -> None:
    def change(document: dict[str, Any]) -> None:
        document["hosts"]["w1"].pop("runtime", None)
        if runtime:
            document["hosts"]["w1"]["runtime"] = runtime
        document["cluster"]["upgrade"] = {"drain": drain}

    cluster.edit(change)


def load_agnhost(cluster: LabCluster, socket: str) -> None:
    """The test image is nobody's but the test's: a swap takes it away with the runtime's other images."""
    cluster.load_agnhost("w1", socket=socket)


def is_open(cluster: LabCluster) -> bool:
    return not cluster.get("node", "w1")["spec"].get("unschedulable", False)


def answers(cluster: LabCluster) -> str:
    """What the DaemonSet's pod on w1 says on its host port: runtime, pod network and port mapping at once."""
    address = next(machine.address for machine in cluster.lab.machines if machine.name == "w1")
    return cluster.sh("cp1", f"curl -fsS --max-time 3 http://{address}:{HOST_PORT}/hostname")


def leases(cluster: LabCluster) -> set[str]:
    """Addresses that the CNI plugins on w1 hold for pods."""
    return set(cluster.sh("w1", "cd /var/lib/cni/networks/kprov && ls -d [0-9]* || true").split())


def addresses(cluster: LabCluster) -> set[str]:
    """Addresses of the pods on w1, those of the host's own network left out."""
    pods = cluster.get("pods", "-A", "--field-selector=spec.nodeName=w1,status.phase=Running")["items"]
    return {pod["status"]["podIP"] for pod in pods if not pod["spec"].get("hostNetwork")}


def traces(cluster: LabCluster, unit: str, *names: str) -> str:
    """What is left of a runtime on w1: units, files, records, processes. Empty when nothing is."""
    script = f"""
    ls -d {" ".join(names)} /etc/systemd/system/{unit} /etc/systemd/system/*.wants/{unit} 2> /dev/null
    grep -e {unit} {" ".join(f"-e {name}" for name in names)} /var/lib/kprov/manifest
    systemctl list-unit-files --no-legend {unit}
    pgrep -a -f -e '-address {names[0]}/'
    true"""
    return cluster.sh("w1", script).strip()


def test_plan_says_that_the_runtime_is_swapped(cluster: LabCluster) -> None:
    choose(cluster, "second")
    planned = cluster.kprov("plan", status=2).text
    assert "runtime of w1: containerd → second" in planned
    assert "drained before they are changed, opened again afterwards: w1" in planned
    values = json.loads(cluster.kprov("plan", "--json", status=2).stdout)
    assert values["runtimes"] == {"w1": {"from": ["containerd"], "to": "second"}}


def test_a_swap_that_is_cut_off_is_finished_by_the_next_run(cluster: LabCluster) -> None:
    with subprocess.Popen(
        [*cluster.command, "up", str(cluster.inventory), "--yes"], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        try:
            gone = f"! systemctl is-active -q {FIRST} && echo gone || true"
            until(lambda: cluster.sh("w1", gone), seconds=240, what="the old runtime is stopped")
        finally:
            os.killpg(run.pid, signal.SIGKILL)
    cluster.sh("w1", "flock -w 60 /var/lib/kprov/apply.lock true")
    assert cluster.sh("w1", "systemctl is-active kubelet.service || true").strip() == "inactive"
    assert not is_open(cluster)
    cluster.kprov("up", "--yes")
    assert is_open(cluster)


def test_nothing_of_the_old_runtime_is_left_and_pods_run_in_the_new_one(cluster: LabCluster) -> None:
    assert traces(cluster, FIRST, "/run/containerd/containerd.sock", "/etc/containerd") == ""
    assert cluster.sh("w1", "ls -A /var/lib/containerd") == ""
    load_agnhost(cluster, "/run/second/containerd.sock")
    until(lambda: answers(cluster), seconds=60, what="the pod that no drain took away answers from the new runtime")
    assert cluster.nodes() == {"cp1": True, "w1": True}
    assert leases(cluster) == addresses(cluster) != set()
    assert "kubepods" in cluster.sh("w1", "cat /proc/$(pgrep -o agnhost)/cgroup")
    assert cluster.kprov("plan").status == 0


def test_without_a_drain_the_swap_takes_the_pods_along(cluster: LabCluster) -> None:
    choose(cluster, None, drain=False)
    assert "runtime of w1: second → containerd; not drained" in cluster.kprov("plan", status=2).text
    cluster.kprov("up", "--yes")
    assert traces(cluster, SECOND, "/run/second", "/etc/second") == ""
    load_agnhost(cluster, "/run/containerd/containerd.sock")
    until(lambda: answers(cluster), seconds=60, what="the pod answers from the first runtime again")
    assert leases(cluster) == addresses(cluster) != set()
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0


@pytest.fixture(scope="module")
def guarded(cluster: LabCluster) -> Iterator[Program]:
    """A registry on the lab's bridge that asks for a login and has an authority nobody knows; the test image is in it."""
    pair = certified(cluster.lab.gateway, cluster.folder / "registry-ca.pem")
    artifact = agnhost()
    with running(cluster.folder, address=cluster.lab.gateway, pair=pair, login=f"puller:{PASSWORD}") as program:
        trust = ssl.create_default_context(cafile=cluster.folder / "registry-ca.pem")
        with httpx.Client(timeout=60, verify=trust) as stranger:
            assert stranger.get(f"{program.url}/v2/").status_code == 401
        with httpx.Client(timeout=60, verify=trust, auth=("puller", PASSWORD)) as client:
            push(program.url, "k8s/e2e-test-images/agnhost", "2.53", artifact, client)
        yield program


def test_a_pod_gets_its_image_from_a_mirror_with_a_login_and_an_authority_of_its_own(
    cluster: LabCluster, guarded: Program
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["cluster"]["registry"] = {
            "mirror": f"{guarded.host}/k8s",
            "ca": "registry-ca.pem",
            "username": "puller",
            "password": {"env": "REGISTRY_PASSWORD"},
        }

    cluster.edit(change)
    before = cluster.main_pids("w1")
    env = {"REGISTRY_PASSWORD": PASSWORD}
    planned = cluster.kprov("plan", "--diff", status=2, env=env)
    shown = planned.text + cluster.kprov("up", "--yes", env=env).text
    assert cluster.kprov("plan", env=env).status == 0
    encoded = base64.b64encode(f"puller:{PASSWORD}".encode()).decode()
    assert PASSWORD not in shown
    assert encoded not in shown
    assert cluster.main_pids("w1") == before, "what is read at each pull restarts nothing"
    open_to_others = f"grep -rlF {encoded} /etc /var/lib/kprov /run/kprov | xargs stat -c '%a %U'"
    assert set(cluster.sh("w1", open_to_others).split("\n")) == {"600 root", ""}
    cluster.kubectl("run", "pulled", f"--image={UPSTREAM}", "--image-pull-policy=Always", "--", "pause")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/pulled", "--timeout=60s", timeout=70)
    assert f"/v2/k8s/{UPSTREAM.partition('/')[2].replace(':', '/manifests/')}" in guarded.log.read_text()


def test_a_login_that_is_wrong_pulls_nothing(cluster: LabCluster, guarded: Program) -> None:
    """The pod above ran because of its login: with another one the same registry refuses the same image."""
    cluster.kprov("up", "--yes", env={"REGISTRY_PASSWORD": "not this one"})
    cluster.kubectl("run", "refused", f"--image={UPSTREAM}", "--image-pull-policy=Always", "--", "pause")
    told = "jsonpath={.status.containerStatuses[0].state.waiting.message}"
    until(
        lambda: "authorization failed" in cluster.kubectl("get", "pod", "refused", "-o", told),
        seconds=60,
        what="the runtime says that it was not let in",
    )
