"""Changing etcd's members, step by step, with every answer that etcd may give at every step."""

from __future__ import annotations

import json
import re

import pytest
from talks import first, walk

from kprov.plan import etcd_answers as said
from kprov.plan.conversation import Answer
from kprov.plan.etcd_conversations import Joined, joined, needed_of, promoted, quorum_kept, removed
from kprov.values.errors import ApplyError

LIVE = ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
NEW = "https://10.0.0.3:2380"
A = {"ID": 10, "name": "a", "peerURLs": ["https://10.0.0.1:2380"]}
B = {"ID": 11, "name": "b", "peerURLs": ["https://10.0.0.2:2380"]}
LEARNER = {"ID": 12, "peerURLs": [NEW], "isLearner": True}
VOTER = {"ID": 12, "name": "c", "peerURLs": [NEW]}


def members(*rows: dict[str, object]) -> Answer:
    return Answer(code=0, text=json.dumps({"header": {}, "members": rows}))


def refused(words: str) -> Answer:
    """As etcdctl 3.7 prints it: a log line of its client, then the error."""
    log = json.dumps({"level": "warn", "error": f"rpc error: code = Unavailable desc = {words}"})
    return Answer(code=1, words=f"{log}\nError: {words}\n")


SILENT = Answer(code=124, words="")


def test_a_newcomer_is_added_as_a_learner_and_starts_with_all_that_have_a_name() -> None:
    unstarted = {"ID": 13, "peerURLs": ["https://10.0.0.9:2380"], "isLearner": True}
    found, asked = walk(joined("c", NEW, LIVE), members(A, B, unstarted), members(A, B, unstarted, LEARNER))
    assert found == Joined(
        member="c", learner=True, initial="a=https://10.0.0.1:2380,b=https://10.0.0.2:2380,c=https://10.0.0.3:2380"
    )
    endpoints = "--endpoints=https://10.0.0.1:2379,https://10.0.0.2:2379"
    assert asked == [f"{endpoints} member list", f"{endpoints} member add c --learner --peer-urls={NEW}"]


@pytest.mark.parametrize(("row", "learner"), [(LEARNER, True), (VOTER, False)])
def test_a_newcomer_that_the_members_know_is_not_added_again(row: dict[str, object], learner: bool) -> None:
    found, asked = walk(joined("c", NEW, LIVE), members(A, B, row))
    assert (found.member, found.learner, found.initial.split(",")[2]) == ("c", learner, f"c={NEW}")
    assert len(asked) == 1


def test_a_newcomer_whose_addition_was_answered_by_nobody_is_found_in_the_list() -> None:
    found, asked = walk(joined("c", NEW, LIVE), members(A, B), refused(said.URL_EXISTS), members(A, B, LEARNER))
    assert found.learner
    assert [line.split()[2] for line in asked] == ["list", "add", "list"]


def test_an_addition_waits_while_members_are_not_connected_long_enough() -> None:
    talk = joined("c", NEW, LIVE)
    next(talk)
    (add,) = talk.send([members(A, B)])
    assert add.seconds == 30
    assert re.search("|".join(add.again), refused("etcdserver: unhealthy cluster").words)
    assert not re.search("|".join(add.again), refused("etcdserver: too many learner members in cluster").words)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ([SILENT], "etcdctl ended with exit code 124"),
        ([Answer(code=0, text="no JSON")], "etcdctl ended with exit code 0"),
        ([refused("context deadline exceeded")], "context deadline exceeded"),
        ([members(A, B), refused("etcdserver: unhealthy cluster")], "etcdserver: unhealthy cluster"),
        (
            [members(A, B), refused("etcdserver: too many learner members in cluster")],
            "etcdserver: too many learner members in cluster",
        ),
        ([members(A, B), SILENT], "etcdctl ended with exit code 124"),
        ([members(A, B), refused(said.URL_EXISTS), SILENT], "etcdctl ended with exit code 124"),
        ([members(A, B), members(A, B)], "https://10.0.0.1:2380, https://10.0.0.2:2380"),
        ([members(A, B), refused(said.URL_EXISTS), members(A)], "https://10.0.0.1:2380"),
    ],
)
def test_a_newcomer_that_is_not_taken_in_is_an_error_of_that_step(script: list[Answer], found: str) -> None:
    with pytest.raises(ApplyError) as caught:
        walk(joined("c", NEW, LIVE), *script)
    assert caught.value.found == found
    assert caught.value.needed
    assert "run the same command again" in caught.value.todo


NEWCOMER = Joined(member="c", learner=True, initial="")


def test_a_learner_becomes_a_voter_once_it_is_in_sync() -> None:
    (promote,) = first(promoted("c", NEWCOMER, LIVE))
    assert promote.arguments[1:] == ("member", "promote", "c")
    assert promote.seconds == 120
    again = "|".join(promote.again)
    assert re.search(again, refused("etcdserver: can only promote a learner member which is in sync with leader").words)
    assert re.search(again, refused("etcdserver: unhealthy cluster").words)
    assert not re.search(again, refused("etcdserver: can only promote a learner member").words), "a voter already"
    assert not re.search(again, refused("etcdserver: member not found").words)
    assert walk(promoted("c", NEWCOMER, LIVE), members(A, B, VOTER)) == (None, [" ".join(promote.arguments)])


