"""One cluster of a containerd, a CRI-O and a Docker node: what pods, kubectl, kubelet and people ask of each; swaps in all
directions, a reboot, and `down`. Long: what they need is built, and each runtime follows each other on some node."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from lab_cluster import HOST_PORT, LabCluster, agnhost, kubectl_path, until
from mirror_site import certified
from registry_program import Program, push, running
from snapshots import assert_same, snapshot

from kprov.artifacts import catalog
from kprov.artifacts.build import build, component_target
from kprov.artifacts.cache import Cache, default_root
from kprov.artifacts.progress import Silent
from kprov.lab import machines
from kprov.values.runtimes import RUNTIMES

pytestmark = [pytest.mark.lab, pytest.mark.long]

HOSTS = {"cp1": ["control_plane", "worker"], "w1": ["worker"], "w2": ["worker"]}
FIRST = {"cp1": "containerd", "w1": "crio", "w2": "docker"}
# CRI-O 1.36.3 is the newest whose modules are served.
VERSIONS = {"crio": "1.36.3", "cri-tools": "1.36.0"}
PASSWORD = secrets.token_hex(12)
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"  # a name that leads nowhere here but to the mirror
PAUSE = f"kprov.local/pause:{catalog.resolve_versions('')['pause']}"
COREDNS = f"kprov.local/coredns:{catalog.resolve_versions('')['coredns']}"
# Programs of the node's system inside a pod: the image holds one static program and no shell.
SYSTEM = {"usr": "/usr", "bin": "/usr/bin", "lib": "/usr/lib", "lib64": "/usr/lib64"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    keys = {"addons": {"metrics-server": False}, "versions": VERSIONS}
    made = LabCluster("e2e-mixed", tmp_path_factory.mktemp("mixed"), HOSTS, keys=keys)
    os.environ["REGISTRY_PASSWORD"] = PASSWORD
    try:
        yield made
    finally:
        del os.environ["REGISTRY_PASSWORD"]
        made.destroy()


@pytest.fixture(scope="module")
def before(cluster: LabCluster) -> dict[str, dict[str, set[str]]]:
    """What there is on each machine before kprov came."""
    return {host: snapshot(cluster, host) for host in HOSTS}


@pytest.fixture(scope="module")
def mirror(cluster: LabCluster) -> Iterator[Program]:
    """A registry on the lab's bridge that asks for a login and has a CA nobody knows; the test image is in it."""
    pair = certified(cluster.lab.gateway, cluster.folder / "registry-ca.pem")
    with running(cluster.folder, address=cluster.lab.gateway, pair=pair, login=f"puller:{PASSWORD}") as program:
        trust = ssl.create_default_context(cafile=cluster.folder / "registry-ca.pem")
        with httpx.Client(timeout=60, verify=trust, auth=("puller", PASSWORD)) as client:
            push(program.url, "k8s/e2e-test-images/agnhost", "2.53", agnhost(), client)
        yield program


@pytest.fixture(scope="module")
def up(cluster: LabCluster, before: dict[str, dict[str, set[str]]], mirror: Program) -> LabCluster:
    """The cluster, with a pod of a DaemonSet on each node whose image comes through the mirror."""
    registry = {
        "mirror": f"{mirror.host}/k8s",
        "ca": "registry-ca.pem",
        "username": "puller",
        "password": {"env": "REGISTRY_PASSWORD"},
    }
    cluster.edit(lambda document: document["cluster"].update(registry=registry))
    choose(cluster, FIRST)
    cluster.kprov("up", "--yes")
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each()))
    cluster.kubectl("rollout", "status", "daemonset/each", "--timeout=180s", timeout=200)
    return cluster


def choose(cluster: LabCluster, runtimes: dict[str, str], *, drain: bool = True) -> None:
    def change(document: dict[str, Any]) -> None:
        for host, runtime in runtimes.items():
            document["hosts"][host]["runtime"] = runtime
        document["cluster"]["upgrade"] = {"drain": drain}

    cluster.edit(change)


