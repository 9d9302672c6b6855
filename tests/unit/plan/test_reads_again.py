"""Whether API servers have read what they read by themselves: each tells the hash of its file, or the run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kprov.plan.api_servers import read_by_all
from kprov.plan.conversation import Answer, Request
from kprov.values.errors import ApplyError


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
