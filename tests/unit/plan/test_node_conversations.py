"""Draining nodes and opening them again, step by step, with every answer that a cluster may give at every step."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from talks import answering, first, walk

from kprov.plan.conversation import Answer, Request
from kprov.plan.node_conversations import drained, opened, reopened
from kprov.values.errors import ApplyError

SILENT = Answer(
    code=1, words="The connection to the server 127.0.0.1:6443 was refused - did you specify the right host?\n"
)
DONE = Answer(code=0, text="done\n")


def listed(*items: dict[str, Any]) -> Answer:
    return Answer(code=0, text=json.dumps({"kind": "List", "items": items}))


def node(name: str, *, closed: bool = False, mark: str = "", ready: str = "True", message: str = "",
         version: str = "v1.37.2", runtime: str = "containerd://2.3.7") -> dict[str, Any]:  # fmt: skip
    return {
        "kind": "Node",
        "metadata": {"name": name, "annotations": {"kprov.io/cordoned": mark} if mark else {}},
        "spec": {"unschedulable": True} if closed else {},
        "status": {
            "nodeInfo": {"kubeletVersion": version, "containerRuntimeVersion": runtime},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": ready, "message": message},
            ],
        },
    }  # fmt: skip


def pod(name: str, owner: str = "ReplicaSet", **meta: Any) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "x", "controller": True}] if owner else []
    return {
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": owners, **meta},
        "status": {"phase": "Running"},
    }


def budget(name: str, allowed: int, **selector: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }


def patches(asked: list[str]) -> list[str]:
    return [line for line in asked if line.startswith("patch")]


def test_nodes_are_cordoned_with_a_mark_and_drained_side_by_side() -> None:
    talk = drained(["w1", "w2"], 300)
    next(talk)
    requests = talk.send([listed(node("w1"), node("w2")), listed(pod("a")), listed()])
    *patched, drain = requests
    assert [request.arguments[:3] for request in patched] == [("patch", "node", "w1"), ("patch", "node", "w2")]
    patch = {"metadata": {"annotations": {"kprov.io/cordoned": "upgrade"}}, "spec": {"unschedulable": True}}
    assert [json.loads(request.arguments[-2]) for request in patched] == [patch, patch]
    assert (drain.arguments[0], drain.each, drain.seconds) == ("drain", ("w1", "w2"), 300)
    assert "--force" not in drain.arguments
    assert "--disable-eviction" not in drain.arguments, "budgets are respected"
    assert re.search("|".join(drain.again), "whatever it says")


def test_a_node_that_a_user_cordoned_gets_no_mark_of_ours() -> None:
    _, asked = walk(drained(["w1"], 300), (listed(node("w1", closed=True)), listed()), DONE)
    assert patches(asked) == []


def test_a_node_that_is_not_there_has_nothing_to_be_drained_of() -> None:
    _, asked = walk(drained(["w1"], 300), (Answer(code=0, text=""), listed()))
    assert [line.split()[0] for line in asked] == ["get", "get"]
    assert "--ignore-not-found" in asked[0], "kubectl would fail, and a farewell that was cut off could never go on"
    _, asked = walk(drained(["w1", "w2"], 300), (listed(node("w2")), listed(), listed()), (DONE, DONE))
    assert [line.split()[2] for line in patches(asked)] == ["w2"]


LOST = [pod("bare", ""), pod("owned-by-nobody-in-charge", "", ownerReferences=[{"kind": "Node", "name": "w1"}])]
KEPT = [
    pod("mirror", "", annotations={"kubernetes.io/config.mirror": "x"}),
    pod("agent", "DaemonSet"),
    {**pod("ended", ""), "status": {"phase": "Succeeded"}},
    {**pod("broken", ""), "status": {"phase": "Failed"}},
    pod("web"),
]


def test_pods_that_nothing_would_make_again_end_it_before_anything_is_cordoned() -> None:
    with pytest.raises(ApplyError, match="cannot drain w1") as caught:
        walk(drained(["w1"], 300), (listed(node("w1")), listed(*LOST, *KEPT)))
    assert caught.value.found == "pods that nothing would make again: shop/bare, shop/owned-by-nobody-in-charge"
    walk(drained(["w1"], 300), (listed(node("w1")), listed(*KEPT)), (DONE, DONE))
    lost, asked = walk(drained(["w1"], 300, force=True), (listed(node("w1")), listed(*LOST)), (DONE, DONE))
    assert all(one["metadata"]["name"] in lost for one in LOST), "what goes for good is told"
    assert "--force" in asked[-1]


def test_many_pods_are_not_all_named() -> None:
    with pytest.raises(ApplyError) as caught:
        walk(drained(["w1"], 300), (listed(node("w1")), listed(*(pod(f"p{number}", "") for number in range(20)))))
    assert caught.value.found.endswith("shop/p7 and 12 more")


def test_a_drain_that_time_ended_names_pods_and_the_budgets_that_keep_them() -> None:
    failed = Answer(code=1, words='error: unable to drain node "w1" …\n')
    web, other = pod("web-0", labels={"app": "web", "tier": "front"}), pod("db-0", labels={"app": "db"})
    budgets = [
        budget("web", 0, matchLabels={"app": "web"}),
        budget("front", 0, matchExpressions=[{"key": "tier", "operator": "In", "values": ["front", "back"]}]),
        budget("allows", 1, matchLabels={"app": "db"}),
        budget("not-front", 0, matchExpressions=[{"key": "tier", "operator": "NotIn", "values": ["front"]}]),
        budget("none", 0, matchExpressions=[{"key": "app", "operator": "DoesNotExist"}]),
        {**budget("other", 0), "metadata": {"name": "other", "namespace": "another"}},
    ]  # fmt: skip
    again = (listed(node("w1")), listed(web, other, pod("agent", "DaemonSet")))
    with pytest.raises(ApplyError, match="cannot drain w1 within 300 s") as caught:
        walk(drained(["w1"], 300), (listed(node("w1")), listed(web)), (DONE, failed), again, listed(*budgets))
    assert caught.value.found == (
        "kept where they are: shop/web-0 by the disruption budget shop/web; "
        "shop/web-0 by the disruption budget shop/front; shop/db-0 by the disruption budget shop/not-front"
    )
    assert "minAvailable" in caught.value.todo
    assert caught.value.log == failed.words


def test_a_drain_that_time_ended_without_a_budget_names_what_is_still_there() -> None:
    failed = Answer(code=1, words="error: unable to drain node\n")
    again = (listed(node("w1")), listed(pod("slow"), pod("agent", "DaemonSet")))
    with pytest.raises(ApplyError) as caught:
        walk(drained(["w1"], 300), (listed(node("w1")), listed()), (DONE, failed), again, listed())
    assert caught.value.found == "still there: shop/slow"
    with pytest.raises(ApplyError) as caught:
        walk(
            drained(["w1"], 300), (listed(node("w1")), listed()), (DONE, failed), (listed(node("w1")), listed()), SILENT
        )
    assert caught.value.found == "error: unable to drain node"


@pytest.mark.parametrize(
    "script",
    [
        [SILENT],
        [(listed(node("w1")), SILENT)],
        [(Answer(code=0, text="no JSON"), listed())],
        [(listed(node("w1")), Answer(code=0, text="{}"))],
        [(listed(node("w1")), listed()), SILENT],
        [(listed(node("w1")), listed()), (DONE, SILENT), SILENT],
    ],
)
def test_a_cluster_that_does_not_answer_ends_a_drain_at_that_step(script: list[Any]) -> None:
    with pytest.raises(ApplyError) as caught:
        walk(drained(["w1"], 300), *script)
    assert caught.value.found
    assert "run the same command again" in caught.value.todo


def test_a_node_that_cannot_be_cordoned_is_named_and_none_is_drained() -> None:
    forbidden = Answer(code=1, words='Error from server (Forbidden): nodes "w2" is forbidden\n')
    with pytest.raises(ApplyError, match="cannot cordon w2") as caught:
        walk(drained(["w1", "w2"], 300), (listed(node("w1"), node("w2")), listed(), listed()), (DONE, forbidden))
    assert caught.value.found == 'nodes "w2" is forbidden'


def test_a_webhook_that_nobody_answers_for_is_named_with_the_way_out() -> None:
    words = (
        'Error from server (InternalError): Internal error occurred: failed calling webhook "gate.example":'
        ' failed to call webhook: Post "https://gate.x.svc:443/": no endpoints available for service "gate"\n'
    )
    with pytest.raises(ApplyError, match="cannot cordon w1") as caught:
        walk(drained(["w1"], 300, force=True), (listed(node("w1")), listed()), Answer(code=1, words=words))
    assert "the webhook gate.example was asked first" in caught.value.found
    assert 'no endpoints available for service "gate"' in caught.value.found
    assert "kubectl delete KIND NAME" in caught.value.todo


def test_only_nodes_that_kprov_cordoned_are_opened() -> None:
    nodes = listed(node("w1", closed=True, mark="upgrade"), node("w2", closed=True), node("w3"))
    _, asked = walk(opened(["w1", "w2", "w3"]), nodes, DONE)
    (patch,) = patches(asked)
    assert patch.split()[2] == "w1"
    assert json.loads(patch.split()[-2]) == {
        "metadata": {"annotations": {"kprov.io/cordoned": None}},
        "spec": {"unschedulable": None},
    }
    _, asked = walk(opened(["w2"]), listed(node("w2", closed=True)))
    assert patches(asked) == []


@pytest.mark.parametrize("script", [[SILENT], [listed(node("w1", closed=True, mark="upgrade")), SILENT]])
def test_a_cluster_that_does_not_answer_leaves_a_node_as_it_is(script: list[Answer]) -> None:
    with pytest.raises(ApplyError):
        walk(opened(["w1"]), *script)


def test_a_node_is_opened_only_when_its_new_kubelet_and_runtime_are_ready() -> None:
    version, ready, _ = first(reopened(["w1"], "1.37.2", {"w1": "cri-o://"}))
    assert version.arguments[:3] == ready.arguments[:3] == ("get", "node", "w1")
    assert re.search(version.until, "v1.37.2 cri-o://1.37.0")
    assert not re.search(version.until, "v1.37.2 containerd://2.3.7")
    assert not re.search(version.until, "v1.37x2 cri-o://1.37.0")
    assert re.search(ready.until, "True")
    assert not re.search(ready.until, "Unknown")
    assert (version.seconds, ready.seconds) == (180, 180)
    back = node("w1", closed=True, mark="upgrade", runtime="cri-o://1.37.0")
    _, asked = walk(reopened(["w1"], "1.37.2", {"w1": "cri-o://"}), (DONE, DONE, listed(back)), DONE)
    assert len(patches(asked)) == 1


NOT_NETWORKED = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (node("w1", version="v1.36.0"), "w1 runs kubelet v1.36.0"),
        (node("w1", runtime="containerd://2.3.7"), "w1 runs containerd://2.3.7"),
        (
            node("w1", runtime="cri-o://1", ready="False", message="PLEG is not healthy"),
            "w1 is not Ready: PLEG is not healthy",
        ),
        (node("w1", runtime="cri-o://1", ready="Unknown"), "w1 is not Ready: it has not reported yet"),
        (node("w1", runtime="cri-o://1", ready="False", message=NOT_NETWORKED), f"w1 is not Ready: {NOT_NETWORKED}"),
    ],
)
def test_a_node_that_does_not_come_back_is_named_and_stays_cordoned(state: dict[str, Any], found: str) -> None:
    fine = node("w2")
    # It ends with the first that does not become what is waited for; the nodes tell why.
    script = ((Answer(code=0, text="no"),), listed(state, fine))
    with pytest.raises(ApplyError, match="did not come back") as caught:
        walk(reopened(["w1", "w2"], "1.37.2", {"w1": "cri-o://"}), *script)
    assert caught.value.found == found


def test_a_node_that_waits_for_the_users_own_network_is_opened_as_it_was() -> None:
    waiting = node("w1", closed=True, mark="upgrade", ready="False", message=NOT_NETWORKED)
    only, _ = first(reopened(["w1"], "1.37.2", {}, ["w1"]))
    assert "kubeletVersion" in only.arguments[-2]
    _, asked = walk(reopened(["w1"], "1.37.2", {}, ["w1"]), (DONE, listed(waiting)), DONE)
    assert len(patches(asked)) == 1


@pytest.mark.parametrize(
    "script", [[SILENT, SILENT], [SILENT, listed()], [(DONE, DONE, SILENT)], [(DONE, DONE, listed(node("w2")))]]
)
def test_a_node_that_nobody_tells_of_is_not_opened(script: list[Any]) -> None:
    with pytest.raises(ApplyError):
        walk(reopened(["w1"], "1.37.2", {}), *script)


def test_a_server_that_starts_is_asked_again() -> None:
    asked: list[Request] = []
    answering(lambda request: asked.append(request) or listed(node("w1")), opened(["w1"]))  # type: ignore[func-returns-value]
    again = "|".join(asked[0].again)
    for words in (
        SILENT.words,
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
        'Error from server (InternalError): Internal error occurred: failed calling webhook "x": no endpoints',
    ):
        assert re.search(again, words), words
    for words in (
        'Error from server (NotFound): nodes "w1" not found',
        "Error from server (Conflict): x",
        "error: unknown flag",
    ):
        assert not re.search(again, words), words
