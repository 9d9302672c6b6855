"""Which control plane a tunnel goes through: the first that answers, and another one when it is lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kprov.transport import Result, Session
from kprov.transport.fake import FakeSession, FakeTransport
from kprov.transport.streams import unreached
from kprov.tunnel.way import Way
from kprov.values.errors import TransportError, UnreachedError
from kprov.values.model import Connection, Host

HOSTS = [Host(name=name, groups=frozenset({"control_plane"}), connection=Connection(address=name)) for name in "abc"]


class Machines(FakeTransport):
    """Three hosts that connect to anything but port 1; keeps the sessions, so that a test can lose them."""

    def __init__(self, **gone: str) -> None:
        errors = {name: TransportError(what, where=name) for name, what in gone.items()}
        super().__init__(handler=lambda *_: Result(status=0, stdout=b"", stderr=b""), unreachable=errors)
        self.dialled = self.answer
        self.sessions: dict[str, FakeSession] = {}
        self.ends: list[socket.socket] = []

    def connect(self, host: Host) -> FakeSession:
        self.sessions[host.name] = super().connect(host)
        return self.sessions[host.name]

    def answer(self, host: Host, address: str, port: int) -> socket.socket:
        if port == 1:
            raise unreached(host.name, address, port, "Connection refused")
        near, far = socket.socketpair()
        far.sendall(f"{host.name} {address}:{port}".encode())
        self.ends.append(far)
        return near


@pytest.fixture
def machines() -> Iterator[Machines]:
    made = Machines()
    yield made
    for end in made.ends:
        end.close()


@pytest.fixture
def told() -> list[str]:
    return []


def name(session: Session) -> str:
    return session.host.name


def asked(way: Way, port: int = 80) -> str:
    stream = way.dial("10.96.0.9", port)
    said = stream.read().decode()
    stream.close()
    return said


def test_the_first_host_is_used_and_nobody_else_is_asked(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS, told.append)
    assert way.host == ""
    assert way.settle(name) == "a"
    assert way.host == "a"
    assert asked(way) == "a 10.96.0.9:80"
    assert list(machines.sessions) == ["a"]
    assert told == []


def test_a_host_that_cannot_be_asked_is_passed_over(machines: Machines, told: list[str]) -> None:
    machines.unreachable = {"a": TransportError("no answer", where="a")}

    def ask(session: Session) -> str:
        if session.host.name == "b":
            raise TransportError("its API server is down", where="b")
        return session.host.name

    way = Way(machines, HOSTS, told.append)
    assert way.settle(ask) == "c"
    with pytest.raises(TransportError):
        machines.sessions["b"].execute("true")  # closed: it is not needed any more


def test_when_no_host_is_left_each_is_told_with_its_reason(machines: Machines, told: list[str]) -> None:
    machines.unreachable = {
        name: TransportError("no answer", where=name, found=f"within {seconds} s")
        for name, seconds in (("a", 10), ("b", 9))
    }
    machines.unreachable["c"] = TransportError("the host key is unknown", where="c")
    with pytest.raises(TransportError) as caught:
        Way(machines, HOSTS, told.append).settle(name)
    assert caught.value.found == "a: no answer, within 10 s; b: no answer, within 9 s; c: the host key is unknown"
    with pytest.raises(TransportError, match="host key is unknown"):
        Way(machines, HOSTS[2:], told.append).settle(name)


def test_a_mistake_of_the_question_ends_it_and_the_connection(machines: Machines, told: list[str]) -> None:
    def ask(session: Session) -> str:
        raise ValueError("there is no page")

    with pytest.raises(ValueError, match="no page"):
        Way(machines, HOSTS, told.append).settle(ask)
    assert list(machines.sessions) == ["a"]
    with pytest.raises(TransportError):
        machines.sessions["a"].execute("true")


def test_another_host_is_used_when_one_is_lost_and_that_is_told(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS, told.append)
    way.settle(name)
    machines.sessions["a"].drop()
    machines.unreachable = {"a": TransportError("no answer", where="a")}
    assert asked(way) == "b 10.96.0.9:80"
    assert way.host == "b"
    assert len(told) == 1
    assert told[0].startswith("a: connection lost")
    assert told[0].endswith("now through b")
    assert asked(way, 81) == "b 10.96.0.9:81"
    assert len(told) == 1


def test_the_same_host_is_used_again_when_it_is_the_only_one(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS[:1], told.append)
    way.settle(name)
    machines.sessions["a"].drop()
    assert asked(way).startswith("a ")
    assert told[0].endswith("now through a")


def test_what_each_host_knows_to_do_is_told_when_none_is_left(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS[:2], told.append)
    machines.unreachable = {name: TransportError("refused", where=name, todo=f"start sshd on {name}") for name in "ab"}
    with pytest.raises(TransportError, match="no control plane") as caught:
        way.settle(name)
    assert caught.value.todo == "start sshd on a; start sshd on b"


def test_while_no_host_is_there_each_try_says_so_and_a_later_one_succeeds(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS[:2], told.append)
    way.settle(name)
    machines.sessions["a"].drop()
    gone = {name: TransportError("no answer", where=name) for name in "ab"}
    machines.unreachable = gone
    for _ in range(2):
        with pytest.raises(TransportError, match="no control plane"):
            way.dial("10.96.0.9", 80)
    assert way.host == ""
    machines.unreachable = {}
    assert asked(way).startswith("a ")


def test_a_port_that_a_host_cannot_reach_is_no_reason_to_leave_it(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS, told.append)
    way.settle(name)
    with pytest.raises(UnreachedError, match=r"10\.96\.0\.9:1"):
        way.dial("10.96.0.9", 1)
    assert list(machines.sessions) == ["a"]


def test_a_closed_way_leads_nowhere(machines: Machines, told: list[str]) -> None:
    way = Way(machines, HOSTS, told.append)
    way.settle(name)
    way.close()
    with pytest.raises(TransportError, match="closed"):
        way.dial("10.96.0.9", 80)
    with pytest.raises(TransportError):
        machines.sessions["a"].execute("true")
    assert told == []
