"""What templates are told of hosts: also of those that did not answer, as far as others can know."""

from __future__ import annotations

from ipaddress import IPv4Address

from pki_cases import cluster, facts, host, told

from kprov.addon.desired import cluster_values


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
    assert {node["runtime"] for node in values["nodes"]} == {"containerd"}