def each() -> dict[str, Any]:
    """On every node: a web server on a host port with probes, a container before it and one beside it."""
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in SYSTEM.items()]
    mounts = [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in SYSTEM]
    said = {"name": "said", "mountPath": "/said"}
    path = {"name": "PATH", "value": "/usr/bin:/bin"}
    shell = {"image": IMAGE, "env": [path], "volumeMounts": [*mounts, said]}
    web = {
        "name": "web",
        "image": IMAGE,
        "args": ["netexec", "--http-port=8080"],
        "ports": [{"containerPort": 8080, "hostPort": HOST_PORT}],
        "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 2, "timeoutSeconds": 20},
        "livenessProbe": {
            "exec": {"command": ["/usr/bin/test", "-e", "/said/init"]},
            "periodSeconds": 5,
            "timeoutSeconds": 60,
        },
        "volumeMounts": [*mounts, said],
    }
    beside = "echo beside >> /said/beside; exec sleep infinity"
    tools = {**shell, "name": "tools", "command": ["/bin/sh", "-c", "while read -r word; do echo said $word; done"]}
    pod = {
        "initContainers": [
            {**shell, "name": "init", "command": ["/bin/sh", "-c", "echo init > /said/init"]},
            {**shell, "name": "beside", "command": ["/bin/sh", "-c", beside], "restartPolicy": "Always"},
        ],
        "containers": [web, {**tools, "stdin": True}],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "volumes": [*volumes, {"name": "said", "emptyDir": {}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "each"},
        "spec": {
            "selector": {"matchLabels": {"app": "each"}},
            "template": {"metadata": {"labels": {"app": "each"}}, "spec": pod},
        },
    }


def pod_on(cluster: LabCluster, host: str) -> Any:
    (pod,) = cluster.get("pods", "-l", "app=each", f"--field-selector=spec.nodeName={host}")["items"]
    return pod


def name_on(cluster: LabCluster, host: str) -> str:
    return str(pod_on(cluster, host)["metadata"]["name"])


def started(cluster: LabCluster, host: str) -> dict[str, tuple[str, int]]:
    """Container → its id and how often it was started again: the same after what keeps containers."""
    status = pod_on(cluster, host)["status"]
    rows = [*status["containerStatuses"], *status["initContainerStatuses"]]
    return {row["name"]: (row["containerID"], row["restartCount"]) for row in rows}


def answers(cluster: LabCluster, host: str) -> bool:
    """Whether the pod's host port leads to it, asked from another node."""
    asker = "w1" if host == "cp1" else "cp1"
    address = cluster.lab.machine(host).address
    told = cluster.sh(asker, f"curl -fsS --max-time 3 http://{address}:{HOST_PORT}/hostname")
    return told == name_on(cluster, host)


def is_ready(cluster: LabCluster, host: str) -> bool:
    conditions = {row["type"]: row["status"] for row in pod_on(cluster, host)["status"]["conditions"]}
    return conditions.get("Ready") == "True" and cluster.nodes()[host]


ON_EACH = pytest.mark.parametrize("host", HOSTS)


def test_every_node_is_ready_in_its_own_runtime(up: LabCluster) -> None:
    versions = {**catalog.resolve_versions(""), **VERSIONS}
    told = {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["containerRuntimeVersion"]
        for node in up.get("nodes")["items"]
    }
    assert told == {
        "cp1": f"containerd://{versions['containerd']}",
        "w1": f"cri-o://{versions['crio']}",
        "w2": f"docker://{versions['docker']}",
    }
    assert set(up.nodes().values()) == {True}
    assert up.kprov("plan").status == 0
    up.kprov("verify")


@ON_EACH
def test_an_image_that_kprov_put_there_runs_as_its_own_user(up: LabCluster, host: str) -> None:
    """Its root folder must let others than root in."""
    pod = {"spec": {"nodeName": host, "containers": [{"name": "own", "image": PAUSE, "imagePullPolicy": "Never"}]}}
    up.kubectl("run", f"own-{host}", f"--image={PAUSE}", f"--overrides={json.dumps(pod)}")
    up.kubectl("wait", "--for=condition=Ready", f"pod/own-{host}", "--timeout=60s", timeout=70)
    uids = up.sh(host, "for p in $(pgrep -x pause); do awk '$1 == \"Uid:\" {print $2}' /proc/$p/status; done")
    assert set(uids.split()) == {"65535"}
    up.kubectl("delete", "pod", f"own-{host}", "--grace-period=1", timeout=60)


def test_every_runtime_pulled_through_the_mirror_with_its_login(up: LabCluster, mirror: Program) -> None:
    asked = mirror.log.read_text()
    assert f"/v2/k8s/{IMAGE.partition('/')[2].replace(':', '/manifests/')}" in asked
    assert all(is_ready(up, host) for host in HOSTS)
    assert PASSWORD not in asked


@ON_EACH
def test_kubectl_exec_cp_and_logs(up: LabCluster, host: str, tmp_path: Path) -> None:
    """By WebSockets, as kubectl does it of itself."""
    pod = name_on(up, host)
    assert up.kubectl("exec", pod, "-c", "tools", "--", "/bin/sh", "-c", "echo $((6 * 7))").strip() == "42"
    told = up.kubectl("exec", "-i", pod, "-c", "tools", "--", "/bin/cat", stdin="through\n")
    assert told == "through\n"
    failed = up.kubectl("exec", pod, "-c", "tools", "--", "/bin/sh", "-c", "exit 3", check=False)
    assert failed == ""
    content = os.urandom(200_000)
    (tmp_path / "there").write_bytes(content)
    up.kubectl("cp", "-c", "tools", str(tmp_path / "there"), f"{pod}:/said/there")
    up.kubectl("cp", "-c", "tools", f"{pod}:/said/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    assert "Started HTTP server" in up.kubectl("logs", pod, "-c", "web")


@ON_EACH
def test_kubectl_attach(up: LabCluster, host: str) -> None:
    command = [kubectl_path(), "--kubeconfig", up.kubeconfig, "attach", "-i", name_on(up, host), "-c", "tools"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attached:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write("word\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "said word\n"
        attached.kill()


@contextmanager
def forwarded(cluster: LabCluster, pod: str) -> Iterator[str]:
    """The URL of a pod's web server on this computer."""
    command = [kubectl_path(), "--kubeconfig", cluster.kubeconfig, "port-forward", f"pod/{pod}", ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        try:
            yield f"http://{forward.stdout.readline().split(' -> ')[0].removeprefix('Forwarding from ')}"
        finally:
            forward.terminate()


@ON_EACH
def test_kubectl_port_forward(up: LabCluster, host: str) -> None:
    pod = name_on(up, host)
    with forwarded(up, pod) as url:
        assert {httpx.get(f"{url}/hostname", timeout=20).text for _ in range(5)} == {pod}


@ON_EACH
def test_host_ports_init_and_sidecar_containers(up: LabCluster, host: str) -> None:
    assert until(lambda: answers(up, host), seconds=30, what="the host port leads to the pod")
    told = up.kubectl("exec", name_on(up, host), "-c", "tools", "--", "/bin/sh", "-c", "cat /said/init /said/beside")
    assert told.splitlines() == ["init", "beside"]


def policy(name: str, **rules: Any) -> str:
    """For all pods of the DaemonSet."""
    spec = {"podSelector": {"matchLabels": {"app": "each"}}, **rules}
    meta = {"name": name, "namespace": "default"}
    return json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec})


@ON_EACH
def test_policies_hold_for_the_pods_of_every_runtime(up: LabCluster, host: str) -> None:
    """Its pods' addresses are known from where the runtime writes them; a new pod begins with what holds."""
    other = "w1" if host == "cp1" else "cp1"

    def reached() -> bool:
        address = pod_on(up, host)["status"]["podIP"]
        ask = ("/usr/bin/curl", "-s", "--max-time", "2", f"http://{address}:8080/hostname")
        told = up.kubectl("exec", name_on(up, other), "-c", "tools", "--", *ask, check=False)
        return told == name_on(up, host)

    until(reached, seconds=30, what="without a policy it is reached")
    up.kubectl("apply", "-f", "-", stdin=policy("deny", policyTypes=["Ingress"]))
    until(lambda: not reached(), seconds=10, what="the policy holds")
    assert is_ready(up, host)
    before = name_on(up, host)
    up.kubectl("delete", "pod", before, "--wait=true", timeout=60)
    until(lambda: name_on(up, host) != before and is_ready(up, host), seconds=120, what="another pod is ready")
    assert not reached()
    up.kubectl("apply", "-f", "-", stdin=policy("allow", ingress=[{"from": [{"podSelector": {}}]}]))
    until(reached, seconds=10, what="another policy allows it")
    up.kubectl("delete", "networkpolicy", "deny", "allow")


@ON_EACH
def test_a_container_that_uses_too_much_memory_is_killed_and_told(up: LabCluster, host: str) -> None:
    mounts = [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in SYSTEM]
    container = {
        "name": "eater",
        "image": IMAGE,
        "command": ["/bin/sh", "-c", "exec /usr/bin/tail /dev/zero"],
        "resources": {"limits": {"memory": "48Mi"}},
        "volumeMounts": mounts,
    }
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in SYSTEM.items()]
    spec = {"nodeName": host, "restartPolicy": "Never", "containers": [container], "volumes": volumes}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"eater-{host}"}, "spec": spec}
    up.kubectl("apply", "-f", "-", stdin=json.dumps(pod))

    def ended() -> Any:
        return up.get("pod", f"eater-{host}")["status"]["containerStatuses"][0]["state"].get("terminated")

    state = until(ended, seconds=90, what="it is killed")
    assert (state["reason"], state["exitCode"]) == ("OOMKilled", 137)
    up.kubectl("delete", "pod", f"eater-{host}", "--grace-period=1", timeout=60)


