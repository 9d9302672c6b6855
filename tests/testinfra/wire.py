"""HTTP and TLS with a port as a host sees it: bash connects there, the bytes travel through kprov's session.

TLS ends at the operator, so that certificates are judged by the operator's CA and no credential touches the host. The
host needs bash (for /dev/tcp and /dev/udp) and neither curl nor openssl nor Python.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from queue import SimpleQueue

from cryptography import x509

from kprov.transport import Session

TIMEOUT = 20.0  # seconds for one exchange
# The request goes out in the background while the answer comes in; the end of the answer ends both.
_TCP = """timeout {seconds} bash -c 'exec 3<>/dev/tcp/{address}/{port} 4<&0 || exit 7
cat <&4 >&3 2>/dev/null & cat <&3; kill $! 2>/dev/null; exit 0'"""
# One write is one datagram: bash would flush at each line break, and a label of ten letters begins with one.
_UDP = """timeout {seconds} bash -c 'exec 3<>/dev/udp/{address}/{port} || exit 7
printf "{octal}" | dd bs=4096 iflag=fullblock status=none >&3; dd bs=4096 count=1 status=none <&3'"""


class WireError(Exception):
    """Nobody answered at that port, or TLS was refused by one of the two sides."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer; `certificate` is what the server showed, None without TLS."""

    status: int
    body: bytes
    certificate: x509.Certificate | None = None


def get(session: Session, address: str, port: int, path: str) -> Answer:
    """Plain HTTP from the host. Raises WireError."""
    return _parsed(_exchange(session, address, port, _Plain(path)), None, f"{address}:{port}")


def get_tls(session: Session, address: str, port: int, path: str, context: ssl.SSLContext, name: str) -> Answer:
    """HTTPS from the host; `name` is what the server's certificate must be good for. Raises WireError."""
    client = TlsClient(context, name, _request(path))
    data = _exchange(session, address, port, client)
    if client.error is not None:
        raise WireError(f"{address}:{port}: {client.error}")
    return _parsed(data, client.certificate, f"{address}:{port}")


def ask_udp(session: Session, address: str, port: int, question: bytes) -> bytes:
    """One datagram from the host and the first one that comes back. Raises WireError."""
    octal = "".join(f"\\{byte:03o}" for byte in question)
    result = session.execute(
        _UDP.format(seconds=5, address=ip_address(address), port=int(port), octal=octal), timeout=TIMEOUT
    )
    if result.status != 0 or not result.stdout:
        raise WireError(f"{address}:{port}/udp: no answer within 5 s {result.stderr.decode(errors='replace')}")
    return result.stdout


def _request(path: str) -> bytes:
    # 1.0: the server answers in one piece and closes.
    return f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json, */*\r\n\r\n".encode()


class _Plain:
    """Sends the request and keeps what comes."""

    def __init__(self, path: str) -> None:
        self._request = _request(path)
        self.plain = b""

    def outgoing(self) -> Iterator[bytes]:
        yield self._request

    def feed(self, data: bytes) -> None:
        self.plain += data

    def close(self) -> None:
        """Nothing is left to be sent."""


class TlsClient:
    """One request over TLS, without a socket: bytes that came are fed, bytes to be sent are iterated."""

    def __init__(self, context: ssl.SSLContext, name: str, request: bytes) -> None:
        self._incoming, self._sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._sent, server_hostname=name)
        self._request = request
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._greeted = False
        self.plain = b""
        self.error: ssl.SSLError | None = None
        self.certificate: x509.Certificate | None = None
        self._advance()

    def outgoing(self) -> Iterator[bytes]:
        """What the server is to get; ends with `close`, or when the server said good-bye."""
        while (piece := self._queue.get()) is not None:
            yield piece

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)
        self._advance()

    def close(self) -> None:
        self._queue.put(None)

    def _advance(self) -> None:
        ended = False
        try:
            if not self._greeted:
                self._greet()
            while piece := self._tls.read(65536):
                self.plain += piece
        except ssl.SSLWantReadError:
            ended = False
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError as error:
            ended, self.error = True, error
        if data := self._sent.read():
            self._queue.put(data)
        if ended:
            self.close()

    def _greet(self) -> None:
        self._tls.do_handshake()
        self._greeted = True
        der = self._tls.getpeercert(binary_form=True)
        self.certificate = x509.load_der_x509_certificate(der) if der else None
        self._tls.write(self._request)


def _exchange(session: Session, address: str, port: int, client: _Plain | TlsClient) -> bytes:
    command = _TCP.format(seconds=int(TIMEOUT) - 5, address=ip_address(address), port=int(port))
    try:
        result = session.execute(command, stdin=client.outgoing(), timeout=TIMEOUT, on_output=client.feed)
    finally:
        client.close()
    if result.status != 0:
        said = result.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit code {result.status} (124: no answer in time)"
        raise WireError(f"{address}:{port} from {session.host.name}: {reason}")
    return client.plain


def _parsed(data: bytes, certificate: x509.Certificate | None, where: str) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise WireError(f"{where}: no HTTP answer, {len(data)} bytes")
    return Answer(status=int(words[1]), body=body, certificate=certificate)
