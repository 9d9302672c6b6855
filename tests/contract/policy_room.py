"""Two nodes with pods as network namespaces of this machine: the kernel's own answer to who reaches whom, without a cluster.

Each node has a bridge as the built-in network makes it, and a route to the other's pods.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ENGINE = Path(__file__).parents[2] / "templates" / "policies"
sys.path.insert(0, str(ENGINE))

import labels  # noqa: E402
import rules  # noqa: E402
import table  # noqa: E402
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
    Place(name="v", address="10.244.1.7", node="n1", space="b"),
    Place(name="u", address="10.244.2.7", node="n2", space="c"),
)
PLACES = {place.name: place for place in (*NODES, OUTSIDE, *PODS)}
OWN = {"n1": "10.244.1.0/24", "n2": "10.244.2.0/24"}
NAME = "kubernetes.io/metadata.name"
SPACES: Mapping[str, Mapping[str, str]] = {"a": {NAME: "a"}, "b": {NAME: "b", "team": "blue"}, "c": {NAME: "c"}}
NAMED = {"x": (("web", "TCP", 8080),), "w": (("web", "TCP", 81),), "z": (("web", "TCP", 80), ("dns", "UDP", 53))}


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
        within(
            node,
            "sysctl",
            "-qw",
            "net.ipv4.ip_forward=1",
            *(f"net.bridge.bridge-nf-call-{each}=1" for each in ("iptables", "ip6tables")),
        )
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


def socket_in(place: Place, kind: int, protocol: int = 0, family: int = socket.AF_INET) -> socket.socket:
    """Return a socket of that namespace; it stays there, whoever uses it."""
    made: list[socket.socket] = []

    def make() -> None:
        with Path(f"/run/netns/{place.namespace}").open() as handle:
            if _LIBC.setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.socket(family, kind, protocol))

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
        made.listen(4096)  # nobody accepts: each question leaves one behind
    else:
        threading.Thread(target=_echo, args=(made, made.dup()), daemon=True).start()
    return made


def _echo(made: socket.socket, own: socket.socket) -> None:
    """Answer until `made` is closed. own: a copy that nobody else closes, as its number would soon be another's."""
    own.settimeout(0.2)
    with own:
        while made.fileno() >= 0:
            try:
                said, who = own.recvfrom(100)
                own.sendto(said, who)
            except TimeoutError:
                continue
            except OSError:
                return


def heard(event: Callable[[], object]) -> tuple[int, dict[str, int]]:
    """How many packets y and w each sent to x while something happened, and how many of whom it was given."""
    target = PLACES["x"]
    found: dict[str, int] = {}
    with (
        socket_in(target, socket.SOCK_DGRAM) as there,
        socket_in(PLACES["y"], socket.SOCK_DGRAM) as allowed,
        socket_in(PLACES["w"], socket.SOCK_DGRAM) as refused,
    ):
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        there.bind(("", 7007))
        there.settimeout(0.3)
        sent, over = [0], threading.Event()

        def send() -> None:
            while not over.is_set():
                allowed.sendto(b"y", (target.address, 7007))
                refused.sendto(b"w", (target.address, 7007))
                sent[0] += 1
                time.sleep(0.002)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            event()
        finally:
            over.set()
            sender.join()
        while True:
            try:
                who = there.recv(10).decode()
            except TimeoutError:
                return sent[0], found
            found[who] = found.get(who, 0) + 1


def reaches(source: str, target: str, protocol: str, port: int, wait: float = _WAIT) -> bool:
    """Say whether something comes back, or of SCTP whether it arrives. target: a place's name, or an address."""
    address = PLACES[target].address if target in PLACES else target
    if protocol == "SCTP":
        return _arrives(PLACES[source], PLACES[target], port, wait)
    if protocol == "ICMP":
        return _pings(PLACES[source], address, wait)
    with socket_in(PLACES[source], socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM) as made:
        made.settimeout(wait)
        try:
            made.connect((address, port))
            if protocol == "UDP":
                made.send(b"?")
                made.recv(10)
        except OSError:
            return False
    return True


def ask(words: str) -> tuple[str, str, str, int]:
    """Read `x>y`, `x>y:81`, `x>y/UDP:53`."""
    pair, _, port = words.partition(":")
    pair, _, protocol = pair.partition("/")
    source, _, target = pair.partition(">")
    return source, target, protocol or "TCP", int(port or 80)


_SOURCES = itertools.count(20000)  # a port for each question, so that each is a connection of its own


def _pings(source: Place, address: str, wait: float) -> bool:
    own = next(_SOURCES)
    packet = struct.pack("!HHHH", 0x800, 0xFFFF - (0x800 + own + 1) % 0xFFFF, own, 1)
    with socket_in(source, socket.SOCK_RAW, socket.IPPROTO_ICMP) as here:
        here.settimeout(wait)
        try:
            here.sendto(packet, (address, 0))
            while here.recv(2000)[20:26:4] != bytes([0, packet[4]]):
                pass
        except OSError:
            return False
    return True


def _arrives(source: Place, target: Place, port: int, wait: float) -> bool:
    """Send what opens an SCTP association, and see whether the target is given it: also where the kernel has no SCTP."""
    own = next(_SOURCES)
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65535, 1, 1, 1)
    head = struct.pack("!HHI", own, port, 0)
    packet = head + struct.pack("<I", _crc32c(head + bytes(4) + chunk)) + chunk
    with (
        socket_in(target, socket.SOCK_RAW, socket.IPPROTO_SCTP) as there,
        socket_in(source, socket.SOCK_RAW, socket.IPPROTO_SCTP) as here,
    ):
        there.settimeout(wait)
        try:
            here.sendto(packet, (target.address, 0))
            while there.recv(2000)[20:24] != packet[:4]:
                pass
        except OSError:
            return False
    return True


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def answers(questions: Sequence[tuple[str, str, str, int]]) -> list[bool]:
    """Ask all of them at the same time."""
    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(lambda question: reaches(*question), questions))


def judged(passes: Sequence[str], ends: Sequence[str]) -> dict[str, bool]:
    """Ask what shall pass and what shall not; on a busy computer what shall pass may need more time."""
    found = dict(zip([*passes, *ends], answers([ask(words) for words in (*passes, *ends)]), strict=True))
    late = [words for words in passes if not found[words]]
    return found | {words: reaches(*ask(words), wait=2) for words in late[:10]}


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
        labels.Pod(pod.space, pod.name, pod.node, pod.address, {"app": pod.name}, NAMED.get(pod.name, ()))
        for pod in PODS
        if keep(pod)
    ]


def load(text: str, *, known: Callable[[Place], bool] = lambda _: True) -> None:
    """Put into both nodes' kernels what the engine makes of these policies."""
    for node in NODES:
        within(node, "nft", "-f", "-", stdin=rendered(node, pods(known), SPACES, policies(text)))


def on(node: Place) -> Any:
    """A node as the engine has it."""
    return table.Node(node.name, OWN[node.name], six=True)


def rendered(node: Place, *known: Any) -> str:
    """What the engine tells nft of pods, namespaces and policies, when it knows of nothing that was before."""
    return str(table.whole(on(node), rules.Rules(on(node)).know(*known)))
