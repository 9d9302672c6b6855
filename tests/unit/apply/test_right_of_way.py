"""Which stream goes first: by a clock of the test's, and no sleeping."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kprov.apply.right_of_way import STANDSTILL, RightOfWay


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pulled(stream: Iterator[bytes]) -> threading.Event:
    """Pull a piece in a thread of its own; the event is set when it came."""
    came = threading.Event()

    def pull() -> None:
        next(stream)
        came.set()

    threading.Thread(target=pull, daemon=True).start()
    return came


def test_a_stream_gives_way_until_the_first_one_has_ended() -> None:
    way = RightOfWay(Clock())
    first = way.go_first(iter([b"1", b"2"]))
    assert next(first) == b"1"
    came = pulled(way.give_way(iter([b"a"])))
    assert not came.wait(0.05)
    assert list(first) == [b"2"]
    assert came.wait(20)


def test_a_first_stream_that_nobody_reads_any_more_is_not_waited_for() -> None:
    """As of a host whose connection was lost."""
    way = RightOfWay(Clock())
    first = way.go_first(iter([b"1", b"2"]))
    next(first)
    first.close()  # type: ignore[attr-defined]
    assert list(way.give_way(iter([b"a"]))) == [b"a"]


def test_a_first_stream_that_fails_is_not_waited_for() -> None:
    def broken() -> Iterator[bytes]:
        yield b"1"
        raise OSError("gone")

    way = RightOfWay(Clock())
    with pytest.raises(OSError, match="gone"):
        list(way.go_first(broken()))
    assert list(way.give_way(iter([b"a"]))) == [b"a"]


def test_a_first_stream_that_stands_still_is_not_waited_for() -> None:
    clock = Clock()
    way = RightOfWay(clock)
    next(way.go_first(iter([b"1", b"2"])))
    first = way.go_first(iter([b"1", b"2"]))
    next(first)
    clock.now += STANDSTILL
    assert list(way.give_way(iter([b"a"]))) == [b"a"]


def test_without_a_first_stream_all_go_on() -> None:
    way = RightOfWay(Clock())
    assert list(way.give_way(iter([b"a", b"b"]))) == [b"a", b"b"]
