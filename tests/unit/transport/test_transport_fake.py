"""The fake host, connecting to many, and a held command's life."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from kprov.transport import Count, Held, OnOutput, Result, connect_many
from kprov.transport.fake import FakeTransport
from kprov.values.errors import TransportError
from kprov.values.model import Connection, Host


def host(name: str) -> Host:
    return Host(name=name, groups=frozenset({"worker"}), connection=Connection(address=name))


def echo(host: Host, command: str, stdin: bytes) -> Result:
    return Result(status=0, stdout=f"{host.name}:{command}\n".encode(), stderr=b"")


def test_calls_are_kept_in_order() -> None:
    fake = FakeTransport(handler=echo)
    session = fake.connect(host("a"))
    session.execute("one", stdin=iter([b"x", b"y"]), root=False)
    session.execute("two")
    assert [(call.host, call.command, call.stdin, call.root) for call in fake.calls] == [
        ("a", "one", b"xy", False),
        ("a", "two", b"", True),
    ]


def test_connection_lost_before_the_command_ran() -> None:
    fake = FakeTransport(handler=echo, drop_before={"a": 2})
    session = fake.connect(host("a"))
    session.execute("one")
    for _ in range(2):
        with pytest.raises(TransportError, match="connection lost"):
            session.execute("two")
    assert [call.command for call in fake.calls] == ["one"]
    assert fake.connect(host("a")).execute("three").stdout == b"a:three\n"
    assert fake.counters["a"] == Count(connections=2, execs=3, bytes_received=14)


def test_connection_lost_after_the_command_ran() -> None:
    fake = FakeTransport(handler=echo, drop_after={"a": 1})
    with pytest.raises(TransportError, match="connection lost"):
        fake.connect(host("a")).execute("one")
    assert [call.command for call in fake.calls] == ["one"]


def test_held_command_is_lost_with_the_session() -> None:
    session = FakeTransport(handler=echo).connect(host("a"))
    held = session.hold("lock")
    assert held.first_line(10) == "a:lock"
    session.drop()
    with pytest.raises(TransportError, match="connection lost"):
        held.close(10)


def test_held_command_that_does_not_end() -> None:
    end = threading.Event()

    def run(stdin: Iterable[bytes], on_output: OnOutput) -> Result:
        on_output(b"fir")
        on_output(b"st\nsecond")
        end.wait(10)
        return Result(status=0, stdout=b"", stderr=b"")

    held = Held(run, "a")
    assert held.first_line(10) == "first"
    assert held.lines == ("first",)
    with pytest.raises(TransportError, match="did not end"):
        held.close(0.01)
    end.set()
    assert held.close(10).status == 0


def test_connect_many_answers_for_every_host_in_order() -> None:
    gone = TransportError("no answer", where="b")
    fake = FakeTransport(handler=echo, unreachable={"b": gone})
    answers = connect_many(fake, [host("c"), host("b"), host("a")], forks=2)
    assert list(answers) == ["c", "b", "a"]
    assert answers["b"] is gone
    assert fake.counters["b"].connections == 0
    assert connect_many(fake, []) == {}


def test_connect_many_works_side_by_side() -> None:
    together = threading.Barrier(3, timeout=10)

    class Meeting(FakeTransport):
        def connect(self, host: Host):  # type: ignore[no-untyped-def]
            together.wait()
            return super().connect(host)

    assert len(connect_many(Meeting(handler=echo), [host(name) for name in "abc"], forks=3)) == 3
