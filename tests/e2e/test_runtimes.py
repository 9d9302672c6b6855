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
from lab_cluster import LabCluster, agnhost, probe_pods, until
from mirror_site import certified
from registry_program import Program, push, running
from runtime_node import addresses, answers, choose, docker, is_open, leases, traces

from kprov.artifacts import catalog
from kprov.roles.templating import render
from kprov.values.paths import BIN

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane", "worker"], "w1": ["worker"]}
FIRST, SECOND = "containerd.service", "second.service"
PASSWORD = secrets.token_hex(12)
UPSTREAM = "registry.k8s.io/e2e-test-images/agnhost:2.53"  # a name that leads nowhere here
PAUSE = f"kprov.local/pause:{catalog.resolve_versions('')['pause']}"
AGAIN = "/usr/local/bin/runc-again"
PROGRAM = Path(__file__).parent / "second_runtime.py"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """With a pod of a DaemonSet on each node, which no drain takes away, and two that move."""
    made = LabCluster("e2e-runtimes", tmp_path_factory.mktemp("runtimes"), HOSTS)
    made.command = (sys.executable, PROGRAM)
    os.environ["REGISTRY_PASSWORD"] = PASSWORD
    try:
        made.kprov("up", "--yes")
        made.kubectl("apply", "-f", "-", stdin=probe_pods(made.load_agnhost()))
        made.kubectl("rollout", "status", "daemonset/each", "--timeout=90s", timeout=100)
        yield made
    finally:
        del os.environ["REGISTRY_PASSWORD"]
        made.destroy()


def test_plan_says_that_the_runtime_is_swapped(cluster: LabCluster) -> None:
    choose(cluster, "second")
    planned = cluster.kprov("plan", status=2).text
    assert "runtime of w1: containerd → second" in planned
    assert "w1: drained before they are changed" in planned
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
    cluster.load_agnhost("w1", socket="/run/second/containerd.sock")
    until(lambda: answers(cluster), seconds=60, what="the pod that no drain took away answers from the new runtime")
    assert cluster.nodes() == {"cp1": True, "w1": True}
    until(lambda: leases(cluster) == addresses(cluster) != set(), seconds=60, what="only running pods hold an address")
    assert "kubepods" in cluster.sh("w1", "cat /proc/$(pgrep -o agnhost)/cgroup")
    assert cluster.kprov("plan").status == 0


def test_without_a_drain_the_swap_takes_the_pods_along(cluster: LabCluster) -> None:
    choose(cluster, None, drain=False)
    planned = cluster.kprov("plan", status=2).text
    assert "runtime of w1: second → containerd" in planned
    assert "w1: not drained: their pods end, and start again there" in planned
    cluster.kprov("up", "--yes")
    assert traces(cluster, SECOND, "/run/second", "/etc/second") == ""
    cluster.load_agnhost("w1")
    until(lambda: answers(cluster), seconds=60, what="the pod answers from the first runtime again")
    until(lambda: leases(cluster) == addresses(cluster) != set(), seconds=60, what="only running pods hold an address")
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0


@pytest.fixture(scope="module")
def guarded(cluster: LabCluster) -> Iterator[Program]:
    """A registry on the lab's bridge that asks for a login and has a CA nobody knows; the test image is in it."""
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
    planned = cluster.kprov("plan", "--diff", status=2)
    shown = planned.text + cluster.kprov("up", "--yes").text
    assert cluster.kprov("plan").status == 0
    encoded = base64.b64encode(f"puller:{PASSWORD}".encode()).decode()
    assert PASSWORD not in shown
    assert encoded not in shown
    assert cluster.main_pids("w1") == before, "what is read at each pull restarts nothing"
    open_to_others = f"grep -rlF {encoded} /etc /var/lib/kprov /run/kprov | xargs stat -c '%a %U'"
    assert set(cluster.sh("w1", open_to_others).split("\n")) == {"600 root", ""}
    cluster.kubectl("run", "pulled", f"--image={UPSTREAM}", "--image-pull-policy=Always", "--", "pause")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/pulled", "--timeout=60s", timeout=70)
    cluster.kubectl("delete", "pod", "pulled", "--grace-period=1", timeout=60)
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
    cluster.kubectl("delete", "pod", "refused", "--grace-period=1", timeout=60)


def test_a_pod_runs_in_another_oci_runtime_by_its_runtime_class(cluster: LabCluster) -> None:
    """runc under another name and at another place, on one node only: pods are led there."""
    cluster.sh("w1", f"cp /opt/kprov/bin/runc {AGAIN}")
    cluster.edit(lambda document: document["hosts"]["w1"].update(handlers={"again": {"path": AGAIN}}))
    cluster.kprov("up", "--yes")
    pod = {"spec": {"runtimeClassName": "again"}}
    cluster.kubectl("run", "again", f"--image={PAUSE}", f"--overrides={json.dumps(pod)}")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/again", "--timeout=60s", timeout=70)
    assert cluster.get("pod", "again")["spec"]["nodeName"] == "w1"
    calls = f"grep -lrF {AGAIN} /run/containerd/io.containerd.runtime.v2.task/k8s.io --include=options.json"
    assert len(cluster.sh("w1", calls).splitlines()) >= 1, "what its shim calls"
    cluster.kprov("verify")
    cluster.kubectl("delete", "pod", "again", "--grace-period=1", timeout=60)
    cluster.edit(lambda document: document["hosts"]["w1"].pop("handlers"))
    cluster.kprov("up", "--yes")
    assert cluster.get("runtimeclasses")["items"] == []
    cluster.sh("w1", f"rm {AGAIN}")


