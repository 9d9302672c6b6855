"""Writing encrypted objects again: pages, counts, wildcards, and every answer that must stop it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from kprov.plan.conversation import Answer
from kprov.plan.rewriting import rewritten
from kprov.values.errors import ApplyError

CORE = Answer(
    code=0,
    text=json.dumps(
        {
            "resources": [
                {"name": "secrets", "verbs": ["get", "list", "update"]},
                {"name": "configmaps", "verbs": ["list", "update"]},
                {"name": "bindings", "verbs": ["create"]},
                {"name": "pods/status", "verbs": ["list", "update"]},
            ]
        }
    ),
)
GROUPS = Answer(code=0, text=json.dumps({"groups": [{"name": "x.org"}]}))
GROUP = Answer(code=0, text=json.dumps({"preferredVersion": {"groupVersion": "x.org/v2"}}))
THINGS = Answer(code=0, text=json.dumps({"resources": [{"name": "things", "verbs": ["list", "update"]}]}))


def page(count: int, token: str = "", words: str = "") -> Answer:
    more = {"continue": token, "remainingItemCount": 5} if token else {}
    return Answer(
        code=0, text=f"{json.dumps({'resourceVersion': '7', **more}, separators=(',', ':'))}\n{count}\n", words=words
    )


def walk(resources: Sequence[str], answers: Sequence[Answer]) -> tuple[Mapping[str, int], list[str]]:
    """What it came to, and the paths that were asked for."""
    talk, asked, left = rewritten(resources), [], list(answers)
    try:
        requests = next(talk)
        while True:
            (request,) = requests
            asked.append(request.arguments[-1])
            requests = talk.send([left.pop(0)])
    except StopIteration as end:
        assert not left
        return end.value, asked


def test_pages_are_counted_to_the_end() -> None:
    counts, asked = walk(["secrets"], [CORE, page(500, "a/b+c"), page(31)])
    assert counts == {"secrets": 531}
    assert asked == ["/api/v1", "/api/v1/secrets?limit=500", "/api/v1/secrets?limit=500&continue=a/b%2Bc"]


def test_objects_that_changed_or_went_meanwhile_are_no_failure_and_neither_is_an_empty_list() -> None:
    words = (
        'Error from server (Conflict): error when replacing "a": Operation cannot be fulfilled on secrets "x"\n'
        'Error from server (NotFound): error when replacing "a": secrets "y" not found\nWarning: old\n'
    )
    assert walk(["secrets"], [CORE, page(3, words=words)])[0] == {"secrets": 3}
    assert walk(["secrets"], [CORE, page(0, words="error: no objects passed to replace\n")])[0] == {"secrets": 0}


@pytest.mark.parametrize(
    "answer",
    [
        page(3, words='Error from server: error when replacing "a": admission webhook "w" denied the request\n'),
        page(3, words='Error from server (Forbidden): error when replacing "a": no\n'),
        Answer(code=1, words="Error from server (InternalError): Internal error occurred: no matching prefix found\n"),
        Answer(code=0, text=""),
        Answer(code=0, text="{}\nthree\n"),
    ],
)
def test_anything_else_ends_it(answer: Answer) -> None:
    with pytest.raises(ApplyError, match="not every object of secrets") as caught:
        walk(["secrets"], [CORE, answer])
    assert "old key is kept" in caught.value.needed


def test_a_token_that_ended_begins_from_the_start() -> None:
    expired = Answer(code=1, words="Error from server (Expired): The provided continue parameter is too old\n")
    counts, asked = walk(["secrets"], [CORE, page(500, "t"), expired, page(0, "u"), page(40)])
    assert counts == {"secrets": 40}
    assert asked[3] == "/api/v1/secrets?limit=500"


def test_wildcards_are_what_the_server_serves() -> None:
    assert walk(["*."], [CORE, page(1), page(2)])[0] == {"secrets": 1, "configmaps": 2}
    counts, asked = walk(["*.x.org"], [GROUP, THINGS, page(4)])
    assert (counts, asked[-1]) == ({"things.x.org": 4}, "/apis/x.org/v2/things?limit=500")
    assert walk(["secrets", "*.*"], [CORE, GROUPS, CORE, GROUP, THINGS, page(1), page(2), page(3)])[0] == {
        "secrets": 1,
        "configmaps": 2,
        "things.x.org": 3,
    }


def test_a_group_that_nothing_serves_has_no_objects_and_a_server_that_does_not_answer_ends_it() -> None:
    gone = Answer(code=1, words="Error from server (NotFound): the server could not find the requested resource\n")
    assert walk(["things.x.org"], [gone])[0] == {}
    with pytest.raises(ApplyError, match="does not say what it serves"):
        walk(["secrets"], [Answer(code=1, words="boom")])
