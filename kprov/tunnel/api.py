"""Asks the API server of a control plane through a stream over SSH: no credential touches the host. Decides nothing."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kprov.transport.base import Stream
from kprov.tunnel.tls import TlsStream
from kprov.values.components import KUBE_APISERVER
from kprov.values.errors import TransportError

PORT = KUBE_APISERVER.port("https")
NAME = "kubernetes"  # a name that every API server's certificate has
_LIMIT = 16 * 1024 * 1024  # bytes of one answer


@dataclass(frozen=True, kw_only=True)
class Api:
    """The API server of a host. dial: from there; context: trusts the cluster's CA, and proves who asks."""

    host: str
    dial: Callable[[str, int], Stream]
    context: ssl.SSLContext

    def get(self, path: str) -> Any:
        """The parsed answer; None when there is no such object. Raises TransportError."""
        return self._ask("GET", path, None)

    def create(self, path: str, body: Any) -> Any:
        """The answer to a POST; None when the path names an object that is not there. Raises TransportError."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        # 1.0: the server answers in one piece and closes.
        head = (
            f"{method} {path} HTTP/1.0\r\nHost: {NAME}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        stream = self.dial("127.0.0.1", PORT)
        try:
            status, text = _exchange(TlsStream(stream, self.context, NAME), head.encode() + content)
        finally:
            stream.close()
        if status == 404:
            return None
        if not 200 <= status < 300:
            raise TransportError(
                "the API server refused a question",
                where=self.host,
                found=f"HTTP {status} for {method} {path.partition('?')[0]}: {_message(text)}",
            )
        return json.loads(text)


def _exchange(stream: Stream, request: bytes) -> tuple[int, bytes]:
    stream.write(request)
    answer = b""
    while data := stream.read():
        answer += data
        if len(answer) > _LIMIT:
            raise TransportError("the API server's answer is too large", found=f"over {_LIMIT} bytes")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise TransportError("the API server gave no answer", found=f"{len(answer)} bytes that are no HTTP")
    return int(words[1]), body


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
