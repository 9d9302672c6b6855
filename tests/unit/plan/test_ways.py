"""Which hosts will connect to which others: asked while one of both is new, and of no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from observed import bare, record

from kprov.observe.observation import Observation
from kprov.plan.questions import further_questions
from kprov.plan.ways import ways
from kprov.values.model import Cluster, Connection, Host


def host(name: str, number: int, *groups: Any) -> Host:
    return Host(name=name, groups=frozenset(groups), connection=Connection(address=f"192.0.2.{number}"))


CP1, CP2 = host("cp1", 1, "control_plane", "etcd"), host("cp2", 2, "control_plane", "etcd")
W1, ETCD = host("w1", 3, "worker"), host("e1", 4, "etcd")


def cluster(*hosts: Host, **more: Any) -> Cluster:
    return Cluster(name="prod", versions={"kubernetes": "1.37.2"}, hosts=hosts, **more)


def new(number: int) -> Observation:
    return bare(default_address=f"192.0.2.{number}")


def old(number: int) -> Observation:
    return replace(new(number), records=dict([record("file", "/etc/hosts.kprov")]))


def told(own: Cluster, seen: dict[str, Observation], limit: frozenset[str] | None = None) -> set[tuple[str, str, int]]:
    return {(way.caller, way.host, way.port) for way in ways(own, seen, limit)}


def test_each_goes_where_its_units_will_go() -> None:
    seen = {"cp1": new(1), "cp2": new(2), "w1": new(3)}
    between = {(a, b, port) for a, b in (("cp1", "cp2"), ("cp2", "cp1")) for port in (2379, 2380, 6443, 10250)}
    worker = {("w1", "cp1", 6443), ("w1", "cp2", 6443), ("cp1", "w1", 10250), ("cp2", "w1", 10250)}
    assert told(cluster(CP1, CP2, W1), seen) == between | worker
    assert {way.address for way in ways(cluster(CP1, CP2, W1), seen, None) if way.host == "w1"} == {"192.0.2.3"}


def test_hosts_of_etcd_alone() -> None:
    cp = host("cp1", 1, "control_plane")
    assert told(cluster(cp, ETCD), {"cp1": new(1), "e1": new(4)}) == {("cp1", "e1", 2379)}


def test_only_ways_with_a_new_host_at_one_end_are_asked() -> None:
    own = cluster(CP1, CP2, W1)
    assert told(own, {"cp1": old(1), "cp2": old(2), "w1": old(3)}) == set()
    joining = told(own, {"cp1": old(1), "cp2": old(2), "w1": new(3)})
    assert joining == {("w1", "cp1", 6443), ("w1", "cp2", 6443), ("cp1", "w1", 10250), ("cp2", "w1", 10250)}


def test_a_limited_run_asks_for_its_hosts() -> None:
    seen = {"cp1": new(1), "cp2": new(2), "w1": new(3)}
    limited = told(cluster(CP1, CP2, W1), seen, frozenset({"w1"}))
    assert {end for caller, target, _ in limited for end in (caller, target)} == {"cp1", "cp2", "w1"}
    assert all("w1" in way for way in limited)


def test_who_answered_nothing_or_has_no_address_is_left_out() -> None:
    own = cluster(CP1, CP2)
    assert told(own, {"cp1": new(1)}) == set()
    assert told(own, {"cp1": new(1), "cp2": bare(default_address="")}) == {
        ("cp2", "cp1", port) for port in (2379, 2380, 6443, 10250)
    }
    assert "; reboot" not in str(ways(own, {"cp1": new(1), "cp2": bare(default_address="1; reboot")}, None))


def test_behind_a_load_balancer_hosts_do_not_go_to_api_servers() -> None:
    seen = {"cp1": new(1), "w1": new(3)}
    assert told(cluster(CP1, W1, api_endpoint="api.example:6443"), seen) == {("cp1", "w1", 10250)}


def test_knocks_travel_with_the_second_question() -> None:
    own, seen = cluster(CP1, W1), {"cp1": new(1), "w1": new(3)}
    asked = further_questions(own, lambda: b"kubeconfig", {}, seen, limit=None, deep=False)
    assert {name: list(question.knocks) for name, question in asked.items()} == {
        "cp1": [("192.0.2.3", 10250)],
        "w1": [("192.0.2.1", 6443)],
    }
    assert ("knock", "192.0.2.1 6443") in list(asked["w1"].queries())
    assert further_questions(own, None, {}, {"cp1": old(1), "w1": old(3)}, limit=None, deep=False) == {}
    objects = {**seen, "cp1": replace(seen["cp1"], objects=())}
    again = further_questions(own, lambda: b"kubeconfig", {}, objects, limit=None, deep=False)["cp1"]
    assert (again.kubeconfig, list(again.knocks)) == (b"kubeconfig", [("192.0.2.3", 10250)])
