"""Whole clusters in every supported shape, and what their users do with them, on lab machines with real components."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator

import pytest
from conftest import Make
from lab_cluster import HOST_PORT, NODE_PORT, LabCluster, kubectl_path, probe_pods, until
from traffic import LARGE, connects, dialled, fetch, fits, pods, pods_on, reaches

from kprov.lab import machines

pytestmark = pytest.mark.lab

ALL = ("etcd", "control_plane", "worker")
SHAPES = {
    "e2e-one": {"one": ["control_plane", "worker"]},
    "e2e-two": {"cp1": ["control_plane"], "w1": ["worker"], "w2": ["worker"]},
    "e2e-apart": {
        **{f"e{number}": ["etcd"] for number in (1, 2, 3)},
        **{f"cp{number}": ["control_plane"] for number in (1, 2)},
        "w1": ["worker"],
    },
    "e2e-ha": {**{f"cp{number}": ["control_plane"] for number in (1, 2, 3)}, "w1": ["worker"], "w2": ["worker"]},
}


@pytest.fixture(scope="module", params=SHAPES)
def cluster(request: pytest.FixtureRequest, make_cluster: Make) -> Iterator[LabCluster]:
    made = make_cluster(request.param, SHAPES[request.param], keys={})
    made.kprov("up", "--yes")
    made.kubectl("apply", "-f", "-", stdin=probe_pods(made.load_agnhost()))
    yield made
    made.destroy()


def test_all_nodes_are_ready(cluster: LabCluster) -> None:
    assert cluster.nodes() == dict.fromkeys(cluster.nodes_desired, True)


def test_the_use_of_nodes_and_pods_is_known(cluster: LabCluster) -> None:
    """metrics-server asks every kubelet each 15 s, and knows a pod when it has been asked about twice."""

    def told(kind: str, expected: Iterable[str]) -> bool:
        names = {line.split()[0] for line in cluster.kubectl("top", kind, "--no-headers").splitlines()}
        return all(any(name.startswith(word) for name in names) for word in expected)

    until(lambda: told("nodes", cluster.nodes_desired), seconds=90, what="the use of every node")
    until(lambda: told("pods", ("each-",)), seconds=90, what="the use of pods")


def test_dns_survives_the_loss_of_a_node(cluster: LabCluster) -> None:
    running = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    nodes = {pod["spec"]["nodeName"] for pod in running}
    assert len(nodes) == min(2, len(cluster.nodes_desired)), nodes


def test_a_second_up_changes_nothing_in_one_exec_a_host(cluster: LabCluster) -> None:
    ran = cluster.kprov("up", "--yes", "--json")
    summary = json.loads(ran.stdout.strip().splitlines()[-1])
    assert cluster.kprov("plan").status == 0
    assert (summary["connections"], summary["execs"]) == (len(cluster.hosts), len(cluster.hosts)), ran.stdout
    assert not summary["changed"]


def test_the_shipped_checks_pass(cluster: LabCluster) -> None:
    report = cluster.folder / "report.xml"
    cluster.kprov("verify", "--junit", str(report))
    assert "<testsuite" in report.read_text()


def test_status_tells_of_every_host(cluster: LabCluster) -> None:
    text = cluster.kprov("status").text
    assert all(name in text for name in cluster.hosts)


def test_pods_reach_each_other_over_nodes_and_by_service(cluster: LabCluster) -> None:
    running = pods_on(cluster, *cluster.nodes_desired)
    for pod, _ in running.values():
        for _, address in running.values():
            connects(cluster, pod, f"{address}:8080")
        connects(cluster, pod, "each.default.svc.cluster.local:80")
    service = cluster.get("service", "each")["spec"]["clusterIP"]
    connects(cluster, next(iter(running.values()))[0], f"{service}:80")


def test_the_largest_packets_pass_and_a_pod_reaches_itself_by_service(cluster: LabCluster) -> None:
    running = pods_on(cluster, *cluster.nodes_desired)
    node, (pod, own) = next(iter(running.items()))
    cluster.kubectl("label", "pod", pod, "alone=yes", "--overwrite")
    cluster.kubectl("create", "service", "clusterip", "alone", "--tcp=80:8080")
    cluster.kubectl("set", "selector", "service", "alone", "alone=yes")
    connects(cluster, pod, "alone.default.svc.cluster.local:80")
    for address in (address for _, address in running.values() if address != own):
        fits(cluster, node, address, 1500)
        assert dialled(cluster.lab.machine(node).address, address, f"echo?msg={LARGE}") == LARGE


def test_node_port_and_host_port_answer_from_outside(cluster: LabCluster) -> None:
    names = {pod for pod, _ in pods(cluster).values()}
    for machine in cluster.lab.machines:
        if machine.name in cluster.nodes_desired:
            assert until(lambda m=machine: fetch(m.address, NODE_PORT), seconds=20, what="NodePort") in names
            own = pods(cluster)[machine.name][0]
            assert until(lambda m=machine: fetch(m.address, HOST_PORT), seconds=20, what="hostPort") == own


def policy(name: str, **spec: object) -> str:
    document = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
    return json.dumps({**document, "spec": {"podSelector": {}, **spec}})


def test_policies_hold_whatever_becomes_of_what_enforces_them(cluster: LabCluster) -> None:
    """Who reaches whom under which policy is asked in tests/contract/test_policies.py; here are nodes and their kubelets."""
    if cluster.lab.name != "e2e-two":
        pytest.skip("once, on several nodes")
    running = pods_on(cluster, *cluster.nodes_desired)
    (source, own), (_, target) = running["w1"], running["w2"]
    assert reaches(cluster, source, f"{target}:8080")

    cluster.kubectl("apply", "-f", "-", stdin=policy("deny"))
    until(lambda: not reaches(cluster, source, f"{target}:8080"), seconds=5, what="the policy holds")
    for port in (NODE_PORT, HOST_PORT):
        with pytest.raises(TimeoutError):
            fetch(cluster.lab.machine("w2").address, port)

    main = "systemctl show -P MainPID kprov-policies.service"
    engine = cluster.sh("w2", main).strip()
    cluster.sh("w2", f"kill -9 {engine}")
    assert not reaches(cluster, source, f"{target}:8080")
    until(lambda: cluster.sh("w2", main).strip() not in (engine, "0"), seconds=10, what="it is back")
    assert not reaches(cluster, source, f"{target}:8080")

    cluster.sh("w2", "systemctl kill --signal=STOP kprov-policies.service")
    probe = {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1}
    each = cluster.get("daemonset", "each")["spec"]["template"]["spec"]["containers"][0]
    container = {**each, "ports": [], "readinessProbe": probe}
    late = {"nodeName": "w2", "containers": [container], "terminationGracePeriodSeconds": 0}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "late"}, "spec": late}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/late", "--timeout=60s")  # kubelet's probes pass
    assert not reaches(cluster, "late", f"{own}:8080"), "nobody knows its labels yet, so that it is closed"
    cluster.sh("w2", "systemctl kill --signal=CONT kprov-policies.service")
    cluster.kubectl("apply", "-f", "-", stdin=policy("open", ingress=[{"from": [{"podSelector": {}}]}]))
    connects(cluster, "late", f"{own}:8080")
    connects(cluster, source, f"{target}:8080")

    cluster.kubectl("delete", "networkpolicy", "open")
    until(lambda: not reaches(cluster, source, f"{target}:8080"), seconds=5, what="the policy holds again")
    cluster.sh("w2", "nft flush ruleset")
    until(lambda: not reaches(cluster, source, f"{target}:8080"), seconds=25, what="the rules are back")
    cluster.kubectl("delete", "networkpolicy/deny", "pod/late")
    connects(cluster, source, f"{target}:8080")


def test_exec_logs_and_port_forward_work(cluster: LabCluster) -> None:
    pod, _ = next(iter(pods(cluster).values()))
    assert "netexec" in cluster.kubectl("exec", pod, "--", "/agnhost", "--help")
    until(lambda: "Started HTTP server" in cluster.kubectl("logs", pod), seconds=20, what="logs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forward = subprocess.Popen(
        [kubectl_path(), "--kubeconfig", cluster.kubeconfig, "port-forward", f"pod/{pod}", f"{port}:8080"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: _try(port), seconds=20, what="port-forward") == pod
    finally:
        forward.kill()
        forward.wait()


def _try(port: int) -> str:
    try:
        return fetch("127.0.0.1", port)
    except OSError:
        return ""


def test_a_deployment_is_rolled(cluster: LabCluster) -> None:
    before = {pod for pod, _ in pods(cluster, "rolled").values()}
    cluster.kubectl("rollout", "restart", "deployment/rolled")
    cluster.kubectl("rollout", "status", "deployment/rolled", "--timeout=90s")
    assert not before & {pod for pod, _ in pods(cluster, "rolled").values()}


def test_secrets_are_encrypted_in_etcd(cluster: LabCluster) -> None:
    cluster.kubectl("create", "secret", "generic", "planted", "--from-literal=word=swordfish")
    member = next(name for name, groups in cluster.hosts.items() if "etcd" in groups or "control_plane" in groups)
    raw = cluster.sh(
        member,
        "/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
        " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key"
        " get /registry/secrets/default/planted --print-value-only | base64 -w0",
    )
    import base64

    value = base64.b64decode(raw)
    assert value.startswith(b"k8s:enc:secretbox:v1:")
    assert b"swordfish" not in value


def test_anonymous_requests_are_refused(cluster: LabCluster) -> None:
    address = next(
        machine.address for machine in cluster.lab.machines if "control_plane" in cluster.hosts[machine.name]
    )
    answer = subprocess.run(
        ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", f"https://{address}:6443/api/v1/namespaces"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert answer.stdout in ("401", "403")


def containers_on(cluster: LabCluster, node: str) -> set[str]:
    """The running containers of the node's test pod, by id: after a reboot they are others, whatever the API still says."""
    return {
        container["containerID"]
        for pod in cluster.get("pods", "-l", "app=each", f"--field-selector=spec.nodeName={node}")["items"]
        for container in pod["status"]["containerStatuses"]
        if container["ready"]
    }


