"""A tunnel over a real SSH server: many connections, TLS that ends here, a host that is lost, and the end of it all."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import host_of, ssh_transport
from ssh_server import SshServer, make_folder
from test_session import until

from kprov.pki.authority import CertificateAuthority
from kprov.transport import Stream, Transport
from kprov.tunnel.api import Api
from kprov.tunnel.bearer import USER, BearerStream, Requests
from kprov.tunnel.forward import Forward, listen
from kprov.tunnel.tls import TlsStream
from kprov.tunnel.way import Way
from kprov.values.certificate import CertificateSpec
from kprov.values.errors import KprovError, TransportError
from kprov.values.secret import Secret

NAME = "web.space.svc"


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/login":
            self._answer(200, self.headers.get("Authorization", "nobody").encode())
            return
        size = int(self.path.rpartition("/")[2] or 0)
        self._answer(200, b"x" * size)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        missing = self.path.endswith("/missing")
        refused = self.path.endswith("/refused")
        self._answer(404 if missing else 403 if refused else 201, b'{"message": "not you"}' if refused else body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.generate("kubernetes", "ecdsa-p256", 30, datetime.now(UTC))


def served(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a plain HTTP server."""
    yield from served()


@pytest.fixture
def tls_page(authority: CertificateAuthority, tmp_path: Path) -> Iterator[int]:
    """The port of one with a certificate of the CA, good for NAME and kubernetes."""
    spec = CertificateSpec(
        name="web", authority="kubernetes", common_name="web", server=True, dns_names=(NAME, "kubernetes")
    )
    issued = authority.issue(spec, datetime.now(UTC))
    (tmp_path / "pair.pem").write_bytes(issued.cert_pem + issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    yield from served(context)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def way(server: SshServer, ssh: Transport, told: list[str]) -> Iterator[Way]:
    way = Way(ssh, [host_of(server)], told.append)
    way.settle(lambda session: None)
    yield way
    way.close()


@pytest.fixture
def forward(told: list[str]) -> Iterator[Callable[[Callable[[], Stream]], str]]:
    """Starts a tunnel; gives its URL."""
    made: list[Forward] = []

    def start(dial: Callable[[], Stream]) -> str:
        listener = listen(0)
        made.append(Forward(listener, dial, told.append))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for one in made:
        one.close()


def trusting(authority: CertificateAuthority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.cert_pem.decode())


def test_a_page_gets_a_bearer_token_from_who_shows_the_password(
    way: Way, tls_page: int, authority: CertificateAuthority, forward: Callable[..., str]
) -> None:
    """Over TLS that ends here, many requests in each connection, some with the password and some without."""

    def dial() -> Stream:
        stream = TlsStream(way.dial("127.0.0.1", tls_page), trusting(authority), NAME)
        return BearerStream(stream, Requests(Secret("pass"), "a.b.c"))

    url = forward(dial)
    logins = [(USER, "pass"), None, (USER, "wrong"), (USER, "pass")]
    with ThreadPoolExecutor(4) as pool, httpx.Client(timeout=30) as client:
        answers = list(pool.map(lambda login: client.get(f"{url}/login", auth=login).text, logins * 5))
        body = b"x" * 200_000
        assert client.post(f"{url}/there", content=body, auth=(USER, "pass")).content == body
    assert answers == ["Bearer a.b.c", "nobody", "nobody", "Bearer a.b.c"] * 5


def test_many_connections_at_once_and_one_after_the_other(
    way: Way, page: int, forward: Callable[..., str], told: list[str]
) -> None:
    url = forward(lambda: way.dial("127.0.0.1", page))
    with ThreadPoolExecutor(20) as pool:
        sizes = [0, 1, 70_000, 3_000_000] * 5
        answers = list(pool.map(lambda size: httpx.get(f"{url}/{size}", timeout=30), sizes))
    assert [len(answer.content) for answer in answers] == sizes
    with httpx.Client() as client:  # one connection
        assert [len(client.get(f"{url}/{size}").content) for size in (5, 7)] == [5, 7]
        assert client.post(url, content=b"y" * 1_000_000).content == b"y" * 1_000_000
    assert told == []


def test_only_this_computers_own_address_listens(forward: Callable[..., str], way: Way, page: int) -> None:
    port = int(forward(lambda: way.dial("127.0.0.1", page)).rpartition(":")[2])
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    with listen(0) as taken, pytest.raises(KprovError) as caught:
        listen(taken.getsockname()[1])
    assert "another program listens there" in caught.value.found
    assert "--port" in caught.value.todo


def test_tls_ends_here_and_the_certificate_is_judged(
    way: Way, tls_page: int, authority: CertificateAuthority, forward: Callable[..., str], told: list[str]
) -> None:
    context = trusting(authority)
    url = forward(lambda: TlsStream(way.dial("127.0.0.1", tls_page), context, NAME))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda size: httpx.get(f"{url}/{size}", timeout=30), [3, 2_000_000] * 4))
    assert [len(answer.content) for answer in answers] == [3, 2_000_000] * 4
    assert httpx.post(url, content=b"z" * 500_000).content == b"z" * 500_000
    assert told == []


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_certificate_that_is_not_right_lets_nobody_through_and_is_told_once(
    wrong: str, way: Way, tls_page: int, authority: CertificateAuthority, forward: Callable[..., str], told: list[str]
) -> None:
    other = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 30, datetime.now(UTC))
    context = trusting(other if wrong == "authority" else authority)
    name = "other.space.svc" if wrong == "name" else NAME
    url = forward(lambda: TlsStream(way.dial("127.0.0.1", tls_page), context, name))
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/1")
    assert until(lambda: len(told) == 1)
    assert "TLS was refused" in told[0]
    assert ("not valid for" if wrong == "name" else "unable to get local issuer") in told[0]


