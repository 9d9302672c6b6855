"""Two nodes with pods as network namespaces of this machine: the kernel's own answer to who reaches whom, without a cluster.

Each node has a bridge as the built-in network makes it, and a route to the other's pods.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ENGINE = Path(__file__).parents[2] / "templates" / "policies"
sys.path.insert(0, str(ENGINE))

import rules  # noqa: E402
import watch  # noqa: E402

_CLONE_NEWNET = 0x40000000
_WAIT = 0.4  # seconds: what does not answer in them is closed
_LIBC = ctypes.CDLL(None, use_errno=True)
SERVICE, NODE_PORT = "10.96.0.80", 30080
TCP, UDP = (80, 81, 8080), (53, 80)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A pod, a node or a machine outside: a namespace and its address."""

    name: str
    address: str
    node: str = ""
    space: str = ""

    @property
    def namespace(self) -> str:
        return f"kprov-{os.getpid()}-{self.name}"


NODES = (Place(name="n1", address="192.0.2.1"), Place(name="n2", address="192.0.2.2"))
OUTSIDE = Place(name="out", address="192.0.2.9")
PODS = (
    Place(name="x", address="10.244.1.5", node="n1", space="a"),
    Place(name="y", address="10.244.1.6", node="n1", space="a"),
    Place(name="w", address="10.244.2.5", node="n2", space="a"),
    Place(name="z", address="10.244.2.6", node="n2", space="b"),
)
PLACES = {place.name: place for place in (*NODES, OUTSIDE, *PODS)}
OWN = {"n1": "10.244.1.0/24", "n2": "10.244.2.0/24"}
SPACES: Mapping[str, Mapping[str, str]] = {"a": {"kubernetes.io/metadata.name": "a"}, "b": {"team": "blue"}}
NAMED = {"x": (("web", "TCP", 8080),), "z": (("web", "TCP", 80), ("dns", "UDP", 53))}


