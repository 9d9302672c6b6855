"""A restore, step by step, with every failure at every step; and what whoever is asked is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from inventory_text import loaded
from observed import bare

from kprov.observe.observation import EtcdMember, EtcdView
from kprov.plan.backup import make_manifest
from kprov.plan.restore import (
    Found,
    Proceed,
    Step,
    Stop,
    prospects,
    refuse_absent,
    refuse_versions,
    restoring,
    revision_bump,
)
from kprov.values.backup import Manifest, Snapshot
from kprov.values.errors import ApplyError, BackupError

CLUSTER = loaded(
    """\
cluster: {name: test, kubernetes: "1.37"}
hosts:
  a: {address: 192.0.2.11, group: control_plane}
  b: {address: 192.0.2.12, group: control_plane}
  w: 192.0.2.21
"""
).cluster
NOW = datetime(2026, 11, 30, 17, 0, tzinfo=UTC)
SNAPSHOT = Snapshot(size=9, sha256="ab", hash=1, revision=100, keys=20, counts={"pods": 3})
MANIFEST = make_manifest(CLUSTER, "id", {}, "a", ["a"], SNAPSHOT, why="x", now=NOW)


def walked(*answers: Mapping[str, str], serves: bool = True, founded: bool = False) -> list[Step]:
    """The steps of a restore, each answered by the next of the script, or well."""
    talk, rest, steps = restoring(["a", "b"], ["a"], serves=serves, founded=founded), list(answers), []
    step = next(talk)
    while True:
        steps.append(step)
        try:
            step = talk.send(rest.pop(0) if rest else {})
        except StopIteration:
            return steps


def test_api_servers_stop_before_etcd_and_everything_starts_in_the_order_of_a_run() -> None:
    assert walked() == [
        Stop(unit="kube-apiserver.service", hosts=("a", "b")),
        Stop(unit="etcd.service", hosts=("a",)),
        Found(),
        Proceed(),
    ]


def test_what_failed_is_not_gone_on_with() -> None:
    assert walked({}, {}, {"a": "its gate did not pass"})[-1] == Found()


def test_api_servers_without_etcd_are_not_waited_for() -> None:
    first, second, *_ = walked(serves=False)
    assert first == Stop(unit="kube-apiserver.service", hosts=("a", "b"), kill=True)
    assert second == Stop(unit="etcd.service", hosts=("a",))


def test_data_that_was_restored_is_not_restored_again() -> None:
    assert walked(founded=True) == [Proceed()]


@pytest.mark.parametrize(
    ("answers", "what", "where"),
    [
        ([{"b": "connection lost"}], "an API server did not stop; no data was touched", "b"),
        ([{}, {"a": "timed out"}], "an etcd member did not stop; no data was touched", "a"),
    ],
)
def test_a_server_that_does_not_stop_ends_it_before_any_data_is_touched(
    answers: list[Mapping[str, str]], what: str, where: str
) -> None:
    with pytest.raises(ApplyError) as caught:
        walked(*answers)
    assert (caught.value.what, caught.value.where) == (what, where)


def beginning(now: datetime, revision: int = 100, present: int = 0) -> int:
    """The revision at which a restored cluster begins."""
    manifest = replace(MANIFEST, snapshot=replace(SNAPSHOT, revision=revision))
    return revision + revision_bump(manifest, present, now)


def test_revisions_go_on_from_the_clock_and_never_back() -> None:
    first = beginning(NOW)
    assert first > 100 + 1_000_000_000
    later = NOW + timedelta(minutes=1)
    assert beginning(later) == first + 60_000
    assert beginning(later, revision=first + 5) == beginning(later), "of whichever life the snapshot is"


def test_a_clock_that_is_behind_takes_no_revision_back() -> None:
    ahead = 10**15
    assert beginning(NOW, revision=ahead) == ahead + 1_000_000_000
    assert beginning(NOW + timedelta(seconds=5), revision=ahead) == ahead + 1_000_005_000, "the same backup again"
    assert beginning(NOW, present=ahead) == ahead + 1_000_000_000


def test_servers_that_do_not_answer_must_be_said_to_be_off() -> None:
    refuse_absent(CLUSTER, ["a", "b"], [])  # a worker that is away takes no part
    refuse_absent(CLUSTER, ["a", "w"], ["b"])
    with pytest.raises(BackupError, match="might still serve") as caught:
        refuse_absent(CLUSTER, ["a"], [])
    assert "--without b" in caught.value.todo
    with pytest.raises(BackupError, match="no etcd host is left"):
        refuse_absent(CLUSTER, ["w"], ["a", "b"])


@pytest.mark.parametrize(
    ("backup", "fits"),
    [("1.37.0", True), ("1.36.9", True), ("1.35.1", False), ("1.38.0", False)],
)
def test_data_of_a_newer_minor_or_of_one_too_old_is_refused(backup: str, fits: bool) -> None:
    manifest = replace(MANIFEST, versions={**MANIFEST.versions, "kubernetes": backup})
    if fits:
        refuse_versions(manifest, CLUSTER, "file")
        return
    with pytest.raises(BackupError, match="version does not fit"):
        refuse_versions(manifest, CLUSTER, "file")


def test_data_of_a_newer_etcd_is_refused() -> None:
    with pytest.raises(BackupError, match="version does not fit"):
        refuse_versions(replace(MANIFEST, versions={**MANIFEST.versions, "etcd": "3.99.0"}), CLUSTER, "file")


def told(revision: int, *, serves: bool = False, manifest: Manifest = MANIFEST) -> list[str]:
    members = (EtcdMember(id="1", name="a", peer_urls=(), learner=False),) if serves else None
    seen = {"a": replace(bare(), etcd=EtcdView(has_data=True, revision=revision, members=members))}
    return list(prospects(manifest, seen, ["a"], NOW + timedelta(hours=3)))


def test_what_is_lost_is_told_before_anything_is_asked() -> None:
    assert told(150)[:2] == [
        "etcd on a begins again with 3 objects, as of 2026-11-30 17:00 UTC (revision 100; taken for: x)",
        "LOST: 50 changes since then (180 min ago), revisions 101 to 150",
    ]
    assert "same revision" in told(100)[1]
    assert told(0)[1] == "LOST: whatever changed since then (180 min ago); no member says how much that is"
    assert "restored in between" in told(10**12)[1]
    assert any("the cluster is alive" in line for line in told(150, serves=True))
    assert not any("alive" in line for line in told(150))


def test_hosts_that_are_off_must_not_come_back_with_the_old_data() -> None:
    one, most = (
        [
            line
            for line in prospects(MANIFEST, {}, members, NOW, without=off)
            if ("b" in line.split(": ")[-1] and "off" in line) or "DANGER" in line
        ]
        for members, off in ((["a", "c"], ["b"]), (["a"], ["b", "c"]))
    )
    assert one == ["b must stay off until `kprov up` can bring it in"]
    assert most[0].startswith("DANGER: b, c are most of the old members")
