"""The last stage's questions: apply.sh with stand-ins for kubectl and etcdctl."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.wire_format import Operation
from kprov.observe.observation import parse
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

# Look by look, the last one for ever; a file that is empty stands for an API server that does not answer.
NODES = """
n=$(cat /srv/asked 2> /dev/null || echo 1); echo $((n + 1)) > /srv/asked
file=/srv/nodes.$n; [ -e $file ] || file=/srv/nodes
[ -s $file ] && cat $file || { echo 'connection refused' >&2; exit 1; }
"""
WELL = "a True KubeletReady kubelet is posting ready status\nb True KubeletReady kubelet is posting ready status\n"
ILL = (
    "a True KubeletReady kubelet is posting ready status\n"
    "b Unknown NodeStatusUnknown Kubelet stopped posting node status.\n"
    "c False KubeletNotReady [container runtime is down, PLEG is not healthy]\n"
)


def done(room: Room, operation: Operation) -> list[list[str]]:
    batch = Batch()
    batch.add("it", operation)
    return [row for row in room.apply(batch) if row[0] != "wait"]


def nodes(room: Room, **texts: str) -> None:
    room.stub("/opt/kprov/bin/kubectl", NODES)
    for look, text in texts.items():
        room.sh(f"cat > /srv/nodes{look.replace('_', '.')}", text.encode())


def test_nodes_are_waited_for(room: Room) -> None:
    nodes(room, _1="", _2=ILL, _=WELL)
    room.text("mv /srv/nodes. /srv/nodes")
    assert done(room, wire.NodesReady(nodes=("a", "b"), seconds=30))[-1][0] == "done"
    assert room.text("cat /srv/asked") == "4\n"


def test_only_those_that_are_not_ready_are_named(room: Room) -> None:
    nodes(room, _=ILL)
    room.text("mv /srv/nodes. /srv/nodes")
    told, failed = done(room, wire.NodesReady(nodes=("a", "b", "d"), seconds=0))
    unknown = "b: Ready is Unknown (NodeStatusUnknown): Kubelet stopped posting node status."
    expected = f"{unknown}\nd: there is no Node of that name"
    assert told == ["told", "1", expected]
    assert failed == ["fail", "1", expected]


def test_an_api_server_that_does_not_answer_makes_no_node_unready(room: Room) -> None:
    nodes(room, _="")
    room.text("mv /srv/nodes. /srv/nodes")
    (failed,) = done(room, wire.NodesReady(nodes=("a",), seconds=0))
    assert failed == ["fail", "1", "connection refused"]


# Stands for the pod of this node: a program in a network of its own, known by what it was started with.
# At one of its addresses it listens a second later.
POD = """
import socket, sys, threading
listening = [socket.create_server(("127.0.0.1", 17853))]
later = lambda: listening.append(socket.create_server(("127.0.0.3", 17853)))
threading.Timer(1, later).start()
print("up", flush=True)
sys.stdin.read()
"""
RULES = """
table inet filter {
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t}
\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\ttcp dport 22 accept
\t\tcounter packets 0 bytes 0 reject with icmpx admin-prohibited
\t}
\tchain jumped {
\t\tdrop
\t}
}
table ip kube-proxy {
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
"""


@pytest.fixture
def pod(room: Room) -> Iterator[None]:
    inside = f"ip link set lo up && exec python3 -c '{POD}' -dns.port=17853"
    command = ["nsenter", "-t", str(room.pid), "-m", "-p", "unshare", "--net", "sh", "-c", inside]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield
        process.stdin.close()


@pytest.mark.usefixtures("pod")
def test_pods_that_answer_are_reached_from_the_network_of_the_pod_on_this_host(room: Room) -> None:
    assert done(room, wire.Reach(port=17853, peers=("b=127.0.0.1", "c=127.0.0.1"), seconds=0))[-1][0] == "done"


@pytest.mark.usefixtures("pod")
def test_a_pod_that_does_not_listen_yet_is_asked_again(room: Room) -> None:
    """A pod is Running once its program was started, and listens a while later where the node is busy."""
    assert done(room, wire.Reach(port=17853, peers=("b=127.0.0.3",), seconds=30))[-1][0] == "done"


@pytest.mark.usefixtures("pod")
def test_nodes_whose_pods_do_not_answer_are_named_with_the_firewall_that_may_be_why(room: Room) -> None:
    room.stub("nft", f"cat << 'RULES'\n{RULES}\nRULES\n")
    (failed,) = done(room, wire.Reach(port=17853, peers=("d=127.0.0.2", "c=203.0.113.1", "b=127.0.0.1"), seconds=0))
    assert failed[2].splitlines() == [
        "no answer from pods on c (203.0.113.1), d (127.0.0.2)",
        "firewall: table inet filter, chain forward (forward): drops what no rule accepts",
        "firewall: table inet filter, chain input (input): has the rule "
        "`counter packets 0 bytes 0 reject with icmpx admin-prohibited`",
    ]


def test_a_host_without_the_pod_says_so(room: Room) -> None:
    (failed,) = done(room, wire.Reach(port=17853, peers=("b=127.0.0.1",), seconds=0))
    assert failed[2].startswith("the pod that asks is not there")


PODS = "Running a 10.244.0.9 <none>\nPending b <none> <none>\nRunning c 10.244.2.9 2026-11-30T12:00:00Z\n"
ALL = "Running a 10.244.0.9 <none>\nRunning b 10.244.1.9 <none>\n"


def test_addresses_of_pods_are_told_once_all_run_and_none_is_on_its_way_out(room: Room) -> None:
    nodes(room, _1=PODS, _=ALL)
    room.text("mv /srv/nodes. /srv/nodes")
    told, *_ = done(room, wire.PodAddresses(namespace="kube-system", label="x=g", pods=2, seconds=30))
    assert told == ["told", "1", "a 10.244.0.9\nb 10.244.1.9"]
    assert room.text("cat /srv/asked") == "3\n"


def test_what_was_seen_well_is_kept_and_told_by_the_probe(room: Room) -> None:
    assert done(room, wire.Well(hosts=("a=g1", "b=g2")))[-1][0] == "done"
    answer = room.sh(PROBE_COMMAND, probe_program(Question(facts=False).queries())).stdout
    assert parse(answer, host="a", asked=(), operator_clock=0).well == {"a": "g1", "b": "g2"}
