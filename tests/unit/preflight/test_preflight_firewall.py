"""A firewall between hosts is named with the ports it closes, from where, and what opens them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from observed import bare

from kprov.observe.observation import Observation
from kprov.preflight.firewall import check
from kprov.values.model import Cluster, Connection, Host


def host(name: str, number: int, *groups: Any) -> Host:
    return Host(name=name, groups=frozenset(groups), connection=Connection(address=f"192.0.2.{number}"))


HOSTS = (
    host("cp1", 1, "control_plane", "etcd"),
    host("cp2", 2, "control_plane", "etcd"),
    host("w1", 3, "worker"),
)


def seen(**closed: dict[tuple[str, int], str]) -> dict[str, Observation]:
    numbers = {one.name: one.connection.address for one in HOSTS}
    return {
        name: replace(bare(default_address=address), closed=closed.get(name, {})) for name, address in numbers.items()
    }


def cluster(**more: Any) -> Cluster:
    return Cluster(name="prod", versions={"kubernetes": "1.37.2"}, hosts=HOSTS, **more)


def test_hosts_that_reach_each_other_have_no_problem() -> None:
    assert check(cluster(), seen()) == ()


def test_a_host_that_drops_is_told_once_with_all_its_ports() -> None:
    dropped = {("192.0.2.2", port): "no answer" for port in (2379, 2380, 10250)}
    (problem,) = check(cluster(), seen(cp1=dropped, w1={("192.0.2.2", 6443): "No route to host"}))
    assert (problem.name, problem.host, problem.severity) == ("Firewall", "cp2", "error")
    assert problem.found == (
        "port 2379 (etcd) from cp1: no answer; port 2380 (etcd) from cp1: no answer; "
        "port 6443 (kube-apiserver) from w1: No route to host; port 10250 (kubelet) from cp1: no answer"
    )
    assert problem.needed == "TCP 2379, 2380, 6443, 10250 open to the other hosts of the cluster"
    assert "--add-port=PORT/tcp" in problem.todo


def test_who_is_kept_out_alike_is_told_together() -> None:
    (problem,) = check(
        cluster(), seen(cp1={("192.0.2.3", 10250): "no answer"}, cp2={("192.0.2.3", 10250): "no answer"})
    )
    assert problem.found == "port 10250 (kubelet) from cp1, cp2: no answer"


@pytest.mark.parametrize("ports", [{("192.0.2.3", 22): "no answer"}, {("198.51.100.1", 10250): "no answer"}])
def test_what_the_cluster_does_not_need_is_not_told(ports: dict[tuple[str, int], str]) -> None:
    assert check(cluster(), seen(cp1=ports)) == ()


def test_it_can_be_ignored() -> None:
    (problem,) = check(cluster(preflight_ignore=("firewall",)), seen(cp1={("192.0.2.3", 10250): "no answer"}))
    assert problem.severity == "warning"
