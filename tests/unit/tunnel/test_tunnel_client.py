"""Who asks through a tunnel is told what went wrong in a word, and asks again on a new connection."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from kprov.tunnel.client import A, Client, look_up


@contextmanager
def served(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of this computer; each connection is given to `answer`, and closed after it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                answer(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


class Counting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        Counting.connections += 1
        super().setup()

    def do_GET(self) -> None:
        code = 500 if self.path == "/broken" else 200
        self.send_response(code)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        return


def test_a_connection_is_kept_and_a_refusal_is_told_by_its_code() -> None:
    Counting.connections = 0
    server = HTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = Client(server.server_port)
    assert [client.ask("GET", "/").body for _ in range(3)] == [b"OK"] * 3
    assert client.ask("GET", "/broken").why == "HTTP 500"
    assert Counting.connections == 1
    client.close()
    server.shutdown()
    server.server_close()


def test_what_breaks_off_is_no_answer_and_the_next_request_begins_anew() -> None:
    calls: list[int] = []

    def once_then_well(peer: socket.socket) -> None:
        peer.recv(1000)
        calls.append(1)
        if len(calls) > 1:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    with served(once_then_well) as port:
        client = Client(port)
        assert client.ask("GET", "/").why == "the connection broke"
        assert client.ask("GET", "/").body == b"OK"
        client.close()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert Client(port).ask("GET", "/").why == "the connection broke"
    assert look_up(port, "a.b", A).why == "the connection broke"


def watched(*lines: str) -> Callable[[socket.socket], None]:
    def answer(peer: socket.socket) -> None:
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + "".join(f"{line}\n" for line in lines).encode())

    return answer


def test_a_watch_tells_that_it_began_and_then_each_line() -> None:
    with served(watched(json.dumps({"n": 1}), json.dumps({"n": 2}))) as port:
        begun, *rest = Client(port).lines("/watch")
        assert begun.why == ""
        assert [said.body for said in rest] == [{"n": 1}, {"n": 2}]
    with served(watched('{"n":')) as port:
        assert [said.why for said in Client(port).lines("/watch")] == ["", "JSONDecodeError"]


def named(code: int, count: int) -> Callable[[socket.socket], None]:
    def answer(peer: socket.socket) -> None:
        asked = peer.recv(1000)
        assert b"\x03web\x04shop\x00" in asked
        body = struct.pack(">HHHHHH", 1, 0x8180 | code, 1, count, 0, 0) + b"rest"
        peer.sendall(struct.pack(">H", len(body)) + body)

    return answer


def test_a_name_is_there_not_there_or_refused() -> None:
    with served(named(0, 1)) as port:
        assert look_up(port, "web.shop", A).body.endswith(b"rest")
    with served(named(3, 0)) as port:
        assert look_up(port, "web.shop", A).why == "DNS code 3, 0 answers"
    with served(lambda peer: peer.close()) as port:
        assert look_up(port, "web.shop", A).why == "the connection broke"
