"""Whether API servers have read what they read by themselves: each tells the hash of its file, or the run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kprov.plan.api_servers import read_by_all, reads_again
from kprov.plan.conversation import Answer, Request
from kprov.plan.host import Change, HostPlan, Restart
from kprov.roles.api_server import AUTHENTICATION, AUTHORIZATION
from kprov.values.errors import ApplyError
from kprov.values.resources import File, Unit


def asked_of(servers: Sequence[str], answers: Sequence[Answer]) -> Sequence[Request]:
    talk = read_by_all(servers, {"encryption": "abc"})
    requests = next(talk)
    with pytest.raises(StopIteration):
        talk.send(answers)
    return requests


def test_each_server_must_tell_the_hash_of_its_file() -> None:
    told: Any = Answer(code=0, text='m{apiserver_id_hash="x",hash="sha256:abc"} 1\n')
    requests = asked_of(["https://a:6443", "https://b:6443"], [told, told])
    assert [(request.program, request.arguments[0]) for request in requests] == [
        ("metrics", "https://a:6443"),
        ("metrics", "https://b:6443"),
    ]
    other = Answer(code=0, text='m{hash="sha256:old"} 1\n')
    with pytest.raises(ApplyError, match="has not read") as caught:
        asked_of(["https://a:6443", "https://b:6443"], [told, other])
    assert caught.value.where == "https://b:6443"


def plan(*files: tuple[str, Any], restart: bool = False) -> HostPlan:
    unit = Unit(name="kube-apiserver.service", content=b"")
    changes = [
        Change(
            stage="api-server",
            key=("file", path),
            action=action,
            reasons=("x",),
            resource=File(path=path, content=b"c"),
        )
        for path, action in files
    ]
    restarts = (Restart(stage="api-server", unit=unit, reason="x", running=True),) if restart else ()
    return HostPlan(host="a", changes=tuple(changes), restarts=restarts, stamps={}, unstamps={})


def test_a_running_server_reads_again_what_changes_and_one_that_restarts_reads_it_then() -> None:
    both = ((AUTHENTICATION, "update"), (AUTHORIZATION, "create"), ("/etc/other", "update"))
    assert list(reads_again(plan(*both))) == ["authentication", "authorization"]
    assert reads_again(plan(*both, restart=True)) == {}
    assert reads_again(plan((AUTHENTICATION, "permissions"))) == {}
