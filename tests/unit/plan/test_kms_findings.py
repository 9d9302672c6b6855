"""Which KMS an API server finds unwell, and why, out of the sentences that Kubernetes has for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from inventory_text import loaded, with_hosts

from kprov.observe.probe import Question
from kprov.plan.kms_findings import is_asked, unwell
from kprov.plan.questions import first_questions, with_objects
from kprov.values.api_settings import EncryptionSettings

AWAY = (
    "kms-provider-0: failed to perform status section of the healthz check for KMS Provider own, error: rpc error: code = "
    'Unavailable desc = connection error: desc = \\"transport: Error while dialing: dial unix /run/kms/own.sock: connect: '
    'connection refused\\"'
)
AGAIN = (  # asked within three seconds of the one before
    "kms-provider-0: rpc error: code = Unavailable desc = connection error: desc = "
    '\\"transport: Error while dialing: dial unix /run/kms/own.sock: connect: no such file or directory\\"'
)
SICK = "kms-provider-1: kmsv2 Provider vault is not healthy, error: got unexpected healthz status: sealed"
NAMELESS = "kms-provider-1: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
OWN = {"kms": {"apiVersion": "v2", "name": "own", "endpoint": "unix:///run/kms/own.sock"}}
VAULT = {"kms": {"apiVersion": "v2", "name": "vault", "endpoint": "unix:///run/kms/vault.sock"}}
GIVEN = EncryptionSettings(providers=(OWN, {"secretbox": {}}, VAULT))


def said(*whys: str) -> str:
    text = whys[0] if len(whys) == 1 else f"[{', '.join(whys)}]"
    return (
        "Error from server (InternalError): an error on the server "
        f'("internal server error: {text}") has prevented the request from succeeding\n'
    )


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (
            said(AWAY),
            "the KMS own at unix:///run/kms/own.sock does not serve its API server: rpc error: code = Unavailable",
        ),
        (said(AWAY), 'dial unix /run/kms/own.sock: connect: connection refused"'),
        (said(AGAIN), "the KMS own at unix:///run/kms/own.sock does not serve its API server: rpc error"),
        (
            said(SICK),
            "kms/vault.sock does not serve its API server: got unexpected healthz status: sealed",
        ),
        (said(NAMELESS), "the KMS vault at unix:///run/kms/vault.sock does not serve"),
        (said(NAMELESS.replace("-1", "-4")), "the KMS number 5 does not serve"),
        (said(AWAY.replace("own", "old")), "the KMS old does not serve its API server: rpc error"),
    ],
)
def test_it_is_named_with_its_socket_and_the_reason(answer: str, what: str) -> None:
    (sentence,) = unwell(GIVEN, answer)
    assert what in sentence
    assert "\\" not in sentence
    assert "prevented" not in sentence


def test_each_of_several_is_told() -> None:
    assert [line.split(" does")[0] for line in unwell(GIVEN, said(AWAY, SICK))] == [
        "the KMS own at unix:///run/kms/own.sock",
        "the KMS vault at unix:///run/kms/vault.sock",
    ]


@pytest.mark.parametrize("answer", ["", "The connection to the server was refused", "Error from server (NotFound): x"])
def test_other_answers_say_nothing_of_a_kms(answer: str) -> None:
    assert list(unwell(GIVEN, answer)) == []


def test_a_kms_is_asked_about_while_anything_may_be_read_by_it() -> None:
    none = EncryptionSettings()
    written = json.dumps({"resources": [{"resources": ["secrets"], "providers": [OWN, {"identity": {}}]}]})
    assert [is_asked(GIVEN, ""), is_asked(none, written), is_asked(none, "")] == [True, True, False]


@pytest.mark.parametrize("kms", [True, False])
def test_each_api_server_is_asked_in_the_question_that_its_host_gets_anyway(kms: bool) -> None:
    second = "cp2: {address: 192.0.2.12, groups: [etcd, control_plane]}"
    cluster = loaded(with_hosts(second, "cp3: {address: 192.0.2.13, groups: [etcd]}", "w1: 192.0.2.21")).cluster
    asked = first_questions(cluster, lambda: b"secret", deep=False, kms=kms)
    kinds = {name: {query[0] for query in question.queries()} & {"kms", "objects"} for name, question in asked.items()}
    about = {"kms"} if kms else set()
    assert kinds == {"cp1": {"objects", *about}, "cp2": about, "cp3": set(), "w1": set()}
    assert replace(with_objects(Question(), lambda: b""), kms=True).kms