@contextmanager
def crictl_on(cluster: LabCluster, host: str) -> Iterator[str]:
    """The program is kprov's on CRI-O nodes only; people bring it, and the node's own configuration is there."""
    built = build(component_target("cri-tools", VERSIONS["cri-tools"]), "amd64", Cache(default_root()), Silent())
    target = cluster.lab.machine(host).root / "root" / "crictl"
    target.write_bytes(Path(built["crictl"].local).read_bytes())
    target.chmod(0o755)
    yield "/root/crictl"
    target.unlink()


@ON_EACH
def test_people_ask_with_crictl_and_nothing_else_to_say(up: LabCluster, host: str) -> None:
    with crictl_on(up, host) as crictl:
        told = up.sh(host, f"{crictl} pods -o json 2>&1")
    assert "default/" + name_on(up, host) in {
        f"{row['metadata']['namespace']}/{row['metadata']['name']}" for row in json.loads(told)["items"]
    }


def images_of(cluster: LabCluster, host: str) -> dict[str, bool]:
    """Name of each image in kubelet's runtime → whether it is pinned."""
    with crictl_on(cluster, host) as crictl:
        told = json.loads(cluster.sh(host, f"{crictl} images -o json"))
    return {name: bool(row.get("pinned")) for row in told["images"] for name in row["repoTags"]}


