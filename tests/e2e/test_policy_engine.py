"""What enforces NetworkPolicies, under traffic and with many pods, on machines with real components.

Who reaches whom under which policy is asked in tests/contract/test_policy_cases.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Make, Say
from lab_cluster import LabCluster, until

pytestmark = [pytest.mark.lab, pytest.mark.long]

HOSTS = {"cp1": ["etcd", "control_plane", "worker"], "w1": ["worker"]}
PODS = {"target": "w1", "near": "w1", "allowed": "cp1", "refused": "cp1"}
TEMPLATES = Path(__file__).parents[2] / "templates" / "policies"
SERVICE, API = "kprov-policies.service", "kube-apiserver.service"
SPACES, PER_SPACE, POLICIES, OWN = 20, 23, 200, 40

HEAR = """
import collections, json, signal, socket, sys
heard = collections.Counter()
def say(*_):
    print(json.dumps(heard)); sys.exit()
signal.signal(signal.SIGTERM, say)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(("", 7007))
while True:
    heard[s.recv(100).decode()] += 1
"""
SAY = """
import signal, socket, sys, time
sent, over = 0, []
signal.signal(signal.SIGTERM, lambda *_: over.append(1))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while not over:
    s.sendto(sys.argv[1].encode(), (sys.argv[2], 7007))
    sent += 1
    time.sleep(0.005)
