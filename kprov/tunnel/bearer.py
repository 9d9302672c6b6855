"""A browser can show a page a password, and no bearer token: here the one is put in the other's place, request by request.

Who does not show the password is sent on without any login, so that the page itself refuses. No connection is made here.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable

import h11

from kprov.transport.base import Stream
from kprov.tunnel.target import TOKEN_SECONDS, Token
from kprov.values.basic_login import basic
from kprov.values.errors import TransportError
from kprov.values.secret import Secret

USER = "kprov"  # the browser wants a name too
_HEAD = 256 * 1024  # bytes of a request before its body: pages put long queries into addresses


class Renewed:
    """A token that always has at least half of its life before it.

    Args:
        ask: gets a new one. Raises KprovError.
        clock: seconds that only grow.
    """

    def __init__(self, ask: Callable[[], Token], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._old = 0.0

    def text(self) -> str:
        """Raises KprovError when no new one can be had."""
        with self._lock:
            asked = self._clock()
            if self._token is None or asked >= self._old:
                self._token, self._old = self._ask(), asked + TOKEN_SECONDS / 2
            return self._token.text


class Requests:
    """The requests of one connection, HTTP/1.1 by RFC 9112, as the page gets them.

    Args:
        password: what a browser has to show (HTTP basic authentication, RFC 7617), with `USER`.
        token: what the page is shown then (RFC 6750).
    """

    def __init__(self, password: Secret, token: str) -> None:
        self._desired = f"Basic {basic(USER, password)}".encode()
        self._shown = b"Bearer " + token.encode()
        self._next(b"")

    def feed(self, data: bytes) -> bytes:
        """Bytes that came → bytes for the page. Raises TransportError when they are no requests."""
        made = b""
        try:
            self._near.receive_data(data)
            while (event := self._near.next_event()) is not h11.NEED_DATA:
                match event:
                    case h11.Request():
                        made += self._far.send(self._let_in(event)) or b""
                    case h11.Data():
                        made += self._far.send(h11.Data(data=event.data)) or b""
                    case h11.EndOfMessage():
                        made += self._far.send(h11.EndOfMessage(headers=event.headers)) or b""
                        self._next(self._near.trailing_data[0])
                    case _:
                        break  # the end of what the browser says
        except h11.ProtocolError as error:
            raise TransportError("a request to the page cannot be read", found=str(error), needed="HTTP/1.1") from None
        return made

    def _next(self, already: bytes) -> None:
        """A fresh reader and writer for each request: answers, which end one for h11, do not come by here."""
        self._near = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
        self._far = h11.Connection(h11.CLIENT)
        if already:
            self._near.receive_data(already)

    def _let_in(self, request: h11.Request) -> h11.Request:
        rows = request.headers.raw_items()
        said = [value for name, value in rows if name.lower() == b"authorization"]
        headers = [(name, value) for name, value in rows if name.lower() != b"authorization"]
        if any(hmac.compare_digest(value, self._desired) for value in said):
            headers.append((b"Authorization", self._shown))
        return h11.Request(method=request.method, target=request.target, headers=headers)


class BearerStream:
    """A stream to a page whose requests are rewritten on their way; answers are left as they are. As `base.Stream`."""

    def __init__(self, inner: Stream, requests: Requests) -> None:
        self._inner = inner
        self._requests = requests

    def read(self) -> bytes:
        return self._inner.read()

    def write(self, data: bytes) -> None:
        if made := self._requests.feed(data):
            self._inner.write(made)

    def end(self) -> None:
        self._inner.end()

    def close(self) -> None:
        self._inner.close()