def test_kubelet_removes_images_that_nobody_uses_but_not_those_that_kprov_put_there(
    up: LabCluster, mirror: Program
) -> None:
    """It looks every five minutes. cri-dockerd 0.4.4 pins the pause image alone, so `up` puts the others back."""
    unused = "registry.k8s.io/unused:1"
    trust = ssl.create_default_context(cafile=up.folder / "registry-ca.pem")
    with httpx.Client(timeout=60, verify=trust, auth=("puller", PASSWORD)) as client:
        push(mirror.url, "k8s/unused", "1", agnhost(), client, label="unused")
    for host in HOSTS:
        with crictl_on(up, host) as crictl:
            up.sh(host, f"{crictl} pull {unused}")
    pinned = {host: {name for name, kept in images_of(up, host).items() if kept} for host in HOSTS}
    assert pinned["cp1"] == pinned["w1"] == {PAUSE, COREDNS}
    assert pinned["w2"] == {PAUSE}
    age = {"imageMinimumGCAge": "30s", "imageMaximumGCAge": "1m"}
    up.edit(lambda document: document["cluster"].update(kubelet=age))
    up.kprov("up", "--yes")

    def gone() -> bool:
        return not any(unused in images_of(up, host) for host in HOSTS)

    until(gone, seconds=1000, what="kubelet removed what nobody uses, on every node")
    assert all(COREDNS in images_of(up, host) for host in ("cp1", "w1"))
    up.edit(lambda document: document["cluster"].pop("kubelet"))
    up.kprov("up", "--yes")
    assert all({PAUSE, COREDNS} <= set(images_of(up, host)) for host in HOSTS)
    assert up.kprov("plan").status == 0


UNITS = [(host, unit) for host, runtime in FIRST.items() for unit in RUNTIMES[runtime].units]


