"""What planning costs grows with the hosts, and not with their square: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import pytest
from given import context
from observed import record

from kprov.observe import living
from kprov.observe.observation import Observation
from kprov.plan.cluster import Inputs, desired_of_hosts
from kprov.roles import network, pod_network
from kprov.values.model import ClusterFacts

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            counted[name] += 1
            return real(*args)

        return call

    monkeypatch.setattr(ClusterFacts, "_find_address", counting("addresses", ClusterFacts._find_address))
    monkeypatch.setattr(IPv4Network, "__str__", counting("texts", IPv4Network.__str__))
    monkeypatch.setattr(living, "IPv4Network", counting("parsed", IPv4Network))
    return counted


def plan(hosts: int, calls: Counter[str]) -> Counter[str]:
    for cached in (living.parse_table, pod_network.cidr_text, network.gateway, network.tunnel_mac):
        cached.cache_clear()
    given = context({"hosts": {f"w{number}": {"groups": ["etcd", "control_plane"]} for number in range(hosts)}})
    inputs = Inputs(cluster=given.cluster, trust=given.trust, artifacts=given.artifacts, now=NOW)
    table = pod_network.table_file(given.pod_cidrs)
    records = dict([record("file", table.path, table.sha256)])
    texts = {table.path: table.content}
    seen = {name: Observation(facts=facts, texts=texts, records=records) for name, facts in given.facts.items()}
    calls.clear()
    assert len(desired_of_hosts(inputs, seen)) == hosts
    return Counter(calls)


def test_addresses_networks_and_records_are_worked_out_once_a_host(calls: Counter[str]) -> None:
    few, many = plan(5, calls), plan(60, calls)
    assert set(few) == {"addresses", "texts", "parsed"}
    for name, times in many.items():
        assert times <= few[name] * 12 + 20, name


def test_what_every_host_is_told_of_the_others_is_made_once_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    peers, table = network._peers, pod_network.table_file
    monkeypatch.setattr(network, "_peers", lambda *given: asked.append("peers") or peers(*given))
    monkeypatch.setattr(pod_network, "table_file", lambda cidrs: asked.append("table") or table(cidrs))
    given = context({"hosts": {f"w{number}": {"groups": ["etcd", "control_plane"]} for number in range(5)}})
    inputs = Inputs(cluster=given.cluster, trust=given.trust, artifacts=given.artifacts, now=NOW)
    assert len(desired_of_hosts(inputs, {name: Observation(facts=facts) for name, facts in given.facts.items()})) == 5
    assert sorted(asked) == ["peers", "table"]


def test_what_was_made_for_other_facts_is_made_again() -> None:
    given = context({"hosts": {"w0": {"groups": ["etcd", "control_plane"]}}})
    made = given.once("x", object)
    assert given.once("x", object) is made
    assert replace(given, facts=ClusterFacts(dict(given.facts))).once("x", object) is not made
