"""No API server is stopped that nobody stands in for: what is asked before, each answer at each step."""

from __future__ import annotations

import pytest
from talks import walk

from kprov.plan.api_servers import another_ready
from kprov.plan.conversation import Answer
from kprov.values.errors import ApplyError

SERVERS = {name: f"https://{name}:6443" for name in ("cp1", "cp2", "cp3")}
READY = Answer(code=0, text="ok")
DOWN = Answer(
    code=1, words="The connection to the server cp2:6443 was refused - did you specify the right host or port?"
)
ILL = Answer(code=1, words="Error from server (InternalError): an error on the server: etcd failed")


def test_one_that_is_ready_is_enough() -> None:
    _, asked = walk(another_ready("cp1", SERVERS), (READY, READY))
    assert [line.split("--server=")[1].split()[0] for line in asked] == ["https://127.0.0.1:6443", "https://cp2:6443"]
    _, asked = walk(another_ready("cp1", SERVERS), (READY, DOWN), (READY, READY))
    assert "https://cp3:6443" in asked[-1]


@pytest.mark.parametrize("script", [[(ILL, READY)], [(READY, DOWN), (ILL, READY)]], ids=["at once", "meanwhile"])
def test_one_that_is_not_ready_itself_may_be_stopped(script: list[tuple[Answer, ...]]) -> None:
    walk(another_ready("cp1", SERVERS), *script)


def test_without_another_one_it_is_left_alone_and_each_reason_is_told() -> None:
    with pytest.raises(ApplyError) as caught:
        walk(another_ready("cp1", SERVERS), (READY, DOWN), (READY, ILL))
    assert caught.value.found.startswith("no other API server is ready: cp2: The connection to the server")
    assert "cp3: an error on the server: etcd failed" in caught.value.found
    assert "bring another one back first" in caught.value.todo


def test_servers_that_start_get_some_time() -> None:
    own, other = next(another_ready("cp1", SERVERS))
    assert (own.seconds, own.again) == (0, ())
    assert other.seconds > 0
    assert other.again
