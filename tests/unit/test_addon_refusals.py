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
PULL = """\
deployment web is not ready: Waiting for deployment "web" rollout to finish: 0 of 2 updated replicas are available...
pod web-1 on w1
  containers with unready status: [web]
  r/web:1: ImagePullBackOff: Back-off pulling image "r/web:1": ErrImagePull: failed to resolve: no such host
  r/other:2: ErrImagePull: not found
pod web-2 on w1
  r/web:1: ErrImagePull: failed to resolve: no such host
pod web-3
  r/WEB:1: InvalidImageName:"""
WEBHOOK = """\
Error from server (InternalError): Internal error occurred: failed calling webhook "deny.example": failed to call webhook"""
CRASH = """\
deployment web is not ready: Waiting
pod web-1 on w1
  r/web:1: CrashLoopBackOff: back-off 10s restarting failed container"""


@pytest.mark.parametrize(
    ("log", "found", "todo"),
    [
        (CONFLICT, "the field .spec.replicas belongs to another manager, kubectl-edit", "let kubectl-edit have it"),
        (IMMUTABLE, "Deployment web: spec.selector", "kprov up --recreate hello"),
        (INVALID, "Deployment web: spec.replicas: Invalid value: -1", "mend that field"),
        (
            PULL,
            "w1 cannot pull r/web:1: failed to resolve: no such host; w1 cannot pull r/other:2: not found; "
            "a node cannot pull r/WEB:1: InvalidImageName",
            "reach that registry",
        ),
        (WEBHOOK, "the webhook deny.example was asked first and does not answer: failed to call", "switch that off"),
        (CRASH, "deployment web is not ready: Waiting", "kprov addons info hello"),
        ("\nsomething else\nmore", "something else", "kprov addons info hello"),
        ("", "it failed without a word", "kprov addons info hello"),
    ],
)
def test_a_refusal_is_explained(log: str, found: str, todo: str) -> None:
    told, do = explained("hello", log)
    assert told.startswith(found)
    assert todo in do