def test_a_node_comes_back_after_a_reboot(cluster: LabCluster) -> None:
    name = "w1" if "w1" in cluster.hosts else "one"
    before = containers_on(cluster, name)
    assert before
    machines.reboot(cluster.lab.machine(name))
    until(lambda: containers_on(cluster, name) - before, seconds=120, what=f"{name} runs its pod again")
    until(lambda: all(cluster.nodes().values()), seconds=60, what="all nodes are Ready")
    running = pods_on(cluster, *cluster.nodes_desired)
    other = next((node for node in running if node != name), name)
    connects(cluster, running[other][0], f"{running[name][1]}:8080")
    assert cluster.kprov("plan").status == 0


def test_any_control_plane_may_stop_or_vanish(cluster: LabCluster) -> None:
    planes = [name for name, groups in cluster.hosts.items() if "control_plane" in groups]
    if len(planes) < 3:
        pytest.skip("needs three control planes: runs with e2e-ha")
    staying = cluster.nodes_desired - {planes[0]}
    _without(cluster, planes[0], staying, lambda: machines.crash(cluster.lab.machine(planes[0])))
    machines.start(cluster.lab.machine(planes[0]))
    until(lambda: all(cluster.nodes().values()), seconds=120, what="all nodes are Ready again")
    address = cluster.lab.machine(planes[1]).address
    staying = cluster.nodes_desired - {planes[1]}
    table = (
        "table inet blackhole { chain in { type filter hook input priority -300; ip daddr %s tcp dport 6443 drop; }; }"
    )
    try:
        _without(cluster, planes[1], staying, lambda: cluster.sh(planes[1], f"echo '{table % address}' | nft -f -"))
    finally:
        cluster.sh(planes[1], "nft delete table inet blackhole")


