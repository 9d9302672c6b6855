"""What a backup is taken from and what is counted in it; which differences a trial finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from inventory_text import loaded
from observed import bare

from kprov.observe.observation import EtcdMember, EtcdView, Observation, UnitState
from kprov.observe.surroundings import Surroundings
from kprov.plan.backup import Restored, count, disagreements, kind_of, make_manifest, member_to_ask, refuse_foreign
from kprov.values.backup import Snapshot, decode, encode
from kprov.values.errors import BackupError

THREE = loaded(
    """\
cluster: {name: test}
hosts:
  a: {address: 192.0.2.11, group: control_plane}
  b: {address: 192.0.2.12, group: control_plane}
  c: {address: 192.0.2.13, group: control_plane}
"""
).cluster
MEMBERS = tuple(EtcdMember(id=name, name=name, peer_urls=(), learner=False) for name in "abc")
WELL = replace(bare(), etcd=EtcdView(has_data=True, members=MEMBERS))
ALONE = replace(
    bare(),
    etcd=EtcdView(has_data=True),
    units={
        "etcd.service": UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True, sub="running")
    },
)
FULL = replace(WELL, surroundings=Surroundings(etcd="ALARM NOSPACE"))
SNAPSHOT = Snapshot(size=9, sha256="ab", hash=1, revision=100, keys=20, counts={"pods": 3, "secrets": 1})
NOW = datetime(2026, 11, 30, 17, 0, 0, 5, tzinfo=UTC)
MANIFEST = make_manifest(THREE, "id", {"etcd": "f"}, "a", ["a", "b"], SNAPSHOT, why="asked for", now=NOW)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("/registry/pods/default/web-1", "pods"),
        ("/registry/namespaces/default", "namespaces"),
        ("/registry/services/specs/default/kubernetes", "services/specs"),
        ("/registry/services/endpoints/default/kubernetes", "services/endpoints"),
        ("/registry/apiregistration.k8s.io/apiservices/v1.apps", "apiregistration.k8s.io/apiservices"),
        ("/registry/example.com/widgets/team/one", "example.com/widgets"),
        ("/registry/health", ""),
        ("compact_rev_key", ""),
        ("", ""),
    ],
)
def test_a_key_is_of_a_kind(key: str, kind: str) -> None:
    assert kind_of(key) == kind


def test_objects_are_counted_by_kind_and_other_keys_are_none() -> None:
    keys = ["/registry/pods/a/1", "/registry/pods/b/1", "/registry/nodes/n", "compact_rev_key"]
    assert count(keys) == {"nodes": 1, "pods": 2}


@pytest.mark.parametrize(
    ("seen", "asked"),
    [
        ({"a": WELL, "b": WELL, "c": WELL}, "c"),
        ({"a": WELL, "b": WELL, "c": FULL}, "b"),
        ({"a": FULL, "b": bare(), "c": bare()}, "a"),
        ({"a": WELL}, "a"),
    ],
)
def test_a_healthy_member_is_asked_and_a_full_one_only_when_no_other_answers(
    seen: Mapping[str, Observation], asked: str
) -> None:
    assert member_to_ask(THREE, seen) == asked


def test_without_a_member_that_answers_there_is_no_backup() -> None:
    with pytest.raises(BackupError, match="no etcd member answers") as caught:
        member_to_ask(THREE, {"a": ALONE, "b": bare()})
    assert caught.value.found == "a: data, its unit is active (running), b: no data"
    with pytest.raises(BackupError, match="no etcd member answers"):
        member_to_ask(THREE, {})


def test_a_member_that_is_named_is_asked_alone_as_it_is_but_not_without_data() -> None:
    assert member_to_ask(THREE, {"a": ALONE, "b": bare()}, "a") == "a"
    for name in ("b", "c"):
        with pytest.raises(BackupError, match=f"no etcd member with data on {name}"):
            member_to_ask(THREE, {"a": ALONE, "b": bare()}, name)


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    assert MANIFEST.made.microsecond == 0
    assert decode(encode(MANIFEST), "x") == MANIFEST
    assert (MANIFEST.snapshot.objects, MANIFEST.versions["etcd"]) == (4, THREE.versions["etcd"])


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"format": 1}', b'{"format": 1, "snapshot": 3}'])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(BackupError):
        decode(content, "x")


def test_a_backup_of_another_cluster_is_refused_also_when_it_has_the_same_name() -> None:
    refuse_foreign(MANIFEST, "test", "id", "file")
    with pytest.raises(BackupError, match="of another cluster") as caught:
        refuse_foreign(MANIFEST, "test", "other", "file")
    assert (caught.value.where, caught.value.found) == ("file", "cluster test, identity id")


SAME = Restored(hash=1, revision=100, keys=20, counts={"pods": 3, "secrets": 1}, secret="default/s")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"hash": 2}, ["etcd's hash is 2, and was 1"]),
        ({"revision": 99}, ["the revision is 99, and was 100"]),
        ({"keys": 19}, ["the number of keys is 19, and was 20"]),
        ({"counts": {"pods": 2, "secrets": 1}}, ["there are 2 of pods, and were 3"]),
        ({"counts": {"pods": 3}}, ["there are 0 of secrets, and were 1"]),
        ({"counts": {**SAME.counts, "nodes": 1}}, ["there are 1 of nodes, and were 0"]),
        ({"readable": False}, ["the Secret default/s does not open with the encryption key of this backup"]),
    ],
)
def test_each_difference_is_told(change: Mapping[str, Any], said: list[str]) -> None:
    assert list(disagreements(MANIFEST, replace(SAME, **change))) == said
