"""kubectl's words about a refused object become a finding and a next step."""

from __future__ import annotations

import pytest

from kprov.addon.refusals import explained

CONFLICT = """\
error: Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas
Please review the fields above--they currently have other managers."""
IMMUTABLE = """\
The Deployment "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable"""
INVALID = """\
The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"""


@pytest.mark.parametrize(
    ("log", "found", "todo"),
    [
        (CONFLICT, "the field .spec.replicas belongs to another manager, kubectl-edit", "let kubectl-edit have it"),
        (IMMUTABLE, "Deployment web: spec.selector", "kprov up --recreate hello"),
        (INVALID, "Deployment web: spec.replicas: Invalid value: -1", "mend that field"),
        ("\nsomething else\nmore", "something else", "kprov addons info hello"),
        ("", "it failed without a word", "kprov addons info hello"),
    ],
)
def test_a_refusal_is_explained(log: str, found: str, todo: str) -> None:
    told, do = explained("hello", log)
    assert told.startswith(found)
    assert todo in do
