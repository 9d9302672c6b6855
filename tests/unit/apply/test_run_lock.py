"""The run lock of one host: taken, held by somebody else, or not to be had."""

from __future__ import annotations

import getpass

import pytest

from kprov.apply.lock import hold_lock
from kprov.apply.scripts import LOCK_COMMAND
from kprov.state.store import operator_name
from kprov.transport import Held, Result
from kprov.transport.fake import FakeTransport
from kprov.values.errors import LockedError, TransportError
from kprov.values.model import Connection, Host

HOST = Host(name="a", groups=frozenset({"worker"}), connection=Connection(address="192.0.2.1"))


def take(status: int, out: bytes, err: bytes = b"") -> str:
    fake = FakeTransport(handler=lambda *_: Result(status=status, stdout=out, stderr=err))
    held, generation = hold_lock(fake.connect(HOST), "me")
    held.close()
    return generation


def test_a_taken_lock_tells_the_generation() -> None:
    assert take(0, b"locked 7\n") == "7"


def test_who_holds_it_is_data_of_one_line_and_no_part_of_a_program() -> None:
    fake = FakeTransport(handler=lambda *_: Result(status=0, stdout=b"locked 7\n", stderr=b""))
    held, _ = hold_lock(fake.connect(HOST), "ops@desk '; reboot; $(id)\nheld nobody pid 3")
    held.close()
    assert [call.command for call in fake.calls] == [LOCK_COMMAND]
    assert fake.written == [("a", b"ops@desk  reboot idheld nobody pid 3\n")]


def test_another_run_is_named() -> None:
    with pytest.raises(LockedError) as caught:
        take(1, b"held ops@desk pid 3\n")
    assert "ops@desk" in caught.value.found


def test_what_waited_for_a_lock_that_another_run_holds_is_closed() -> None:
    fake = FakeTransport(handler=lambda *_: Result(status=1, stdout=b"held ops@desk pid 3\n", stderr=b""))
    session = fake.connect(HOST)
    closed: list[str] = []
    hold = session.hold

    def held(command: str) -> Held:
        one = hold(command)
        close = one.close

        def closing() -> Result:
            closed.append(command)
            return close()

        one.close = closing  # type: ignore[method-assign]
        return one

    session.hold = held  # type: ignore[method-assign]
    with pytest.raises(LockedError):
        hold_lock(session, "me")
    assert closed == [LOCK_COMMAND]


def test_the_last_line_of_a_host_that_cannot_take_it_is_what_was_found() -> None:
    with pytest.raises(TransportError) as caught:
        take(2, b"", b"first\nsecond\n")
    assert caught.value.found == "second"


def test_a_host_that_cannot_take_it_is_not_told_as_another_run() -> None:
    with pytest.raises(TransportError) as caught:
        take(2, b"", b"mkdir: cannot create directory '/var/lib/kprov': Read-only file system\n")
    assert "Read-only file system" in caught.value.found
    assert "/var/lib/kprov" in caught.value.needed
    with pytest.raises(TransportError, match="could not be taken"):
        take(127, b"")


def test_an_operator_without_an_account_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert operator_name().startswith("user ")
