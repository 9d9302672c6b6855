"""What planning costs grows with the hosts, and not with their square: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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