def test_tls_hears_the_end_of_what_the_other_side_says(
    way: Way, tls_page: int, authority: CertificateAuthority
) -> None:
    stream = TlsStream(way.dial("127.0.0.1", tls_page), trusting(authority), NAME)
    stream.write(b"GET /5 HTTP/1.0\r\n\r\n")
    answer = b""
    while data := stream.read():
        answer += data
    assert answer.endswith(b"\r\n\r\nxxxxx")
    stream.end()
    stream.close()


def test_the_api_is_asked_through_the_host(
    server: SshServer,
    ssh: Transport,
    tls_page: int,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kprov.tunnel.api.PORT", tls_page)
    session = ssh.connect(host_of(server))
    api = Api(host=session.host.name, dial=session.dial, context=trusting(authority))
    assert api.create("/a", {"kind": "A"}) == {"kind": "A"}
    assert api.create("/missing", {}) is None
    with pytest.raises(TransportError, match="refused a question") as caught:
        api.create("/refused", {})
    assert "HTTP 403" in caught.value.found
    assert "not you" in caught.value.found
    session.close()
    with pytest.raises(TransportError):
        api.get("/a")


def test_a_page_where_nobody_listens_is_told_once_and_works_when_somebody_does(
    way: Way, forward: Callable[..., str], told: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = forward(lambda: way.dial("127.0.0.1", port))
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
    assert until(lambda: len(told) == 1)
    assert f"127.0.0.1:{port}" in told[0]
    server = ThreadingHTTPServer(("127.0.0.1", port), _Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        assert httpx.get(f"{url}/4").content == b"xxxx"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_host_that_is_lost_is_replaced_by_another(
    kind: str, page: int, forward: Callable[..., str], told: list[str]
) -> None:
    first, second = SshServer(make_folder()), SshServer(make_folder())
    first.start()
    second.start()
    known = first.folder / "both"
    known.write_text(first.known_hosts.read_text() + second.known_hosts.read_text())
    way = Way(ssh_transport(kind, known), [host_of(first, "one"), host_of(second, "two")], told.append)
    try:
        way.settle(lambda session: None)
        url = forward(lambda: way.dial("127.0.0.1", page))
        with httpx.Client() as client:
            assert client.get(f"{url}/3").content == b"xxx"
            first.stop()  # its connections too
            assert until(lambda: way_answers(url, told))
        assert way.host == "two"
        assert told[-1].startswith("one (")
        assert told[-1].endswith("now through two")
        second.stop()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/1")
        assert until(lambda: "no control plane can be used" in told[-1])
    finally:
        way.close()
        for server in (first, second):
            if server.process is not None and server.process.poll() is None:
                server.stop()
            shutil.rmtree(server.folder)


def way_answers(url: str, told: list[str]) -> bool:
    try:
        return httpx.get(f"{url}/2").content == b"xx" and bool(told)
    except httpx.TransportError:
        return False


def test_closing_ends_what_is_open(way: Way, page: int, told: list[str]) -> None:
    listener = listen(0)
    address = listener.getsockname()
    forward = Forward(listener, lambda: way.dial("127.0.0.1", page), told.append)
    with socket.create_connection(address) as idle:
        assert httpx.get(f"http://127.0.0.1:{address[1]}/1").content == b"x"
        before = threading.active_count()
        forward.close()
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert until(lambda: threading.active_count() < before)
    assert told == []