def test_dockerd_is_kprovs_unit_with_images_of_kprovs(cluster: LabCluster) -> None:
    choose(cluster, "engine")
    cluster.edit(lambda document: document["hosts"]["w1"].update(handlers={"again": {"path": "/opt/kprov/bin/runc"}}))
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0, "what was put into Docker's store is seen there"
    told = json.loads(docker(cluster, "GET", "/info"))
    assert told["CgroupDriver"] == "systemd"
    assert told["LiveRestoreEnabled"]
    assert "again" in told["Runtimes"]
    assert json.loads(docker(cluster, "GET", "/version"))["Version"] == catalog.resolve_versions("")["docker"]
    assert cluster.sh("w1", "ip -o link show type bridge | cut -d: -f2").split() == ["cni0"], "Docker makes no network"


@pytest.mark.parametrize("handler", ["runc", "again"])
def test_a_container_runs_in_docker_and_outlives_a_restart_of_it(cluster: LabCluster, handler: str) -> None:
    limits = {"NetworkMode": "none", "Memory": 64 << 20, "Runtime": handler}
    made = docker(cluster, "POST", f"/containers/create?name={handler}", {
        "Image": PAUSE, "HostConfig": limits,
    })  # fmt: skip
    identity = json.loads(made)["Id"]
    docker(cluster, "POST", f"/containers/{identity}/start")
    state = json.loads(docker(cluster, "GET", f"/containers/{identity}/json"))["State"]
    assert state["Running"]
    limit = f"cat /sys/fs/cgroup/memory/system.slice/docker-{identity}.scope/memory.limit_in_bytes"
    assert int(cluster.sh("w1", limit)) == 64 << 20
    cluster.sh("w1", "systemctl restart dockerd.service dockerd-containerd.service")
    again = until(
        lambda: json.loads(docker(cluster, "GET", f"/containers/{identity}/json"))["State"],
        seconds=60,
        what="dockerd is back",
    )
    assert (again["Running"], again["Pid"]) == (True, state["Pid"])


def test_docker_pulls_through_the_guarded_mirror_too(cluster: LabCluster, guarded: Program) -> None:
    cluster.kprov("up", "--yes")
    name, _, tag = UPSTREAM.rpartition(":")
    told = docker(cluster, "POST", f"/images/create?fromImage={name}&tag={tag}")
    assert "Status: Downloaded newer image" in told, told


@pytest.mark.parametrize("name", ["crio", "cri-dockerd", "dockerd"])
def test_units_of_runtimes_are_taken_by_systemd(cluster: LabCluster, name: str) -> None:
    """Their text as it is; where a program is not among the tests', another one has its name for that moment."""
    folder = "crio" if name == "crio" else "docker"
    values = {"bin": BIN, "store": "dockerd-containerd.service", "engine": "dockerd.service"}
    text = render(None, f"{folder}/{name}.service.j2", arguments=("--config=/etc/x y",), **values).decode()
    cluster.sh("w1", f"mkdir -p /run/verify; [ -e {BIN}/{name} ] || cp /bin/true {BIN}/{name}.true")
    cluster.sh("w1", f"[ ! -e {BIN}/{name}.true ] || mv {BIN}/{name}.true {BIN}/{name} && : > /run/verify/ours")
    cluster.sh("w1", f"cat > /run/verify/{name}.service << 'END'\n{text}\nEND\n")
    told = cluster.sh("w1", f"systemd-analyze verify /run/verify/{name}.service 2>&1; true")
    cluster.sh("w1", f"[ ! -e /run/verify/ours ] || rm {BIN}/{name}; rm -r /run/verify")
    assert told == ""


def test_docker_goes_without_a_trace(cluster: LabCluster) -> None:
    for name in ("runc", "again"):  # what is not Kubernetes' would hold it up
        docker(cluster, "DELETE", f"/containers/{name}?force=1")
    choose(cluster, None)
    cluster.edit(lambda document: document["hosts"]["w1"].pop("handlers"))
    assert "runtime of w1: engine → containerd" in cluster.kprov("plan", status=2).text
    cluster.kprov("up", "--yes")
    assert traces(cluster, "dockerd.service", "/run/docker", "/run/docker.sock", "/etc/docker") == ""
    assert cluster.sh("w1", "ls -A /var/lib/docker; pgrep -a dockerd || true") == ""
    assert cluster.nodes() == {"cp1": True, "w1": True}
    cluster.kprov("verify")
