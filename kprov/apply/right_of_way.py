"""Which stream goes first where many hosts are sent something: what the run waits for. It sends nothing itself.

A stream that gives way goes on while those before it stand still, as on a host with a slow line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

STANDSTILL = 0.1  # seconds without a piece, of about 1 MiB, after which a stream is not waited for


class RightOfWay:
    """Orders the pieces of streams that are sent side by side. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._first = 0  # streams that go first and have not ended
        self._moved = 0.0  # when one of them was last asked for a piece

    def go_first(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a stream that others give way to."""
        with self._changed:
            self._first += 1
            self._moved = self._clock()
        try:
            for piece in pieces:
                self._moved = self._clock()
                yield piece
        finally:
            with self._changed:
                self._first -= 1
                self._changed.notify_all()

    def give_way(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a stream, each when those that go first have ended or stand still."""
        for piece in pieces:
            with self._changed:
                while self._first and (left := self._moved + STANDSTILL - self._clock()) > 0:
                    self._changed.wait(left)
            yield piece
