"""When etcd has no quorum, what that says, and what leads out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from inventory_text import loaded
from observed import bare, record

from kprov.observe.observation import EtcdMember, EtcdView, Observation, UnitState
from kprov.plan.etcd import Peer
from kprov.plan.quorum import newest, quorum_finding, refuse_lost_quorum, refuse_new_beginning
from kprov.values.errors import ApplyError, PreflightError

CLUSTER = loaded(
    """\
cluster: {name: test}
hosts:
  a: {address: 192.0.2.11, group: control_plane}
  b: {address: 192.0.2.12, group: control_plane}
  c: {address: 192.0.2.13, group: control_plane}
"""
).cluster
PEERS = [Peer(name=name, peer_url=name, client_url=name) for name in "abc"]
RUNS = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True, sub="running")
STOPPED = replace(RUNS, active="inactive", sub="dead")


def host(*, data: bool = True, revision: int = 0, unit: UnitState = RUNS, stamped: bool = True) -> Observation:
    return replace(
        bare(),
        records=dict([record("unit", "etcd.service")]),
        stamps={"etcd.service": "x"} if stamped else {},
        units={"etcd.service": unit},
        etcd=EtcdView(has_data=data, revision=revision),
    )


def answering(one: Observation) -> Observation:
    members = (EtcdMember(id="1", name="a", peer_urls=(), learner=False),)
    return replace(one, etcd=replace(one.etcd, members=members))


GONE = host(data=False, unit=STOPPED)


@pytest.mark.parametrize("old", [host(), answering(host())], ids=["stopped", "answers"])
def test_an_etcd_that_moves_as_a_whole_does_not_begin_an_empty_cluster(old: Observation) -> None:
    """As when dedicated hosts take over: the old ones would be cleaned of all data in the same run."""
    with pytest.raises(ApplyError, match="empty etcd would take the place") as caught:
        refuse_new_beginning({"a": bare(), "b": bare(), "c": bare(), "old": old}, PEERS)
    assert caught.value.found == "the cluster's data on old, and none on these"
    assert "let old stay in the group etcd beside a, b, c" in caught.value.todo
    refuse_new_beginning({"a": bare(), "b": host(), "c": bare(), "old": old}, PEERS)
    refuse_new_beginning({"a": bare(), "b": bare(), "old": old}, PEERS)  # of c nobody knows: it may have the data


def test_nodes_of_a_cluster_whose_etcd_is_not_in_the_inventory_get_no_empty_one() -> None:
    node = replace(bare(), stamps={"kubelet.service": "S"})
    with pytest.raises(ApplyError, match="an empty cluster would take the place") as caught:
        refuse_new_beginning({"a": bare(), "b": bare(), "c": bare(), "w": node}, PEERS)
    assert "kprov down --limit w" in caught.value.todo


@pytest.mark.parametrize(
    "seen",
    [
        {"a": bare(), "b": bare(), "c": bare()},
        {"a": answering(host()), "b": GONE, "c": GONE},
        {"a": host(), "b": replace(host(), objects=()), "c": host()},
        {"a": host(data=False, stamped=False), "b": bare(), "c": bare()},
    ],
)
def test_a_cluster_with_a_quorum_or_without_a_past_is_no_finding(seen: Mapping[str, Observation]) -> None:
    assert quorum_finding(CLUSTER, seen, ()) is None
    refuse_lost_quorum(CLUSTER, seen, ())


def test_one_member_with_data_is_told_with_the_command_that_keeps_it() -> None:
    seen = {"a": GONE, "b": host(revision=7), "c": GONE}
    found = quorum_finding(CLUSTER, seen, ())
    assert found is not None
    assert found.grave
    assert found.what == (
        "no quorum, so that nothing can be read or changed: a its data is gone; b runs, at revision 7; c its data is gone"
    )
    assert found.todo == (
        "keep what b has with `kprov restore --from-member b INVENTORY`; "
        "or go back to a backup with `kprov restore latest INVENTORY`"
    )
    with pytest.raises(PreflightError, match="etcd has no quorum") as caught:
        refuse_lost_quorum(CLUSTER, seen, ())
    assert caught.value.todo == found.todo


def test_hosts_that_are_away_are_to_be_brought_back_or_named_as_switched_off() -> None:
    found = quorum_finding(CLUSTER, {"a": host()}, ["b", "c"])
    assert found is not None
    assert found.todo.startswith(
        "bring b and c back; or keep what a has with `kprov restore --from-member a --without b,c"
    )
    with pytest.raises(PreflightError, match="b is unreachable"):
        refuse_lost_quorum(CLUSTER, {"a": host()}, ["b", "c"])


def test_nothing_left_leaves_a_backup_only() -> None:
    found = quorum_finding(CLUSTER, dict.fromkeys("abc", GONE), ())
    assert found is not None
    assert found.todo == "go back to a backup with `kprov restore latest INVENTORY`"


def test_members_that_are_only_stopped_are_started_by_a_run() -> None:
    seen = {"a": host(unit=STOPPED), "b": host(unit=STOPPED), "c": GONE}
    found = quorum_finding(CLUSTER, seen, ())
    assert found is not None
    assert "`kprov up` starts members" in found.todo
    assert "a has data, and is not running (inactive (dead))" in found.what
    refuse_lost_quorum(CLUSTER, seen, ())


def test_the_newest_of_those_with_data_is_offered() -> None:
    seen = {"a": host(revision=5), "b": host(revision=9), "c": host(data=False, revision=99)}
    assert newest(seen, "abc") == "b"
    assert newest({"c": GONE}, "abc") == ""


def test_members_that_all_lost_their_data_do_not_begin_an_empty_cluster() -> None:
    with pytest.raises(ApplyError, match="data of all etcd members is gone") as caught:
        refuse_new_beginning({"a": GONE, "b": GONE, "c": bare()}, PEERS)
    assert caught.value.where == "a, b"


@pytest.mark.parametrize(
    "seen",
    [
        {"a": bare(), "b": bare(), "c": bare()},
        {"a": host(data=False, stamped=False), "b": bare(), "c": bare()},  # a beginning that was cut off
        {"a": GONE, "b": host(), "c": GONE},  # decided elsewhere
        {"a": GONE, "b": answering(host()), "c": GONE},
    ],
)
def test_a_first_beginning_is_not_refused(seen: Mapping[str, Observation]) -> None:
    refuse_new_beginning(seen, PEERS)
