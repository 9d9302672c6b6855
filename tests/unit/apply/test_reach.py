"""Pods of all nodes that ask each other, and the note that all was seen well: the last stage, walked with scripted hosts."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
import yaml
from observed import bare
from sent import answer_line, cluster_says, received, words
from test_engine import engine, plan

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.engine import Engine
from kprov.apply.reach import addresses, advice, image, is_policed, reach_batch, write_pods
from kprov.apply.wire_format import Operation
from kprov.plan.host import HostPlan
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.events import Event
from kprov.values.model import Host, NetworkSettings

COREDNS = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coredns", "namespace": "kube-system"},
    "spec": {"template": {"spec": {"containers": [{"image": "dns:1"}]}}},
}
IDLE = {name: HostPlan(host=name, changes=(), restarts=(), stamps={}, unstamps={}) for name in "abc"}


class Hosts:
    """Hosts that do as they are told, but for one word on one host, which fails."""

    def __init__(self, fails: tuple[str, str] = ("", ""), *, all_fail: bool = False) -> None:
        self.fails, self.all_fail = fails, all_fail
        self.sent: list[tuple[str, Operation]] = []

    def answer(self, asked: Host, _: str, stdin: bytes) -> Result:
        lines, said = [], list[str]()
        for number, one in enumerate(received(stdin), start=1):
            self.sent.append((asked.name, one))
            if (asked.name, one.word) == self.fails:
                lines.append(("fail", number, "no answer from pods on b (10.244.1.9)\nfirewall: table inet filter"))
                break
            if self.all_fail and one.word == "reach":
                lines.append(("fail", number, "no answer from pods on c (10.244.2.9)"))
                break
            if isinstance(one, wire.PodAddresses):
                lines.append(("told", number, "a 10.244.0.9\nb 10.244.1.9\nc 10.244.2.9\n"))
            if isinstance(one, wire.Ask):
                said.append(answer_line(number, cluster_says(one)))
            lines.append(("ok", number, ""))
        text = [f"{word}\t{number}\t{base64.b64encode(text.encode()).decode()}" for word, number, text in lines]
        return Result(status=0, stdout="\n".join([*said, *text, "done\t0\t-", ""]).encode(), stderr=b"")

    def of(self, word: str) -> list[tuple[str, Operation]]:
        return [(name, one) for name, one in self.sent if one.word == word]


def run(hosts: Hosts, plans: dict[str, HostPlan] = IDLE, **changes: object) -> Engine:
    heard: list[Event] = []
    running = engine(plans, FakeTransport(handler=hosts.answer), heard)
    running.plan = replace(running.plan, **{"desired_objects": (COREDNS,), **changes})  # type: ignore[arg-type]
    running.observations = {name: replace(bare(), generation="old") for name in plans}
    running.run()
    return running


def test_the_pods_start_while_the_rest_is_waited_for() -> None:
    hosts = Hosts()
    run(hosts, unproven=("b",))
    words = [one.word for _, one in hosts.sent]
    assert words.index("objects") < words.index("nodes_ready") < words.index("gate") < words.index("pod_addresses")


def test_pods_of_every_node_ask_those_of_all_others_and_all_is_written_down() -> None:
    hosts = Hosts()
    run(hosts, unproven=("b",))
    assert sorted((name, one.peers) for name, one in hosts.of("reach") if isinstance(one, wire.Reach)) == [
        ("a", ("b=10.244.1.9", "c=10.244.2.9")),
        ("b", ("a=10.244.0.9", "c=10.244.2.9")),
        ("c", ("a=10.244.0.9", "b=10.244.1.9")),
    ]
    assert hosts.of("well") == [("a", wire.Well(hosts=("a=g", "b=g", "c=g")))]
    assert [one.word for _, one in hosts.sent[-2:]] == ["delete_pods", "well"]


@pytest.mark.parametrize(
    ("policies", "kinds"), [({"shop": 1}, {"Pod"}), ({"kube-system": 1}, {"Pod", "NetworkPolicy"})]
)
def test_where_somebody_has_policies_the_pods_get_one_that_lets_them_ask(
    policies: dict[str, int], kinds: set[str]
) -> None:
    """Only there: while there is a policy in a cluster, pods that are not known yet are closed."""
    batch = Batch()
    write_pods(batch, ["a", "b"], "dns:1", "g", policed=is_policed([{}, policies]))
    written = [item for item in yaml.safe_load_all(bytes(batch.payload[0][1])) if item]
    assert {item["kind"] for item in written} == kinds
    assert all(item["metadata"]["labels"] == {"kprov.io/reach": "g"} for item in written)


@pytest.mark.parametrize("fails", [("b", "reach"), ("a", "pod_addresses"), ("a", "gate"), ("a", "nodes_ready")])
def test_what_was_not_seen_well_is_not_written_down_and_the_pods_go(fails: tuple[str, str]) -> None:
    hosts = Hosts(fails)
    running = run(hosts, unproven=("b",))
    assert running.failures
    assert hosts.of("well") == []
    assert [name for name, _ in hosts.of("delete_pods")] == ["a"]


def test_a_node_that_is_cut_off_is_told_with_the_firewall_and_the_ports() -> None:
    running = run(Hosts(("c", "reach")), unproven=("b",))
    (failure,) = running.failures
    assert (failure.host, failure.found) == ("c", "no answer from pods on b (10.244.1.9)")
    assert "table inet filter" in failure.log
    assert "TCP 6443 (API), 2379 and 2380 (etcd), 10250 (kubelet)" in failure.todo
    assert "10.244.0.0/16" in failure.todo


def test_the_host_that_knows_a_firewall_is_told_first() -> None:
    running = run(Hosts(("c", "reach"), all_fail=True), unproven=("b",))
    assert [failure.host for failure in running.failures] == ["c", "a", "b"]


def test_what_cannot_cut_pods_off_asks_no_pods_and_is_written_down() -> None:
    hosts = Hosts()
    run(hosts, {**IDLE, "a": plan("a", stage="api-server")})
    assert hosts.of("reach") == []
    assert hosts.of("well") == [("a", wire.Well(hosts=("a=g", "b=old", "c=old")))]


def test_a_run_with_nothing_to_do_and_nothing_to_prove_sends_nothing() -> None:
    hosts = Hosts()
    run(hosts, desired_objects=())
    assert hosts.sent == []


def test_what_was_not_seen_well_is_asked_again_though_there_is_nothing_else_to_do() -> None:
    hosts = Hosts()
    run(hosts, desired_objects=(), unproven=("b",))
    assert hosts.of("well") == [("a", wire.Well(hosts=("a=g", "b=old", "c=old")))]


def test_a_change_of_nodes_asks_again() -> None:
    hosts = Hosts()
    run(hosts, {**IDLE, "b": plan("b", stage="runtime")})
    assert len(hosts.of("reach")) == 3


def test_nodes_that_wait_for_a_network_of_the_users_are_not_asked() -> None:
    hosts = Hosts()
    run(hosts, unproven=("b",), network=NetworkSettings(mode="none"), not_ready=("a", "b", "c"))
    assert hosts.of("reach") == hosts.of("pod_addresses") == []


def test_addresses_are_read_line_by_line() -> None:
    assert addresses("a 10.0.0.1\n\nb\nc 10.0.0.3\n") == {"a": "10.0.0.1", "c": "10.0.0.3"}
    assert words(reach_batch("a", {"a": "1", "b": "2"}, "open it").operations) == ["reach"]


def test_the_port_of_a_tunnel_is_among_what_must_pass() -> None:
    running = run(Hosts())
    vxlan = replace(running.cluster, network=NetworkSettings(mode="vxlan"))
    assert "UDP 4789 (vxlan)" in advice(vxlan)
    assert "flannel" in advice(replace(running.cluster, network=NetworkSettings(mode="flannel")))
    assert image(running.plan) == "dns:1"
