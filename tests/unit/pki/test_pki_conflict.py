"""A lost or foreign state folder is noticed before a living cluster is cut off from its CAs."""

from __future__ import annotations

from collections.abc import Mapping

from kprov.pki.conflict import Fingerprints, keys_conflict, trust_conflict
from kprov.values.certificate import Authority


def prints(letters: str) -> Fingerprints:
    names: tuple[Authority, ...] = ("kubernetes", "etcd", "front-proxy")
    found: Mapping[Authority, frozenset[str]] = {
        name: frozenset({letter * 64}) for name, letter in zip(names, letters, strict=True)
    }
    return found


OURS, THEIRS = prints("abc"), prints("def")


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


def test_a_host_that_trusts_one_of_several_that_we_know_is_ours():
    both = {name: OURS[name] | THEIRS[name] for name in OURS}
    assert trust_conflict(both, {"cp1": OURS, "cp2": both, "w1": THEIRS}) is None


def test_a_copy_from_before_another_ca_was_made_is_told_as_such():
    error = trust_conflict(OURS, {"cp1": {name: OURS[name] | THEIRS[name] for name in OURS}, "w1": OURS})
    assert error is not None
    assert error.where == "cp1"
    assert "older copy" in error.what
    assert "d" * 16 in error.found
    assert "--state-only" in error.todo


def test_keys_of_tokens_that_the_folder_does_not_know_are_those_of_a_newer_one():
    assert keys_conflict(frozenset({"a", "b"}), {"cp1": frozenset({"a"}), "cp2": frozenset()}) is None
    error = keys_conflict(frozenset({"a"}), {"cp1": frozenset({"a"}), "cp2": frozenset({"a", "b"})})
    assert error is not None
    assert error.where == "cp2"
    assert "older copy" in error.what
