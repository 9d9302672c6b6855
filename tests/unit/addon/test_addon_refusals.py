"""kubectl's words about refused objects become a finding that names each of them, and a next step."""

from __future__ import annotations

import pytest

from kprov.addon.refusals import explained
from kprov.objects.objects import Identity

ADVICE = """\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"""
CONFLICT = f"""\
deployment.apps/web serverside-applied
error: Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas
{ADVICE}"""
IMMUTABLE = """\
The Deployment "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable"""
INVALID = """\
The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"""
TWO_FIELDS = """\
The Service "web" is invalid:
* spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535
* spec.type: Unsupported value: x"""
SCHEMA = """\
Error from server: failed to create typed patch object (ns/web; /v1, Kind=Service): .spec.nonsense: field not declared"""
UNKNOWN = """\
error: resource mapping not found for name: "one" namespace: "" from "x": no matches for kind "Thing" in version "a.b/v1"
ensure CRDs are installed first"""
WEBHOOK = """\
Error from server (InternalError): Internal error occurred: failed calling webhook "deny.example": failed to call webhook"""
SENT: tuple[Identity, ...] = (
    ("", "ConfigMap", "ns", "settings"),
    ("", "ConfigMap", "ns", "more"),
    ("apps", "Deployment", "ns", "web"),
)


@pytest.mark.parametrize(
    ("log", "found", "todo"),
    [
        (IMMUTABLE, 'Deployment web: spec.selector: Invalid value: {"matchLabels"', "kprov up --recreate hello"),
        (INVALID, "Deployment web: spec.replicas: Invalid value: -1: must be", "fix that field"),
        (
            TWO_FIELDS,
            "Service web: spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535; spec.type: Unsupported",
            "fix that field",
        ),
        (SCHEMA, "Service ns/web: .spec.nonsense: field not declared", "fix that field"),
        (UNKNOWN, "Thing one: the cluster knows no Thing of a.b/v1", "CustomResourceDefinition"),
        (WEBHOOK, "the webhook deny.example was asked first and does not answer: failed to call", "switch that off"),
        ("\nsomething else\nmore", "something else", "kprov addons info hello"),
        ("", "it failed with no output", "kprov addons info hello"),
    ],
)
def test_a_refusal_is_explained(log: str, found: str, todo: str) -> None:
    why = explained("hello", log)
    assert why.found.startswith(found)
    assert todo in why.todo


def test_a_conflict_names_the_object_that_kubectl_does_not_name() -> None:
    why = explained("hello", CONFLICT, (SENT[0], SENT[2]))
    assert why.found == (
        "ConfigMap ns/settings: the field .spec.replicas belongs to kubectl-edit, another manager; it was left as it is"
    )
    assert why.todo.startswith("let kubectl-edit have it")
    assert "force" not in why.log
    assert why.log.splitlines()[-1].startswith("error: Apply failed")


def test_each_of_several_refusals_is_told_with_its_object() -> None:
    log = f"""\
Apply failed with 3 conflicts: conflicts with "some" using v1:
- .data.a
- .data.b
conflict with "third" using v1: .data.c
{ADVICE}
Apply failed with 1 conflict: conflict with "other" using v1: .data.a
{ADVICE}
Error from server (Invalid): Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: no"""
    assert explained("hello", log, SENT).found.split("; ") == [
        "Deployment web: spec.replicas: Invalid value: -1: no",
        "ConfigMap ns/settings: the fields .data.a, .data.b belong to some",
        "the field .data.c belongs to third, another manager",
        "it was left as it is",
        "ConfigMap ns/more: the field .data.a belongs to other, another manager",
        "it was left as it is",
    ]


def test_an_object_that_cannot_be_told_from_others_is_told_with_them() -> None:
    log = f'error: Apply failed with 1 conflict: conflict with "some" using v1: .data.a\n{ADVICE}'
    found = explained("hello", log, SENT[:2]).found
    assert found.startswith("one of ConfigMap ns/settings, ConfigMap ns/more: the field .data.a")
    assert explained("hello", log).found.startswith("the field .data.a")
