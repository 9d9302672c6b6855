"""Requests through a host's connection, for who asks the same place often: HTTP that keeps its connection, and names.

Each answers whether it went well, in a word, and raises nothing: a request that fails is what is looked for here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kprov.tunnel.forward import ADDRESS, Forward, listen
from kprov.tunnel.way import Way

CNAME, A = 5, 1
_TIMEOUT = 3.0  # seconds
_LIMIT = 32 * 1024 * 1024  # bytes of one answer


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer. why: empty where it went well, else what was wrong with it; body: parsed JSON or bytes."""

    why: str = ""
    body: Any = None


@contextmanager
def port_to(way: Way, address: str, port: int) -> Iterator[int]:
    """Yield a port of this computer that leads to another one, seen from a host."""
    forward_listener = listen(0)
    number = int(forward_listener.getsockname()[1])
    forward = Forward(forward_listener, lambda: way.dial(address, port), lambda _: None)
    try:
        yield number
    finally:
        forward.close()


class Client:
    """HTTP to one port of this computer, over one connection that is made again when it breaks. For one thread.

    tls: what trusts the server and proves who asks; None for plain HTTP. When it gives another one, the connection is made
    again, as clients of Kubernetes do when their certificate is renewed. timeout: seconds.
    """

    def __init__(
        self, port: int, tls: Callable[[], ssl.SSLContext] | None = None, *, timeout: float = _TIMEOUT
    ) -> None:
        self._port = port
        self._timeout = timeout
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None
        self._context: ssl.SSLContext | None = None

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Said:
        """Return the parsed answer; of plain HTTP its bytes."""
        try:
            response = self._sent(method, path, body, kind)
            content = response.read(_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Said(why=_said(error))
        if not 200 <= response.status < 300:
            return Said(why=f"HTTP {response.status}")
        if self._tls is None:
            return Said(body=content)
        try:
            return Said(body=json.loads(content))
        except ValueError:
            self.close()
            return Said(why="an answer that was cut off")

    def lines(self, path: str) -> Iterator[Said]:
        """Yield the lines of a watch until it ends; the first says whether it began."""
        try:
            response = self._sent("GET", path, None, "application/json")
            yield Said(why="" if response.status == 200 else f"HTTP {response.status}")
            while response.status == 200 and (line := response.readline()):
                yield Said(body=json.loads(line))
        except (OSError, http.client.HTTPException, ValueError) as error:
            yield Said(why=_said(error))
        finally:
            self.close()

    def close(self) -> None:
        """End the connection; the next request makes one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _sent(self, method: str, path: str, body: Any, kind: str) -> http.client.HTTPResponse:
        context = None if self._tls is None else self._tls()
        if context is not self._context:
            self.close()
            self._context = context
        if self._connection is None:
            self._connection = (
                http.client.HTTPConnection(ADDRESS, self._port, timeout=self._timeout)
                if context is None
                else http.client.HTTPSConnection(ADDRESS, self._port, timeout=self._timeout, context=context)
            )
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"Content-Type": kind, "Accept": "application/json"})
        return self._connection.getresponse()


def look_up(port: int, name: str, kind: int) -> Said:
    """Return the bytes of a name server's answer, asked over TCP."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    query = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", kind, 1)
    try:
        with socket.create_connection((ADDRESS, port), timeout=_TIMEOUT) as connection:
            connection.sendall(struct.pack(">H", len(query)) + query)
            with contextlib.closing(connection.makefile("rb")) as file:
                size = struct.unpack(">H", file.read(2))[0]
                answer = file.read(size)
        code, count = answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
    except (OSError, struct.error, IndexError) as error:
        return Said(why=_said(error))
    if code or not count:
        return Said(why=f"DNS code {code}, {count} answers")
    return Said(body=answer)


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException | struct.error | IndexError | ConnectionError):
        return "the connection broke"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
