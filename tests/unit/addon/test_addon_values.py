"""What templates are told of hosts: also of those that did not answer, as far as others can know."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from pki_cases import cluster, facts, host, told

from kprov.addon.desired import cluster_values
from kprov.values.model import NetworkSettings


def test_a_host_that_does_not_answer_keeps_its_place() -> None:
    """Beside --limit; what is made of its absence would say that it left the cluster."""
    there = host("cp1")
    silent = host("w1", address="192.0.2.7")
    pinned = host("w2", address="w2.example.org", node_ip=IPv4Address("10.0.0.9"))
    unknown = host("w3", address="w3.example.org")
    values = cluster_values(cluster(there, silent, pinned, unknown), told(cp1=facts()))
    found = {node["name"]: node["address"] for node in values["nodes"]}
    assert found == {"cp1": found["cp1"], "w1": "192.0.2.7", "w2": "10.0.0.9"}
    assert [row["name"] for row in values["hosts"]] == ["cp1", "w1", "w2", "w3"]
    assert [node["sources"] for node in values["nodes"]] == [[address] for address in found.values()]
    assert {node["runtime"] for node in values["nodes"]} == {"containerd"}


def test_through_a_tunnel_a_host_comes_with_the_address_of_its_end() -> None:
    """Policies of add-ons that let control planes in must name that one too."""
    where = replace(cluster(host("cp1"), host("w1")), network=NetworkSettings(mode="vxlan"))
    values = cluster_values(where, told(cp1=facts(), w1=facts()), {"cp1": IPv4Network("10.244.3.0/24")})
    (cp1, w1) = values["nodes"]
    assert cp1["sources"] == [cp1["address"], "10.244.3.1"]
    assert w1["sources"] == [w1["address"]]
    assert values["enforces_policies"]
