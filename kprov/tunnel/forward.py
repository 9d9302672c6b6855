"""A listener on this computer's loopback address whose connections go through a stream each. It knows no Kubernetes."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable

from kprov.transport.base import Stream
from kprov.transport.streams import SocketStream
from kprov.values.errors import KprovError, TransportError

ADDRESS = "127.0.0.1"
_JOIN = 3.0  # seconds that all threads get to end


def listen(port: int) -> socket.socket:
    """A listener that only this computer reaches. port: 0 for any that is free. Raises KprovError."""
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise KprovError(
            "cannot listen on this port", where=f"{ADDRESS}:{port}",
            found="another program listens there" if taken else error.strerror or str(error),
            needed="a free port", todo="choose another one with --port, or leave it out",
        ) from None  # fmt: skip


class Forward:
    """Serves a listener until it is closed.

    Args:
        listener: from `listen`; closed with this.
        dial: makes the stream for one connection. Raises KprovError.
        tell: hears why a connection could not be served, once for each reason in a row.
    """

    def __init__(self, listener: socket.socket, dial: Callable[[], Stream], tell: Callable[[str], None]) -> None:
        self._listener = listener
        self._dial = dial
        self._tell = tell
        self._lock = threading.Lock()
        self._closed = False
        self._last = ""
        self._open: set[Stream] = set()
        self._threads: set[threading.Thread] = set()
        self._start(self._accept)

    def close(self) -> None:
        """Lets nobody in any more and ends what is open."""
        with self._lock:
            self._closed = True
            streams, threads = tuple(self._open), tuple(self._threads)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._listener.close()
        for stream in streams:
            stream.close()
        ends = time.monotonic() + _JOIN
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def _start(self, run: Callable[[], None]) -> threading.Thread:
        def follow() -> None:
            try:
                run()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=follow, name="tunnel", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # closed
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near = SocketStream(peer, lambda: None)
            self._start(lambda near=near: self._serve(near))  # type: ignore[misc]

    def _serve(self, near: Stream) -> None:
        try:
            far = self._dial()
        except KprovError as error:
            near.close()
            self._failed(str(error))
            return
        self._failed("")
        with self._lock:
            closed = self._closed
            self._open |= {near, far}
        try:
            if not closed:
                back = self._start(lambda: _carry(far, near))
                _carry(near, far)
                back.join()
        finally:
            near.close()
            far.close()
            with self._lock:
                self._open -= {near, far}

    def _failed(self, why: str) -> None:
        """A browser asks again and again: the same reason is told once."""
        with self._lock:
            known, self._last = self._last == why, why
            silent = known or not why or self._closed
        if not silent:
            self._tell(why)


def _carry(source: Stream, to: Stream) -> None:
    """Bytes in one direction, and their end. When either side is lost both directions end."""
    try:
        while data := source.read():
            to.write(data)
    except TransportError:
        source.close()
        to.close()
        return
    to.end()
