"""What becomes of pods when policies, labels and pods change, step by step, in a real kernel; and what no policy can name."""

from __future__ import annotations

import os
import random
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import policy_room
import pytest
from policy_room import NODES, PLACES, SPACES, heard, judged, labels, on, pods, policies, rules, table, within

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="namespaces and nft need root, and nft"
)

POD_X = "podSelector: {matchLabels: {app: x}}"
FROM_Y = f"{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: y}}}}}}]}}]}}"
DENY_ALL = "{podSelector: {}, policyTypes: [Ingress, Egress]}"


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[policy_room.Room]:
    with policy_room.room() as made:
        yield made


class Kept:
    """Both nodes' kernels, which are told what changes and nothing else."""

    def __init__(self) -> None:
        self.pods: dict[str, Any] = {pod.name: pod for pod in pods()}
        self.spaces = {name: dict(own) for name, own in SPACES.items()}
        self.text = "{space: c, podSelector: {matchLabels: {app: nobody}}}"
        self._rules = {node.name: rules.Rules(on(node)) for node in NODES}
        self._held: dict[str, Any] = {}
        self.bring()

    def bring(self, **changes: Any) -> None:
        vars(self).update(changes)
        for node in NODES:
            now = self._rules[node.name].know(self.pods.values(), self.spaces, policies(self.text))
            before = self._held.get(node.name)
            told = table.whole(on(node), now) if before is None else table.difference(before, now)
            within(node, "nft", "-f", "-", stdin=told)
            self._held[node.name] = now

    def label(self, pod: str, **own: str) -> None:
        self.pods[pod] = self.pods[pod]._replace(labels=own)
        self.bring()


@pytest.fixture
def kept() -> Kept:
    return Kept()


def holds(passes: list[str], ends: list[str]) -> None:
    assert judged(passes, ends) == {**dict.fromkeys(passes, True), **dict.fromkeys(ends, False)}


def test_a_policy_that_is_changed_and_taken_away(kept: Kept) -> None:
    holds(["y>x", "w>x"], [])
    kept.bring(text="{podSelector: {}, policyTypes: [Ingress]}")
    holds([], ["y>x", "w>x", "z>w"])
    kept.bring(text=f"{{podSelector: {{}}, policyTypes: [Ingress]}}\n---\n{FROM_Y}")
    holds(["y>x"], ["w>x", "z>w"])
    kept.bring(text=FROM_Y.replace("app: y", "app: w"))
    holds(["w>x", "z>w"], ["y>x"])
    kept.bring(text="{space: c, podSelector: {}, policyTypes: [Egress]}")
    holds(["y>x", "z>w"], ["u>x"])


def test_labels_of_a_namespace_that_change(kept: Kept) -> None:
    kept.bring(text=f"{{{POD_X}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{door: open}}}}}}]}}]}}")
    holds([], ["v>x", "z>x", "u>x"])
    kept.bring(spaces={**kept.spaces, "b": {**kept.spaces["b"], "door": "open"}})
    holds(["v>x", "z>x"], ["u>x", "y>x"])
    kept.bring(spaces={**kept.spaces, "b": SPACES["b"], "c": {"door": "open"}})
    holds(["u>x"], ["v>x", "z>x"])


def test_labels_of_pods_that_change(kept: Kept) -> None:
    kept.bring(text=FROM_Y)
    kept.label("w", app="y")
    holds(["y>x", "w>x"], ["v>x"])
    kept.label("y", app="q")
    holds(["w>x"], ["y>x"])
    kept.label("y", app="x")  # it is selected by now, as the target
    holds(["w>y", "w>x"], ["z>y"])
    kept.label("x", app="q")
    holds(["z>x", "y>x"], ["z>y"])


def test_a_pod_that_dies_and_another_that_gets_its_address(kept: Kept) -> None:
    kept.bring(text=FROM_Y)
    gone = kept.pods.pop("x")
    kept.bring()
    holds(["y>w"], ["y>x", "w>x"])  # its address is nobody's, while packets may still be on their way
    kept.pods["other"] = gone._replace(name="other", space="c", labels={"app": "other"})
    kept.bring()
    holds(["y>x", "w>x", "u>x"], [])
    del kept.pods["other"]
    kept.pods["x"] = gone
    kept.bring()
    holds(["y>x"], ["w>x", "u>x"])


def test_a_pod_that_gets_a_port_of_that_name(kept: Kept) -> None:
    kept.bring(text=f"{{{POD_X}, ingress: [{{ports: [{{port: late}}]}}]}}")
    holds([], ["y>x:80", "y>x:81"])
    kept.pods["x"] = kept.pods["x"]._replace(ports=(("late", "TCP", 81),))
    kept.bring()
    holds(["y>x:81", "z>x:81"], ["y>x:80"])


