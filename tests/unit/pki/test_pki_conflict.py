"""A lost or foreign state folder is noticed before a living cluster is cut off from its CAs."""

from __future__ import annotations

from kprov.pki.conflict import trust_conflict

OURS = {"kubernetes": "a" * 64, "etcd": "b" * 64, "front-proxy": "c" * 64}
THEIRS = {"kubernetes": "d" * 64, "etcd": "e" * 64, "front-proxy": "f" * 64}


def test_fresh_hosts_and_known_hosts_are_no_conflict():
    assert trust_conflict(None, {}) is None
    assert trust_conflict(None, {"cp1": {}, "w1": {}}) is None
    assert trust_conflict(OURS, {"cp1": OURS, "w1": {"kubernetes": OURS["kubernetes"]}, "new": {}}) is None


def test_a_lost_folder_is_told_from_a_new_cluster():
    error = trust_conflict(None, {"cp1": OURS, "w1": {}})
    assert error is not None
    assert error.where == "cp1"
    assert "a" * 16 in error.found
    assert "backup" in error.todo
    assert "kprov down" in error.todo


def test_a_folder_of_another_cluster():
    error = trust_conflict(OURS, {"cp2": THEIRS, "cp1": THEIRS})
    assert error is not None
    assert error.where == "cp1, cp2"
    assert "not those of the cluster" in error.what
    assert "d" * 16 in error.found
    assert "a" * 16 in error.needed
    assert "backup" in error.todo


def test_one_authority_that_differs_is_enough():
    error = trust_conflict(OURS, {"cp1": {**OURS, "etcd": THEIRS["etcd"]}})
    assert error is not None
    assert error.found == f"cp1: etcd CA {'e' * 16}…"


def test_a_host_of_another_cluster_among_ours_does_not_blame_the_folder():
    error = trust_conflict(OURS, {"cp1": OURS, "w9": THEIRS})
    assert error is not None
    assert error.where == "w9"
    assert "another cluster" in error.what
    assert "cp1" in error.needed
    assert "kprov down --limit" in error.todo
