"""Pod networks: assigned once, kept, never shared."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network as Net

import pytest

from kprov.observe.living import parse_table
from kprov.roles.pod_network import allocate, table_file
from kprov.values.errors import PreflightError
from kprov.values.model import Cluster, Connection, Host


def cluster(*names: str, **settings: object) -> Cluster:
    hosts = tuple(Host(name=n, groups=frozenset({"worker"}), connection=Connection(address=n)) for n in names)
    return Cluster(name="c", versions={"kubernetes": "1.37.2"}, hosts=hosts, **settings)  # type: ignore[arg-type]


def test_new_hosts_get_the_lowest_free_networks_in_inventory_order() -> None:
    assert allocate(cluster("b", "a"), {}) == {"b": Net("10.244.0.0/24"), "a": Net("10.244.1.0/24")}


def test_a_host_keeps_its_network_when_others_come_before_it_or_go() -> None:
    table = table_file(allocate(cluster("a", "b"), {})).content
    assert allocate(cluster("x", "b"), {"b": table}) == {"x": Net("10.244.0.0/24"), "b": Net("10.244.1.0/24")}


def test_what_peers_recorded_holds_for_a_host_that_lost_its_record() -> None:
    assert allocate(cluster("a", "b"), {"b": b"a 10.244.9.0/24\nb 10.244.3.0/24\n"})["a"] == Net("10.244.9.0/24")


def test_a_hosts_own_record_wins_over_its_peers() -> None:
    tables = {"a": b"a 10.244.5.0/24\n", "b": b"a 10.244.9.0/24\nb 10.244.3.0/24\n"}
    assert allocate(cluster("a", "b"), tables)["a"] == Net("10.244.5.0/24")


def test_the_inventorys_choice_wins() -> None:
    chosen = cluster("a", "b")
    hosts = (replace(chosen.hosts[0], pod_cidr=Net("10.244.7.0/24")), chosen.hosts[1])
    assert allocate(replace(chosen, hosts=hosts), {"a": b"a 10.244.5.0/24\n"})["a"] == Net("10.244.7.0/24")


def test_two_hosts_never_share_a_network() -> None:
    with pytest.raises(PreflightError, match="same pod network"):
        allocate(cluster("a", "b"), {"a": b"a 10.244.0.0/24\n", "b": b"b 10.244.0.0/24\n"})


def test_a_network_that_is_used_up_is_told() -> None:
    with pytest.raises(PreflightError, match="used up"):
        allocate(cluster("a", "b", pod_cidr=Net("10.244.0.0/24")), {})


def test_a_tampered_record_is_passed_over() -> None:
    assert parse_table(b"a 10.244.0.0/24\nnonsense\nb not-a-net\n") == {"a": Net("10.244.0.0/24")}


def test_a_record_outside_the_pod_network_is_passed_over() -> None:
    assert allocate(cluster("a"), {"a": b"a 192.0.2.0/24\n"}) == {"a": Net("10.244.0.0/24")}


def test_a_nodes_own_network_wins_over_every_record() -> None:
    tables = {"a": b"a 10.244.5.0/24\nb 10.244.6.0/24\n", "b": b"a 10.244.5.0/24\nb 10.244.6.0/24\n"}
    nodes = {"a": Net("10.244.0.0/24"), "b": Net("10.244.1.0/24")}
    assert allocate(cluster("a", "b"), tables, nodes) == nodes


@pytest.mark.parametrize(
    ("prefix", "nodes", "given"),
    [
        (23, {"a": "10.244.0.0/24", "b": "10.244.1.0/24", "c": "10.244.2.0/24"}, "10.244.4.0/23"),
        (25, {"a": "10.244.0.0/24", "b": "10.244.1.0/24"}, "10.244.2.0/25"),
        (24, {"a": "10.244.0.0/24", "b": "10.244.1.128/25"}, "10.244.2.0/24"),
        (24, {"a": "10.244.0.0/24", "b": "10.244.2.0/24"}, "10.244.1.0/24"),
        (24, {"a": "10.244.1.0/24", "gone": "10.244.0.0/24"}, "10.244.2.0/24"),
    ],
)
def test_a_joining_host_gets_a_piece_that_overlaps_no_other(prefix: int, nodes: dict[str, str], given: str) -> None:
    living = {name: Net(net) for name, net in nodes.items()}
    own = cluster("a", "b", "c", "new", pod_cidr_node_prefix=prefix)
    own = replace(own, hosts=tuple(host for host in own.hosts if host.name in living or host.name == "new"))
    assert allocate(own, {}, living) == {
        **{name: net for name, net in living.items() if name != "gone"},
        "new": Net(given),
    }


def test_the_last_piece_is_given_and_no_more() -> None:
    small = cluster("a", "b", pod_cidr=Net("10.244.0.0/23"))
    assert allocate(small, {}, {"a": Net("10.244.0.0/24")})["b"] == Net("10.244.1.0/24")
    with pytest.raises(PreflightError, match="used up"):
        allocate(
            cluster("a", "b", pod_cidr=Net("10.244.0.0/23")),
            {},
            {"a": Net("10.244.0.128/25"), "x": Net("10.244.1.0/28")},
        )


def test_networks_of_different_sizes_that_overlap_are_told() -> None:
    chosen = cluster("a", "b")
    hosts = (chosen.hosts[0], replace(chosen.hosts[1], pod_cidr=Net("10.244.0.0/23")))
    with pytest.raises(PreflightError, match="same pod network") as caught:
        allocate(replace(chosen, hosts=hosts), {}, {"a": Net("10.244.1.0/24")})
    assert caught.value.found == "10.244.0.0/23 and 10.244.1.0/24"


def test_a_host_that_comes_back_leaves_what_another_node_has_by_now() -> None:
    table = {"b": b"b 10.244.0.0/24\n"}
    assert allocate(cluster("a", "b"), table, {"a": Net("10.244.0.0/24")})["b"] == Net("10.244.1.0/24")


def test_what_a_node_has_that_leaves_stands_in_nobodys_way() -> None:
    nodes = {"gone": Net("10.244.0.0/24"), "a": Net("10.244.0.0/24")}
    with pytest.raises(PreflightError, match="same pod network"):
        allocate(cluster("a", "new"), {}, nodes)
    assert allocate(cluster("a", "new"), {}, nodes, {"gone"}) == {"a": nodes["a"], "new": Net("10.244.1.0/24")}
