"""etcd: its members are the inventory's, all vote, all are healthy and agree; strangers are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import wire
from kprov.testinfra.expected import BIN
from kprov.testinfra.fleet import Fleet
from kprov.values.model import Cluster

pytestmark = pytest.mark.on("etcd")

PKI = "/etc/etcd/pki"
ETCDCTL = (
    f"{BIN}/etcdctl --endpoints=https://127.0.0.1:2379 --cacert={PKI}/ca.crt --command-timeout=10s"
    f" --cert={PKI}/healthcheck-client.crt --key={PKI}/healthcheck-client.key"
)


def etcdctl(host: Machine, arguments: str) -> Any:
    return json.loads(host.check_output(f"{ETCDCTL} {arguments} -w json"))


def test_members_are_those_of_the_inventory(host: Machine, cluster: Cluster, fleet: Fleet) -> None:
    members = etcdctl(host, "member list")["members"]
    assert {member["name"] for member in members} == {own.name for own in cluster.group("etcd")}
    assert not [member["name"] for member in members if member.get("isLearner")]
    desired = {own.name: [f"https://{fleet.node_ip(own.name)}:2380"] for own in cluster.group("etcd")}
    assert {member["name"]: member["peerURLs"] for member in members} == desired


def test_every_member_is_healthy(host: Machine, cluster: Cluster) -> None:
    health = etcdctl(host, "endpoint health --cluster")
    assert len(health) == len(cluster.group("etcd"))
    assert all(member["health"] for member in health), health


def test_members_agree_on_one_leader(host: Machine, cluster: Cluster) -> None:
    states = [member["Status"] for member in etcdctl(host, "endpoint status --cluster")]
    assert len(states) == len(cluster.group("etcd"))
    assert len({state["header"]["cluster_id"] for state in states}) == 1
    assert len({state["leader"] for state in states}) == 1
    assert states[0]["leader"] != 0
    assert not [state["errors"] for state in states if state.get("errors")]
    assert {state["version"] for state in states} == {cluster.versions["etcd"]}


def test_there_is_no_alarm(host: Machine) -> None:
    assert not etcdctl(host, "alarm list").get("alarms")


@pytest.mark.parametrize("port", [2379, 2380], ids=["clients", "peers"])
def test_strangers_without_a_certificate_are_refused(host: Machine, fleet: Fleet, port: int) -> None:
    """CIS 2.2, 2.5. The server's own certificate is checked first, so that this refusal is etcd's."""
    name = host.backend.hostname
    address = fleet.node_ip(name)
    with pytest.raises(wire.WireError, match=r"(?i)alert certificate required|alert bad certificate|handshake failure"):
        wire.get_tls(fleet.session(name), address, port, "/health", fleet.trusting("etcd"), address)