def test_whatever_changes_the_kernel_holds_what_all_at_once_would_say(kept: Kept) -> None:
    chance = random.Random(7)  # noqa: S311 - a test that can be run again
    lines = [
        DENY_ALL,
        FROM_Y,
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}, {port: 53, protocol: UDP}]}]}",
        f"{{{POD_X}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: blue}}}}}}]}}]}}",
        "{space: b, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.244.2.0/25]}}]}]}",
    ]

    def listed() -> list[str]:
        counted = within(NODES[0], "nft", "-s", "list", "table", "ip", "kprov-policies")
        return sorted(word.strip(",") for word in counted.split())

    all_pods = dict(kept.pods)
    for _ in range(12):
        some = chance.sample(sorted(all_pods), 4)
        kept.pods = {name: all_pods[name]._replace(labels={"app": chance.choice("xyzw")}) for name in some}
        kept.bring(text="\n---\n".join(chance.sample(lines, chance.randrange(1, 4))))
        found = listed()
        known = (list(kept.pods.values()), kept.spaces, policies(kept.text))
        within(NODES[0], "nft", "-f", "-", stdin=policy_room.rendered(NODES[0], *known))
        assert found == listed()


def test_changes_lose_no_packet_that_passes_and_let_none_through_that_does_not(kept: Kept) -> None:
    """A hundred changes of pods and policies, while packets are sent all the time."""
    kept.bring(text=FROM_Y)

    def change() -> None:
        for number in range(100):
            kept.pods[f"q{number % 7}"] = labels.Pod(
                "a", f"q{number % 7}", "n1", f"10.244.1.{100 + number}", {"app": "y"}
            )
            others = [f"{{space: b, podSelector: {{matchLabels: {{app: q{n}}}}}}}" for n in range(number % 3)]
            kept.bring(text="\n---\n".join([FROM_Y, *others]))

    sent, found = heard(change)
    assert sent > 100
    assert found == {"y": sent}


def test_pods_have_no_way_to_each_other_and_to_their_node_by_ipv6() -> None:
    """Each link has an address of IPv6 of itself, which no policy names: pods of one bridge, and the node below them."""
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("a kernel without IPv6")

    def opens(target: policy_room.Place, link: str) -> bool:
        said = within(target, "ip", "-6", "-o", "address", "show", "dev", link)
        address = next(word for word in said.split() if word.startswith("fe80")).split("/")[0]
        with policy_room.socket_in(target, socket.SOCK_STREAM, family=socket.AF_INET6) as server:
            server.bind(("::", 7006))
            server.listen()
            with policy_room.socket_in(PLACES["y"], socket.SOCK_STREAM, family=socket.AF_INET6) as client:
                client.settimeout(1.5)
                number = int(within(PLACES["y"], "cat", "/sys/class/net/eth0/ifindex"))
                try:
                    client.connect((address, 7006, 0, number))
                except OSError:
                    return False
                return True

    places = ((PLACES["x"], "eth0"), (NODES[0], "cni0"))
    policy_room.load("")
    deadline = time.monotonic() + 20  # addresses are tried for a second or two before they are used
    while not all(opens(*place) for place in places):
        assert time.monotonic() < deadline, "without a policy they reach each other"
        time.sleep(0.2)
    policy_room.load(DENY_ALL)
    assert [opens(*place) for place in places] == [False, False]


def test_a_pod_sends_with_no_address_from_elsewhere(kept: Kept) -> None:
    """What a pod may not send it does not send in another machine's name either."""
    kept.bring(text=f"{{{POD_X}, policyTypes: [Egress]}}\n---\n{{space: b, podSelector: {{}}, policyTypes: [Ingress]}}")
    outside = PLACES["out"].address

    def forged(source: str) -> bool:
        head = bytes([0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0])
        packet = (
            head + socket.inet_aton(source) + socket.inet_aton(outside) + bytes([27, 88, 27, 95, 0, 9, 0, 0]) + b"!"
        )
        with (
            policy_room.socket_in(PLACES["out"], socket.SOCK_DGRAM) as there,
            policy_room.socket_in(PLACES["x"], socket.SOCK_RAW, socket.IPPROTO_RAW) as here,
        ):
            there.bind(("", 7007))
            there.settimeout(0.4)
            here.sendto(packet, (outside, 0))
            try:
                return there.recv(10) == b"!"
            except TimeoutError:
                return False

    assert [forged(source) for source in ("192.0.2.77", "10.244.2.99", "10.244.1.99", PLACES["x"].address)] == [
        False
    ] * 4
    kept.bring(text="{space: c, podSelector: {}}")
    assert forged(PLACES["x"].address)
    assert not forged("192.0.2.77")