@pytest.mark.parametrize("way", ["restart", "kill --kill-whom=main -s KILL"])
@pytest.mark.parametrize(("host", "unit"), UNITS)
def test_pods_outlive_their_runtime(up: LabCluster, host: str, unit: str, way: str) -> None:
    before = started(up, host)
    up.sh(host, f"systemctl {way} {unit}")
    units = " ".join((*RUNTIMES[FIRST[host]].units, "kubelet.service"))
    until(lambda: up.sh(host, f"systemctl is-active {units}"), seconds=60, what="all units run again")
    until(lambda: is_ready(up, host) and answers(up, host), seconds=120, what="node and pod are ready")
    assert started(up, host) == before
    until(
        lambda: up.kubectl("exec", name_on(up, host), "-c", "tools", "--", "/bin/true") == "", seconds=60, what="exec"
    )


def left_of(cluster: LabCluster, host: str, runtime: str, coming: str) -> str:
    """What is there of a runtime: units, folders, records, tables, and processes whose programs are gone."""
    gone = RUNTIMES[runtime]
    folders = " ".join(path for path in (*gone.folders, *gone.run) if path not in RUNTIMES[coming].run)
    script = f"""
    for path in {folders}; do find $path -mindepth 1 2> /dev/null | head -n 5; done
    for unit in {" ".join(gone.units)}; do
        ls -d /etc/systemd/system/$unit /etc/systemd/system/*.wants/$unit 2> /dev/null
        find /sys/fs/cgroup -path "*/system.slice/$unit/*" -name cgroup.procs -exec cat {{}} +
    done
    ls -l /proc/*/exe 2> /dev/null | grep -F '(deleted)'
    nft list tables | grep -E '{"|".join(" ".join(table) for table in gone.tables) or "^$"}'
    true"""
    told = cluster.sh(host, script).strip()
    recorded = cluster.sh(host, "cut -f2 /var/lib/kprov/ledger").splitlines()
    others = [f"{unit}\n" for unit in gone.units if unit in recorded]
    return told + "".join(others)


SWAPS = [
    ({"w1": "docker", "w2": "crio"}, True),
    ({"w1": "containerd", "w2": "containerd"}, False),
    ({"w1": "crio", "w2": "docker"}, False),
]


@pytest.mark.parametrize(
    ("to", "drain"), SWAPS, ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else ""
)
def test_every_runtime_takes_the_place_of_every_other(up: LabCluster, to: dict[str, str], drain: bool) -> None:
    """Its host port is in use, and what had it was killed a moment ago: nothing of it is left all the same."""
    now = {host: row["runtime"] for host, row in hosts_of(up).items()}
    for host in to:
        up.sh(host, f"systemctl kill --kill-whom=main -s KILL {RUNTIMES[now[host]].units[-1]}")
    choose(up, to, drain=drain)
    up.kprov("up", "--yes")
    for host, runtime in to.items():
        assert left_of(up, host, now[host], runtime) == ""
        told = up.get("node", host)["status"]["nodeInfo"]["containerRuntimeVersion"]
        assert told.startswith(f"{RUNTIMES[runtime].scheme}://")
        until(lambda host=host: is_ready(up, host) and answers(up, host), seconds=180, what="its pod answers")  # type: ignore[misc]
        assert not up.get("node", host)["spec"].get("unschedulable", False)
    assert up.kprov("plan").status == 0
    up.kprov("verify")


def hosts_of(cluster: LabCluster) -> dict[str, Any]:
    return dict(yaml.safe_load(cluster.inventory.read_text())["hosts"])


def test_runtimes_and_pods_are_there_again_after_a_reboot(up: LabCluster) -> None:
    for host in ("w1", "w2"):
        machines.reboot(up.lab.machine(host))
    for host in ("w1", "w2"):
        until(lambda host=host: is_ready(up, host) and answers(up, host), seconds=240, what=f"{host} is back")  # type: ignore[misc]
    assert up.kprov("plan").status == 0
    up.kprov("verify")


def test_down_gives_each_machine_back_as_it_was(up: LabCluster, before: dict[str, dict[str, set[str]]]) -> None:
    up.kprov("down", "--yes")
    for host in HOSTS:
        assert_same(before[host], snapshot(up, host))
