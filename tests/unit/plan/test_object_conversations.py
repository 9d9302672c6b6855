"""Objects of kprov's own, namespaces, registration and a cloud's nodes: with every answer that a cluster may give."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from talks import remarks, walk

from kprov.objects.objects import Identity
from kprov.plan import object_conversations as ask
from kprov.plan.conversation import Answer, Refused, Remark, Request, Talk
from kprov.plan.steps import Step, in_turn
from kprov.values.errors import ApplyError

SENT: tuple[Identity, ...] = (("", "ConfigMap", "ns", "settings"),)
DONE = Answer(code=0)
FORBIDDEN = Answer(code=1, words='Error from server (Forbidden): configmaps "x" is forbidden\n')


def talk(*steps: Step) -> Talk[None]:
    return in_turn(steps)


def listed(*items: dict[str, Any]) -> Answer:
    return Answer(code=0, text=json.dumps({"kind": "List", "items": items}))


def test_objects_of_kprovs_own_take_what_others_own_and_a_refusal_ends_all() -> None:
    step = ask.apply_objects("Kubernetes objects", b"kind: A", SENT)
    _, asked = walk(talk(step), DONE)
    assert "--force-conflicts --field-manager=kprov" in asked[0]
    assert (step.request.stdin, step.request.changes) == (b"kind: A", True)
    assert re.search("|".join(step.request.again), FORBIDDEN.words), "rights may not have been read yet"
    with pytest.raises(ApplyError) as caught:
        walk(talk(step, step), FORBIDDEN)
    assert "is forbidden" in caught.value.found


def test_what_a_request_carries_is_not_in_its_text() -> None:
    assert "hunter2" not in repr(ask.apply_objects("x", b"hunter2", ()).request)


def test_the_list_of_objects_is_written_only_where_there_is_none() -> None:
    step, after = ask.write_first_list(b"kind: ConfigMap"), ask.apply_objects("x", b"", ())
    _, asked = walk(talk(step, after), Answer(code=0, text="configmap/kprov-objects\n"), DONE)
    assert [line.split()[0] for line in asked] == ["get", "apply"]
    _, asked = walk(talk(step, after), DONE, (DONE, DONE))
    assert [line.split()[0] for line in asked] == ["get", "apply", "apply"]
    with pytest.raises(ApplyError, match="could not be looked for"):
        walk(talk(step, after), FORBIDDEN)


def test_a_namespace_with_claims_is_not_deleted() -> None:
    claim = {"metadata": {"namespace": "ns", "name": "data"}}
    other = {"metadata": {"namespace": "other", "name": "data"}}
    steps = (ask.keep_volumes(["ns"]), ask.delete_objects("objects to prune", b""))
    with pytest.raises(ApplyError) as caught:
        walk(talk(*steps), listed(claim, other))
    assert caught.value.found == "ns/data"
    assert "--delete-data" in caught.value.todo
    _, asked = walk(talk(*steps), listed(other), DONE)
    assert [line.split()[0] for line in asked] == ["get", "delete"]
    with pytest.raises(ApplyError, match="could not be asked"):
        walk(talk(*steps), FORBIDDEN)
    with pytest.raises(ApplyError, match="could not be deleted"):
        walk(talk(*steps), listed(), FORBIDDEN)


def told(step: Step, **answers: Answer) -> list[Remark | Refused]:
    """What a step tells; answers by verb."""

    def reply(request: Request) -> Answer:
        return answers[request.arguments[0]]

    return remarks(talk(step, Step(request=step.request, judge=lambda _: (), group="other")), reply)


LATE = Answer(code=1, words="error: timed out waiting for the condition on namespaces/ns\n")


def test_a_namespace_that_stays_is_told_with_what_its_controller_says() -> None:
    step = ask.await_end("ns", "Namespace ns gone")
    assert told(step, wait=DONE) == []
    assert told(step, wait=LATE, get=DONE) == [], "gone in the last moment"
    conditions = [{"status": "True", "message": "some resources remain"}, {"status": "False", "message": "not this"}]
    space = Answer(
        code=0, text=json.dumps({"kind": "Namespace", "metadata": {"name": "ns"}, "status": {"conditions": conditions}})
    )
    (row,) = told(step, wait=LATE, get=space)
    assert isinstance(row, Refused)
    assert row.found == "namespace ns is still there: some resources remain"
    (row,) = told(step, wait=LATE, get=FORBIDDEN)
    assert isinstance(row, Refused)
    assert "is forbidden" in row.found


WITHOUT = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("w1 True ok\nw2 True ok\n", ""),
        (f"w1 True ok\nw2 False {WITHOUT}\n", "registered, and NotReady until your pod network is there"),
    ],
)
def test_nodes_are_registered_when_they_lack_nothing_but_the_users_network(table: str, told: str) -> None:
    step = ask.await_registration(["w1", "w2"])
    found = remarks(talk(step), lambda _: Answer(code=0, text=table))
    assert [one.text[: len(told)] for one in found if isinstance(one, Remark)] == ([told] if told else [])
    assert all(re.search(step.request.until, line) for line in table.splitlines())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(code=0, text="w1 True ok\nw2 False PLEG is not healthy\n"), "w2: PLEG is not healthy"),
        (Answer(code=0, text=f"w1 False {WITHOUT}\n"), "w2: there is no such node"),
        (Answer(code=0, text="w1 True ok\nw2 Unknown\n"), "w2: it has not reported yet"),
        (Answer(code=1, words='Error from server (NotFound): nodes "w2" not found\n'), 'nodes "w2" not found'),
    ],
)
def test_a_node_that_is_unready_for_another_reason_is_told(answer: Answer, found: str) -> None:
    step = ask.await_registration(["w1", "w2"])
    with pytest.raises(ApplyError) as caught:
        walk(talk(step), answer)
    assert found in caught.value.found
    lines = answer.text.splitlines()
    assert len(lines) < 2 or not all(re.search(step.request.until, line) for line in lines)


def test_nodes_that_a_cloud_has_not_taken_over_are_told_with_its_controllers_words() -> None:
    step = ask.await_takeover("cloud-x")
    answers = {"logs": Answer(code=0, text="no credentials\n")}
    assert told(step, get=Answer(code=0, text="."), **answers) == []
    (row,) = told(step, get=Answer(code=0, text="w1\nw2\n."), **answers)
    assert isinstance(row, Refused)
    assert row.found.endswith("w1, w2")
    assert row.log == "no credentials\n"
    with pytest.raises(ApplyError):
        walk(talk(step), FORBIDDEN)