def _without(cluster: LabCluster, gone: str, staying: set[str], stop: object) -> None:
    """Every other node's kubelet reports through the API within ten seconds of the loss, and kubectl works."""
    server = next(
        machine.address
        for machine in cluster.lab.machines
        if "control_plane" in cluster.hosts[machine.name] and machine.name != gone
    )
    config = cluster.kubeconfig.read_text()
    leases = "get", "leases", "-n", "kube-node-lease", "-o", "json", f"--server=https://{server}:6443"
    stop()  # type: ignore[operator]
    lost = time.time()

    def renewed() -> bool:
        items = json.loads(cluster.kubectl(*leases))["items"]
        times = {item["metadata"]["name"]: item["spec"]["renewTime"] for item in items}
        from datetime import datetime

        return all(datetime.fromisoformat(times[name]).timestamp() > lost for name in staying)

    # A lease is renewed every ten seconds: ten for the loss to be noticed and one period for the proof.
    until(renewed, seconds=22, what=f"all kubelets renew their lease without {gone}")
    shown = json.loads(cluster.kubectl("get", "nodes", "-o", "json", f"--server=https://{server}:6443"))["items"]
    ready = {
        node["metadata"]["name"]
        for node in shown
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    assert staying <= ready
    assert cluster.kubeconfig.read_text() == config