def test_a_voter_is_not_promoted() -> None:
    assert walk(promoted("c", Joined(member="c", learner=False, initial=""), LIVE)) == (None, [])


def test_a_learner_that_was_promoted_before_its_answer_was_lost_is_a_voter() -> None:
    walk(promoted("c", NEWCOMER, LIVE), refused("etcdserver: can only promote a learner member"))


@pytest.mark.parametrize(
    "words",
    [
        "etcdserver: can only promote a learner member which is in sync with leader",
        "etcdserver: member not found",
        "etcdserver: unhealthy cluster",
        "context deadline exceeded",
    ],
)
def test_a_promotion_that_is_refused_ends_it(words: str) -> None:
    with pytest.raises(ApplyError, match="did not become a voter") as caught:
        walk(promoted("c", NEWCOMER, LIVE), refused(words))
    assert caught.value.found == words
    with pytest.raises(ApplyError):
        walk(promoted("c", NEWCOMER, LIVE), SILENT)


def test_a_member_is_removed_by_its_id_and_one_that_is_gone_is_gone() -> None:
    _, asked = walk(removed("old", "8e9e", LIVE), members(A, B))
    assert asked == ["--endpoints=https://10.0.0.1:2379,https://10.0.0.2:2379 member remove 8e9e"]
    walk(removed("old", "8e9e", LIVE), refused("etcdserver: member not found"))
    (remove,) = first(removed("old", "8e9e", LIVE))
    assert re.search("|".join(remove.again), refused("etcdserver: unhealthy cluster").words)
    assert remove.seconds == 30


@pytest.mark.parametrize(
    "answer",
    [
        SILENT,
        refused("etcdserver: unhealthy cluster"),
        refused("etcdserver: re-configuration failed due to not enough started members"),
        refused("bad member ID arg (strconv.ParseUint: parsing)"),
    ],
)
def test_a_removal_that_is_refused_ends_it(answer: Answer) -> None:
    with pytest.raises(ApplyError, match="etcd kept its member old") as caught:
        walk(removed("old", "8e9e", LIVE), answer)
    assert caught.value.found == said.error(answer)


def healths(**states: str) -> Answer:
    """Endpoint → what is wrong, as `endpoint health -w json` prints it; it ends with 1 when one is not healthy."""
    rows = [
        {"endpoint": name, "health": not why, "took": "1ms", **({"error": why} if why else {})}
        for name, why in states.items()
    ]
    return Answer(code=int(any(states.values())), text=json.dumps(rows), words="Error: unhealthy cluster\n")


@pytest.mark.parametrize(("total", "needed"), [(2, 1), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_a_majority_of_all_serves_while_one_restarts(total: int, needed: int) -> None:
    """Of two, both are a majority: there the other one has to serve at least."""
    assert needed_of(total - 1) == needed


@pytest.mark.parametrize(
    ("total", "healthy", "kept"),
    [
        *((2, 1, True), (2, 0, False), (3, 2, True), (3, 1, False)),
        *((5, 4, True), (5, 3, True), (5, 2, False), (5, 0, False)),
    ],
)
def test_a_member_restarts_only_while_the_others_keep_the_quorum(total: int, healthy: int, kept: bool) -> None:
    others = [f"e{number}" for number in range(total - 1)]
    answer = healths(
        **{name: "" if place < healthy else "context deadline exceeded" for place, name in enumerate(others)}
    )
    talk = quorum_kept(others, needed_of(len(others)))
    if kept:
        assert walk(talk, answer)[1] == [f"--endpoints={','.join(others)} endpoint health"]
        return
    with pytest.raises(ApplyError, match="would lose its quorum") as caught:
        walk(talk, answer)
    assert caught.value.found.startswith(f"{healthy} of the other members")
    assert f"e{total - 2}: context deadline exceeded" in caught.value.found
    assert caught.value.needed.startswith(str(needed_of(total - 1)))


def test_a_full_etcd_may_restart_and_a_corrupt_one_may_not() -> None:
    """An alarm is of the whole cluster, so that each member tells it; raising the quota needs restarts."""
    walk(quorum_kept(["e0", "e1"], 2), healths(e0="Active Alarm(s): NOSPACE ", e1="Active Alarm(s): NOSPACE NOSPACE "))
    for alarm in ("Active Alarm(s): CORRUPT ", "Active Alarm(s): NOSPACE CORRUPT ", "Active Alarm(s): "):
        with pytest.raises(ApplyError, match="would lose its quorum"):
            walk(quorum_kept(["e0", "e1"], 2), healths(e0=alarm, e1=""))


@pytest.mark.parametrize(
    "answer", [SILENT, Answer(code=0, text="null"), Answer(code=1, text="[1]", words="Error: x\n")]
)
def test_without_an_answer_about_health_nothing_restarts(answer: Answer) -> None:
    with pytest.raises(ApplyError, match="could not be asked for their health"):
        walk(quorum_kept(["e0"], 1), answer)


def test_the_words_of_etcd_are_told_apart_to_the_last() -> None:
    """One of them begins with another."""
    assert said.error(refused(said.NOT_IN_SYNC)) != said.NOT_A_LEARNER
    assert (
        said.error(Answer(code=1, words=f"Error: rpc error: code = Unavailable desc = {said.UNHEALTHY}"))
        == said.UNHEALTHY
    )
