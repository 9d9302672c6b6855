"""etcd membership: who founds, joins, leaves; and when kprov refuses rather than lose data or quorum."""

from __future__ import annotations

import pytest

from kprov.observe.observation import EtcdMember, EtcdView
from kprov.plan.etcd import Membership, Peer, decide, initial_cluster
from kprov.values.errors import ApplyError


def peer(name: str) -> Peer:
    return Peer(name=name, peer_url=f"https://{name}:2380", client_url=f"https://{name}:2379")


def member(name: str, *, started: bool = True, learner: bool = False) -> EtcdMember:
    return EtcdMember(
        id=f"id-{name}", name=name if started else "", peer_urls=(f"https://{name}:2380",), learner=learner
    )


A, B, C = peer("a"), peer("b"), peer("c")
NOTHING = EtcdView()


def living(*members: EtcdMember) -> EtcdView:
    return EtcdView(has_data=True, members=members)


def test_a_new_cluster_is_founded_by_all_at_once() -> None:
    assert decide([A, B, C], dict.fromkeys("abc", NOTHING)) == Membership(bootstrap=("a", "b", "c"))


def test_a_settled_cluster_needs_nothing() -> None:
    view = living(member("a"), member("b"), member("c"))
    decided = decide([A, B, C], dict.fromkeys("abc", view))
    assert decided.empty
    assert decided.live == (A.client_url, B.client_url, C.client_url)


def test_a_new_host_joins_through_whoever_lives_and_not_through_the_first() -> None:
    view = living(member("b"), member("c"))
    decided = decide([A, B, C], {"a": NOTHING, "b": view, "c": view})
    assert decided.join == ("a",)
    assert decided.live == (B.client_url, C.client_url)


def test_a_join_that_was_cut_off_goes_on() -> None:
    view = living(member("a"), member("b", started=False))
    assert decide([A, B], {"a": view, "b": NOTHING}).join == ("b",)


def test_a_learner_is_still_joining_and_answers_for_nobody() -> None:
    view = living(member("a"), member("b", learner=True))
    decided = decide([A, B], {"a": view, "b": view})
    assert decided.join == ("b",)
    assert decided.live == (A.client_url,)


def test_a_member_that_started_but_was_not_settled_is_only_settled() -> None:
    view = EtcdView(has_data=True, joining=True, members=(member("a"),))
    assert decide([A], {"a": view}) == Membership(settle=("a",), live=(A.client_url,))


def test_a_member_that_the_inventory_does_not_have_leaves() -> None:
    view = living(member("a"), member("x"))
    assert [gone.name for gone in decide([A], {"a": view}).remove] == ["x"]


def test_a_member_without_its_data_is_never_started_empty() -> None:
    view = living(member("a"), member("b"))
    with pytest.raises(ApplyError, match="data directory is empty"):
        decide([A, B], {"a": view, "b": NOTHING})


def test_a_founding_that_was_cut_off_goes_on_with_the_same_list() -> None:
    cut = EtcdView(has_data=True, joining=True)
    assert decide([A, B, C], {"a": cut, "b": NOTHING, "c": NOTHING}).bootstrap == ("a", "b", "c")


def test_stopped_members_with_their_data_are_only_started() -> None:
    stopped = EtcdView(has_data=True)
    assert decide([A, B, C], dict.fromkeys("abc", stopped)).empty


def test_stopped_members_come_before_the_one_that_joins_them() -> None:
    stopped = EtcdView(has_data=True)
    decided = decide([A, B, C], {"a": stopped, "b": stopped, "c": NOTHING})
    assert decided.join == ("c",)
    assert decided.live == (A.client_url, B.client_url)


def test_a_minority_with_data_founds_no_second_cluster() -> None:
    with pytest.raises(ApplyError, match="most of them have no data"):
        decide([A, B, C], {"a": EtcdView(has_data=True), "b": NOTHING, "c": NOTHING})


def test_the_initial_cluster_is_etcds_flag() -> None:
    assert initial_cluster([A, B]) == "a=https://a:2380,b=https://b:2380"


def test_a_host_with_data_that_no_member_knows_joins_without_it() -> None:
    view = living(member("b"), member("c"))
    decided = decide([A, B, C], {"a": EtcdView(has_data=True), "b": view, "c": view})
    assert (decided.join, decided.stale) == (("a",), ("a",))


def test_a_join_that_was_cut_off_keeps_the_data_it_has() -> None:
    view = living(member("a"), member("b", learner=True))
    assert decide([A, B], {"a": view, "b": EtcdView(has_data=True)}).stale == ()


def test_hosts_of_two_clusters_are_refused() -> None:
    old = living(
        *(EtcdMember(id=f"old-{name}", name=name, peer_urls=(f"https://{name}:2380",), learner=False) for name in "abc")
    )
    with pytest.raises(ApplyError, match="of two clusters") as caught:
        decide([A, B, C], {"a": old, "b": old, "c": living(member("c"))})
    assert caught.value.found == "a, b together; c together"
