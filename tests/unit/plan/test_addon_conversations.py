"""Add-ons, step by step: what is refused, made again, waited for and given up, and that none stops another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from talks import remarks

from kprov.objects.objects import Identity
from kprov.plan.addon_conversations import Awaited, apply_addon, await_ready
from kprov.plan.conversation import Answer, Refused, Request
from kprov.plan.steps import Step, in_turn

DONE = Answer(code=0)
CONFLICT = Answer(
    code=1, words='error: Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas\n'
)
IMMUTABLE = Answer(
    code=1, words='The Deployment "web" is invalid: spec.selector: Invalid value: {}: field is immutable\n'
)
LATE = Answer(code=1, words="error: timed out waiting for the condition\n")
SENT: tuple[Identity, ...] = (("apps", "Deployment", "ns", "web"),)
ROW = Awaited(addon="one", kind="deployment", namespace="ns", name="web")

Reply = Callable[[Request], Answer]


def script(**answers: list[Answer]) -> Reply:
    """Answers of each verb in turn, the last one again and again."""

    def reply(request: Request) -> Answer:
        given = answers.get(request.arguments[0], [DONE])
        return given.pop(0) if len(given) > 1 else given[0]

    return reply


def refused(*steps: Step, reply: Reply) -> list[Refused]:
    return [one for one in remarks(in_turn(steps), reply) if isinstance(one, Refused)]


def asked(*steps: Step, reply: Reply) -> list[str]:
    """The verb of each request."""
    heard: list[str] = []

    def listening(request: Request) -> Answer:
        heard.append(request.arguments[0])
        return reply(request)

    remarks(in_turn(steps), listening)
    return heard


def test_an_add_on_leaves_to_others_what_they_own_and_is_told_when_it_is_refused() -> None:
    step = apply_addon("one", b"kind: A", SENT)
    assert "--force-conflicts" not in step.request.arguments
    assert refused(step, reply=script()) == []
    (row,) = refused(step, reply=script(apply=[CONFLICT]))
    assert (row.about, row.found.partition(":")[0]) == ("add-on one", "Deployment ns/web")


def test_one_that_is_refused_is_not_waited_for_and_stops_no_other() -> None:
    steps = (apply_addon("one", b"", SENT), apply_addon("two", b"", SENT), await_ready(ROW))
    rows = refused(*steps, reply=script(apply=[CONFLICT, DONE]))
    assert [row.about for row in rows] == ["add-on one"]
    assert asked(*steps, reply=script(apply=[CONFLICT, DONE])) == ["apply", "apply"]


def test_all_goes_in_one_exec_while_nothing_is_refused() -> None:
    steps = (apply_addon("one", b"", SENT), apply_addon("two", b"", SENT), await_ready(ROW))
    talk = in_turn(steps)
    assert len(next(talk)) == 3
    try:
        talk.send([DONE, DONE, DONE])
    except StopIteration:
        return
    raise AssertionError("it asks more")


def test_what_cannot_be_changed_is_made_again_only_where_that_was_allowed() -> None:
    assert asked(apply_addon("one", b"", SENT), reply=script(apply=[IMMUTABLE, DONE])) == ["apply"]
    again = apply_addon("one", b"", SENT, b"kind: Deployment")
    assert asked(again, reply=script(apply=[IMMUTABLE, DONE])) == ["apply", "delete", "apply"]
    assert asked(again, reply=script(apply=[CONFLICT])) == ["apply"], "only what is immutable is deleted"
    assert len(refused(again, reply=script(apply=[IMMUTABLE]))) == 1, "it is deleted once"
    (row,) = refused(again, reply=script(apply=[IMMUTABLE], delete=[LATE]))
    assert "timed out" in row.found
    assert asked(again, reply=script(apply=[IMMUTABLE], delete=[LATE])) == ["apply", "delete"]


def workload(available: int, generation: int = 2) -> Answer:
    return Answer(
        code=0,
        text=json.dumps(
            {
                "kind": "Deployment",
                "metadata": {"name": "web", "generation": 2},
                "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}},
                "status": {
                    "observedGeneration": generation,
                    "updatedReplicas": 2,
                    "availableReplicas": available,
                },
            }
        ),
    )


def pods(reason: str, image: str = "r/web:1", app: str = "web") -> Answer:
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [web]"}],
        "containerStatuses": [{"image": image, "state": {"waiting": {"reason": reason, "message": "no such host"}}}],
    }
    pod = {"metadata": {"name": "web-1", "labels": {"app": app}}, "spec": {"nodeName": "w1"}, "status": status}
    return Answer(code=0, text=json.dumps({"kind": "List", "items": [pod]}))


def looking(item: Answer, of_pods: Answer, waits: list[Answer]) -> Reply:
    def reply(request: Request) -> Answer:
        if request.arguments[0] == "get":
            return of_pods if request.arguments[1] == "pods" else item
        return waits.pop(0) if len(waits) > 1 else waits[0]

    return reply


def test_one_that_is_late_is_looked_at_and_waited_for_again() -> None:
    step = await_ready(ROW)
    reply = looking(workload(0), pods("ContainerCreating"), [LATE, DONE])
    assert asked(step, reply=reply) == ["rollout", "get", "get", "rollout"]
    assert refused(step, reply=looking(workload(0), pods("ContainerCreating"), [LATE, DONE])) == []


def test_an_image_that_two_looks_find_unpulled_is_not_waited_for_any_longer() -> None:
    step = await_ready(ROW)
    reply = looking(workload(0), pods("ImagePullBackOff"), [LATE])
    assert asked(step, reply=reply) == ["rollout", "get", "get"] * 2
    (row,) = refused(step, reply=looking(workload(0), pods("ImagePullBackOff"), [LATE]))
    assert row.found == "w1 cannot pull r/web:1: no such host"
    assert "reach that registry" in row.todo
    assert "pod web-1 on w1" in row.log


def test_others_pods_do_not_count() -> None:
    reply = looking(workload(0), pods("ImagePullBackOff", app="other"), [LATE])
    (row,) = refused(await_ready(ROW), reply=reply)
    assert row.found == "deployment web is not ready: 0 of 2 pods are ready"


def test_it_is_given_up_when_time_is_over_and_ready_when_it_says_so() -> None:
    step = await_ready(ROW)
    assert asked(step, reply=looking(workload(0), pods("CrashLoopBackOff"), [LATE])) == ["rollout", "get", "get"] * 3
    assert asked(step, reply=looking(workload(2), pods("CrashLoopBackOff"), [LATE])) == ["rollout", "get", "get"]
    (row,) = refused(step, reply=looking(workload(1, generation=1), pods("CrashLoopBackOff"), [LATE]))
    assert row.found == "deployment web is not ready: its controller has not looked at it yet"
    assert row.expected == "deployment web to be ready within 180 s"
    (row,) = refused(step, reply=looking(DONE, pods("x"), [LATE]))
    assert row.found == "deployment web is not ready: it is not there"


def test_an_api_is_waited_for_by_its_condition_and_has_no_pods() -> None:
    step = await_ready(Awaited(addon="one", kind="apiservice", namespace="", name="v1.x"))
    assert step.request.arguments[:2] == ("wait", "--for=condition=Available")
    status = {"conditions": [{"type": "Available", "status": "False", "message": "no endpoints"}]}
    item = Answer(code=0, text=json.dumps({"kind": "APIService", "metadata": {"name": "v1.x"}, "status": status}))
    reply = looking(item, pods("x"), [LATE])
    (row,) = refused(step, reply=reply)
    assert row.found == "apiservice v1.x is not ready: no endpoints"
    assert asked(step, reply=looking(item, pods("x"), [LATE])) == ["wait", "get"] * 3


def test_pods_are_looked_for_where_the_workload_is_and_what_is_cluster_wide_in_no_namespace() -> None:
    heard: list[Request] = []
    answers = looking(workload(0), pods("ContainerCreating"), [LATE])

    def reply(request: Request) -> Answer:
        heard.append(request)
        return answers(request)

    refused(await_ready(ROW), reply=reply)
    looks = [request.arguments for request in heard if request.arguments[0] == "get"]
    assert all(asked[asked.index("-n") :][:2] == ("-n", "ns") for asked in looks)
    heard.clear()
    refused(await_ready(Awaited(addon="one", kind="apiservice", namespace="", name="v1.x")), reply=reply)
    assert not any("-n" in request.arguments for request in heard)


def test_what_leads_out_is_the_log_where_no_image_is_missing() -> None:
    (row,) = refused(await_ready(ROW), reply=looking(workload(0), pods("CrashLoopBackOff"), [LATE]))
    assert row.todo.startswith("fix what the log names")


def test_only_the_end_of_a_long_log_is_told() -> None:
    said = Answer(code=1, words="".join(f"line {number}\n" for number in range(99)))
    (row,) = refused(apply_addon("one", b"", SENT), reply=script(apply=[said]))
    assert row.log.splitlines() == [f"line {number}" for number in range(75, 99)]
