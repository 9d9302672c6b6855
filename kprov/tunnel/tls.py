"""TLS over a stream that is no socket. It judges certificates as its context says, and knows nothing of what is said."""

from __future__ import annotations

import contextlib
import ssl
import threading

from kprov.transport.base import Stream
from kprov.values.errors import TransportError

_PIECE = 64 * 1024


class TlsStream:
    """The inside of a TLS connection. Same contract as `base.Stream`.

    Args:
        inner: what carries it.
        context: whom to trust, and who we are.
        name: what the server's certificate must be good for.

    Raises TransportError when the handshake fails.
    """

    def __init__(self, inner: Stream, context: ssl.SSLContext, name: str) -> None:
        self._inner = inner
        self._name = name
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._state = threading.Lock()  # one SSL object must not be used by two threads at once
        self._order = threading.Lock()  # what it made has to leave in the order it was made
        self._greet()

    def read(self) -> bytes:
        while True:
            try:
                with self._state:
                    return self._tls.read(_PIECE)
            except ssl.SSLWantReadError:
                self._flush()  # an answer of TLS's own, to a new key for example
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise self._refused(error) from None
            self._receive()

    def write(self, data: bytes) -> None:
        with self._order:
            with self._state:
                try:
                    self._tls.write(data)
                except ssl.SSLError as error:
                    raise self._refused(error) from None
                made = self._outgoing.read()
            self._inner.write(made)

    def end(self) -> None:
        """TLS has a farewell of its own, and then the carrier's end."""
        with self._order:
            with self._state:
                with contextlib.suppress(ssl.SSLError):  # the other side has not said its own farewell yet
                    self._tls.unwrap()
                made = self._outgoing.read()
            with contextlib.suppress(TransportError):  # it is gone already
                self._inner.write(made)
            self._inner.end()

    def close(self) -> None:
        self._inner.close()

    def _greet(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            except ssl.SSLError as error:
                self._flush()  # the alert, so that the server knows why
                raise self._refused(error) from None
            else:
                self._flush()
                return

    def _receive(self) -> None:
        data = self._inner.read()
        with self._state:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _flush(self) -> None:
        with self._order:
            with self._state:
                made = self._outgoing.read()
            if made:
                self._inner.write(made)

    def _refused(self, error: ssl.SSLError) -> TransportError:
        found = getattr(error, "verify_message", "") or error.reason or str(error)
        return TransportError(
            "TLS was refused",
            where=self._name,
            found=str(found),
            needed=f"a certificate for {self._name} that this cluster's CA has signed",
        )
