"""Whether pods reach ports of hosts: closed in a new cluster, as it was in one that is older than the record of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import bare, record
from pki_cases import cluster, host

from kprov.observe.observation import Observation
from kprov.plan.network_hosts import decided, is_open_by_age
from kprov.values.model import NetworkSettings
from kprov.values.paths import NETWORK_HOSTS


def node(told: str = "") -> Observation:
    """A node that lives, with the record or without."""
    records = [record("unit", "kubelet.service"), *([record("file", NETWORK_HOSTS)] if told else [])]
    return replace(bare(), records=dict(records), texts={NETWORK_HOSTS: f"{told}\n".encode()} if told else {})


NEW = replace(bare(), records={})


@pytest.mark.parametrize(
    ("seen", "hosts"),
    [
        ((NEW, NEW), "closed"),
        ((node("closed"), node("closed")), "closed"),
        ((node("open"), node("open")), "open"),
        ((node(), node()), "open"),  # older than the record
        ((node(), NEW), "open"),  # who joins it
        ((node("closed"), NEW), "closed"),
        ((node("closed"), node()), "closed"),  # a run that closed them broke off
    ],
)
def test_what_nodes_have_is_kept_where_nobody_says_otherwise(seen: tuple[Observation, ...], hosts: str) -> None:
    where = cluster(host("a"), host("b"))
    assert decided(where, dict(zip("ab", seen, strict=True))).network.hosts == hosts


@pytest.mark.parametrize("network", [NetworkSettings(hosts="open"), NetworkSettings(hosts="closed")])
def test_the_inventory_decides_where_it_says_something(network: NetworkSettings) -> None:
    where = replace(cluster(host("a")), network=network)
    assert decided(where, {"a": node("closed")}) is where
    assert not is_open_by_age(network, node())


def test_of_other_networks_nothing_is_decided() -> None:
    where = replace(cluster(host("a")), network=NetworkSettings(mode="calico"))
    assert decided(where, {"a": node()}) is where