print(sent)
"""


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> Iterator[LabCluster]:
    made = make_cluster("e2e-policies", HOSTS)
    made.kprov("up", "--yes")
    image = made.load_agnhost()
    documents = [pod(name, image, node) for name, node in PODS.items()]
    made.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in documents))
    made.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in PODS), "--timeout=60s")
    for host in HOSTS:
        made.sh(
            host, f"cat > /root/hear.py << 'PROGRAM'\n{HEAR}\nPROGRAM\ncat > /root/say.py << 'PROGRAM'\n{SAY}\nPROGRAM"
        )
    yield made
    made.destroy()


def pod(name: str, image: str, node: str, space: str = "default", **labels: str) -> dict[str, Any]:
    container = {"name": "own", "image": image, "imagePullPolicy": "Never", "args": ["pause"]}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    meta = {"name": name, "namespace": space, "labels": {"app": name, **labels}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def policy(name: str, space: str = "default", **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": space}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def inside(name: str) -> str:
    """Words of a shell that run a command in the network of a pod, on its node."""
    given = f'grep -l \'"K8S_POD_NAME","{name}"\' /var/lib/cni/results/kprov-*-eth0'
    return f'nsenter --net=$(sed \'s/.*"netns":"\\([^"]*\\)".*/\\1/\' $({given}))'


def under_traffic(cluster: LabCluster, event: Callable[[], object]) -> dict[str, tuple[int, int]]:
    """Who sent how many packets to the target while something happened, and how many of them arrived."""
    address = cluster.get("pod", "target")["status"]["podIP"]
    start = "systemd-run -q --unit={0} -p StandardOutput=truncate:/root/{0}.out"
    cluster.sh("w1", f"{start.format('hear')} {inside('target')} python3 /root/hear.py")
    senders = [name for name in PODS if name != "target"]
    time.sleep(0.5)
    for name in senders:
        cluster.sh(PODS[name], f"{start.format(name)} {inside(name)} python3 /root/say.py {name} {address}")
    time.sleep(1)
    event()
    time.sleep(1)
    sent = {}
    for name in senders:
        cluster.sh(PODS[name], f"systemctl stop {name}")
        sent[name] = int(cluster.sh(PODS[name], f"cat /root/{name}.out"))
    cluster.sh("w1", "systemctl stop hear")
    heard = json.loads(cluster.sh("w1", "cat /root/hear.out"))
    return {name: (sent[name], heard.get(name, 0)) for name in senders}


def main_pid(cluster: LabCluster) -> str:
    return cluster.sh("w1", f"systemctl show -P MainPID {SERVICE}").strip()


def healthy(cluster: LabCluster) -> bool:
    return "ok" in cluster.sh("w1", "curl -sf http://127.0.0.1:10271/healthz || true")


def killed(cluster: LabCluster) -> None:
    before = main_pid(cluster)
    cluster.sh("w1", f"kill -9 {before}")
    until(lambda: main_pid(cluster) not in (before, "0") and healthy(cluster), seconds=20, what="it is back")


def halted(cluster: LabCluster) -> None:
    cluster.sh("w1", f"systemctl kill --signal=STOP {SERVICE}; sleep 5; systemctl kill --signal=CONT {SERVICE}")


def upgraded(cluster: LabCluster) -> None:
    """Another program, as a newer kprov brings it."""
    before = main_pid(cluster)
    folder = cluster.folder / "templates" / "policies"
    folder.mkdir(parents=True)
    (folder / "ranges.py").write_text(f"{(TEMPLATES / 'ranges.py').read_text()}# newer\n")
    told = cluster.kprov("up", "--yes").text
    assert SERVICE.removesuffix(".service") in told, told
    assert main_pid(cluster) != before
    assert healthy(cluster)


def test_whatever_becomes_of_the_program_what_may_pass_passes_and_nothing_else(cluster: LabCluster, say: Say) -> None:
    only = {"podSelector": {"matchLabels": {"app": "allowed"}}}
    rule = policy("only", podSelector={"matchLabels": {"app": "target"}}, ingress=[{"from": [only]}])
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(rule))
    time.sleep(2)
    events: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "started again": lambda: cluster.sh("w1", f"systemctl restart {SERVICE}; sleep 3"),
        "killed": lambda: killed(cluster),
        "halted": lambda: halted(cluster),
        "upgraded": lambda: upgraded(cluster),
        "API server away": lambda: cluster.sh("cp1", f"systemctl stop {API}; sleep 8; systemctl start {API}"),
    }
    for name, event in events.items():
        found = under_traffic(cluster, event)
        sent, heard = found["allowed"]
        say(f"{name}: {found}")
        assert sent == heard > 100, (name, found)
        assert [found[other][1] for other in ("near", "refused")] == [0, 0], (name, found)
    cluster.kubectl("delete", "networkpolicy", "only")


def used(cluster: LabCluster) -> int:
    """Milliseconds of processor time of the program and of each nft that it ran."""
    words = cluster.sh("w1", f"cat /proc/{main_pid(cluster)}/stat").rpartition(")")[2].split()
    return sum(int(word) for word in words[11:15]) * 10


def test_a_change_among_500_pods_and_200_policies_costs_that_change(cluster: LabCluster, say: Say) -> None:
    """460 of the pods are of a node that has no machine: to this one they are objects of the API like others."""
    image = cluster.load_agnhost()
    names = [f"s{number}" for number in range(SPACES)]
    ghost = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}}
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"team": n}}} for n in names]
    rows = [ghost, *spaces]
    create(cluster, rows)
    until(
        lambda: cluster.kubectl("get", "serviceaccounts", "-A").count("default") > SPACES, seconds=60, what="accounts"
    )
    ghosts = [pod(f"g{n}", image, "ghost", space, tier=f"t{n % 5}") for space in names for n in range(PER_SPACE)]
    own = [pod(f"o{n}", image, "w1", names[n % SPACES], tier=f"t{n % 5}") for n in range(OWN)]
    create(cluster, [*ghosts, *own])
    known = [item for item in cluster.get("pods", "-A")["items"] if item["spec"].get("nodeName") == "ghost"]
    for number, item in enumerate(known):
        address = f"10.244.{200 + number // 200}.{number % 200 + 2}"
        item["status"] = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": known})
    cluster.kubectl("replace", "--subresource=status", "-f", "-", stdin=listed)
    peers = [{"podSelector": {"matchLabels": {"tier": "t1"}}}, {"namespaceSelector": {"matchLabels": {"team": "s3"}}}]
    create(
        cluster,
        [
            policy(
                f"p{n}",
                names[n % SPACES],
                podSelector={"matchLabels": {"tier": f"t{n % 5}"}},
                ingress=[{"from": peers, "ports": [{"port": 8000 + n}]}],
            )
            for n in range(POLICIES)
        ],
    )
    ready = "-o", "jsonpath={range .items[*]}{.status.phase}{'\\n'}{end}"
    running = lambda: cluster.kubectl("get", "pods", "-A", "--field-selector=spec.nodeName=w1", *ready).count("Running")  # noqa: E731
    until(lambda: running() >= OWN, seconds=240, what="the node's own pods run")
    time.sleep(5)
    cluster.sh("w1", f"systemctl restart {SERVICE}")
    until(lambda: healthy(cluster), seconds=30, what="it is back")
    time.sleep(1)
    whole = used(cluster)
    time.sleep(10)
    idle = used(cluster) - whole
    before, changes = used(cluster), 20
    for number in range(changes):
        cluster.kubectl("-n", "s1", "label", "pod", "g1", f"tier=t{1 + number % 2}", "--overwrite")
    time.sleep(1)
    each = (used(cluster) - before) / changes
    say(f"all at once {whole} ms, ten seconds of nothing {idle} ms, one change {each} ms, pods here {running()}")
    assert each < whole / 8, (whole, each)
    cluster.kubectl("delete", "namespace", *names, "--wait=false")
    left = "pgrep -c agnhost || true"  # the end of a machine waits for cgroups, and not for so many
    until(lambda: int(cluster.sh("w1", left)) <= len(PODS), seconds=180, what="the node's own pods are gone")


def create(cluster: LabCluster, items: list[dict[str, Any]]) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