def _ip(*words: str, inside: str = "") -> None:
    command = ["ip", *(["-n", inside] if inside else []), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def within(place: Place, *command: str, stdin: str = "") -> str:
    """Run a program in a namespace."""
    full = ["ip", "netns", "exec", place.namespace, *command]
    done = subprocess.run(full, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{stdin}"
    return done.stdout


class Room:
    """The namespaces, and servers in every one of them."""

    def __init__(self) -> None:
        self._servers: list[socket.socket] = []

    def build(self) -> None:
        _ip("netns", "add", OUTSIDE.namespace)
        _ip("link", "add", "lan", "type", "bridge", inside=OUTSIDE.namespace)
        _ip("link", "set", "lan", "up", inside=OUTSIDE.namespace)
        _ip("address", "add", f"{OUTSIDE.address}/24", "dev", "lan", inside=OUTSIDE.namespace)
        for node in NODES:
            self._node(node)
        for pod in PODS:
            self._pod(pod)
        for node, other in (NODES, NODES[::-1]):
            _ip("route", "add", OWN[other.name], "via", other.address, inside=node.namespace)
            _ip("route", "add", OWN[node.name], "via", node.address, inside=OUTSIDE.namespace)
        for place in PLACES.values():
            self._servers += [server(place, "TCP", port) for port in TCP]
            self._servers += [server(place, "UDP", port) for port in UDP]

    def _node(self, node: Place) -> None:
        _ip("netns", "add", node.namespace)
        link = ("type", "veth", "peer", "name", node.name, "netns", OUTSIDE.namespace)
        _ip("link", "add", "lan", *link, inside=node.namespace)
        _ip("link", "set", node.name, "master", "lan", "up", inside=OUTSIDE.namespace)
        _ip("address", "add", f"{node.address}/24", "dev", "lan", inside=node.namespace)
        _ip("link", "add", "cni0", "type", "bridge", inside=node.namespace)
        gateway = OWN[node.name].replace(".0/24", ".1/24")
        _ip("address", "add", gateway, "dev", "cni0", inside=node.namespace)
        for name in ("lo", "lan", "cni0"):
            _ip("link", "set", name, "up", inside=node.namespace)
        within(node, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")
        target = next(pod for pod in PODS if pod.name == "x").address
        within(node, "nft", "-f", "-", stdin=_service(node, target))

    def _pod(self, pod: Place) -> None:
        node = PLACES[pod.node].namespace
        _ip("netns", "add", pod.namespace)
        _ip("link", "add", pod.name, "type", "veth", "peer", "name", "eth0", "netns", pod.namespace, inside=node)
        _ip("link", "set", pod.name, "master", "cni0", "up", inside=node)
        _ip("link", "set", pod.name, "type", "bridge_slave", "hairpin", "on", inside=node)
        _ip("link", "set", "lo", "up", inside=pod.namespace)
        _ip("link", "set", "eth0", "up", inside=pod.namespace)
        _ip("address", "add", f"{pod.address}/24", "dev", "eth0", inside=pod.namespace)
        _ip("route", "add", "default", "via", OWN[pod.node].replace(".0/24", ".1"), inside=pod.namespace)

    def close(self) -> None:
        for each in self._servers:
            each.close()
        for place in PLACES.values():
            subprocess.run(["ip", "netns", "delete", place.namespace], capture_output=True)


def _service(node: Place, target: str) -> str:
    """Write what kube-proxy does for a Service in front of one pod, with its NodePort, and kprov for what leaves."""
    own = OWN[node.name]
    return f"""
table ip service {{
    chain before {{
        type nat hook prerouting priority dstnat
        ip daddr {SERVICE} tcp dport 80 dnat to {target}:8080
        ip daddr {node.address} tcp dport {NODE_PORT} meta mark set 0x4000 dnat to {target}:8080
    }}
    chain after {{
        type nat hook postrouting priority srcnat
        meta mark 0x4000 masquerade
        ip saddr {own} ip daddr {own} ct status dnat masquerade
        ip saddr {own} ip daddr != 10.244.0.0/16 masquerade
    }}
}}
"""


@contextmanager
def room() -> Iterator[Room]:
    made = Room()
    try:
        made.build()
        yield made
    finally:
        made.close()


def socket_in(place: Place, kind: int) -> socket.socket:
    """Return a socket of that namespace; it stays there, whoever uses it."""
    made: list[socket.socket] = []

    def make() -> None:
        with Path(f"/run/netns/{place.namespace}").open() as handle:
            if _LIBC.setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.socket(socket.AF_INET, kind))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def server(place: Place, protocol: str, port: int) -> socket.socket:
    """Listen; of TCP the kernel itself takes connections, of UDP an echo is sent by `reaches`."""
    made = socket_in(place, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("0.0.0.0", port))  # noqa: S104 - a namespace of the test's own
    if protocol == "TCP":
        made.listen(64)
    else:
        threading.Thread(target=_echo, args=(made,), daemon=True).start()
    return made


def _echo(made: socket.socket) -> None:
    while True:
        try:
            said, who = made.recvfrom(100)
            made.sendto(said, who)
        except OSError:
            return


def reaches(source: str, target: str, protocol: str, port: int) -> bool:
    """Say whether something comes back. target: a place's name, or an address."""
    address = PLACES[target].address if target in PLACES else target
    with socket_in(PLACES[source], socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM) as made:
        made.settimeout(_WAIT)
        try:
            made.connect((address, port))
            if protocol == "UDP":
                made.send(b"?")
                made.recv(10)
        except OSError:
            return False
    return True


def answers(questions: Sequence[tuple[str, str, str, int]]) -> list[bool]:
    """Ask all of them at the same time."""
    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(lambda question: reaches(*question), questions))


def policies(text: str, space: str = "a") -> list[Any]:
    """Read NetworkPolicies' specs, one document each, as the engine reads the API's answer."""
    documents = [each for each in yaml.safe_load_all(text) if each]
    items = [
        {"metadata": {"namespace": each.pop("space", space), "name": f"p{number}"}, "spec": each}
        for number, each in enumerate(documents)
    ]
    return [watch.policy(item) for item in items]


def pods(keep: Callable[[Place], bool] = lambda _: True) -> list[Any]:
    return [
        rules.Pod(pod.space, pod.name, pod.node, pod.address, {"app": pod.name}, NAMED.get(pod.name, ()))
        for pod in PODS
        if keep(pod)
    ]


def load(text: str, *, known: Callable[[Place], bool] = lambda _: True) -> None:
    """Put into both nodes' kernels what the engine makes of these policies."""
    for node in NODES:
        rendered = rules.render(rules.Node(node.name, OWN[node.name]), pods(known), SPACES, policies(text))
        within(node, "nft", "-f", "-", stdin=rendered)
