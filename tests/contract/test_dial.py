"""Connections that a host makes for us: bytes both ways, their ends, what cannot be reached, and a host that is lost."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from conftest import _transport, host_of
from ssh_server import SshServer, make_folder
from test_session import FIVE_MB, until

from kprov.transport import Count, Session, Stream, Transport
from kprov.transport.fake import FakeTransport
from kprov.transport.streams import dial_here
from kprov.values.errors import TransportError, UnreachedError
from kprov.values.model import Host


@pytest.fixture
def dialler(request: pytest.FixtureRequest, transport: Transport, server: SshServer) -> Iterator[Session]:
    """A session of every transport; the fake one's host connects where this machine would."""
    if isinstance(transport, FakeTransport):

        def here(host: Host, address: str, port: int) -> socket.socket:
            return dial_here(host.name, address, port, 10)

        transport.dialled = here
    session = transport.connect(host_of(server))
    yield session
    session.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serves every connection on loopback with a function, in a thread each; gives the port."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def one(peer: socket.socket) -> None:
            with peer:
                answer(peer)

        def accept() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=one, args=(peer,)))
                threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for sock in sockets:
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    for thread in threads:
        thread.join(10)


def echo(peer: socket.socket) -> None:
    while data := peer.recv(65536):
        peer.sendall(data)


def rest(stream: Stream) -> bytes:
    parts = []
    while data := stream.read():
        parts.append(data)
    return b"".join(parts)


def test_five_megabytes_there_and_back(dialler: Session, serve: Callable[..., int]) -> None:
    stream = dialler.dial("127.0.0.1", serve(echo))

    def send() -> None:
        stream.write(FIVE_MB)
        stream.end()

    writer = threading.Thread(target=send)
    writer.start()
    assert rest(stream) == FIVE_MB
    writer.join(10)
    stream.close()


def test_the_end_of_what_we_say_is_not_the_end_of_the_answer(dialler: Session, serve: Callable[..., int]) -> None:
    def count(peer: socket.socket) -> None:
        total = 0
        while data := peer.recv(65536):
            total += len(data)
        peer.sendall(str(total).encode())

    stream = dialler.dial("127.0.0.1", serve(count))
    stream.write(b"12345")
    stream.end()
    assert rest(stream) == b"5"
    stream.close()
    stream.close()


def test_several_connections_and_a_command_at_once(dialler: Session, serve: Callable[..., int]) -> None:
    port = serve(echo)
    streams = [dialler.dial("127.0.0.1", port) for _ in range(12)]
    for number, stream in enumerate(streams):
        stream.write(b"%d" % number)
        stream.end()
    assert dialler.execute("echo meanwhile").stdout == b"meanwhile\n"
    assert [rest(stream) for stream in streams] == [b"%d" % number for number in range(12)]
    for stream in streams:
        stream.close()


def test_a_dialled_connection_costs_no_exec(transport: Transport, dialler: Session, serve: Callable[..., int]) -> None:
    before = transport.counters["one"]
    dialler.dial("127.0.0.1", serve(echo)).close()
    assert transport.counters["one"] == before
    assert before == Count(connections=1)


def test_a_port_where_nobody_listens(dialler: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnreachedError) as caught:
        dialler.dial("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in caught.value.what
    assert caught.value.found
    assert dialler.execute("echo there").stdout == b"there\n"


def test_a_reader_wakes_when_we_close(dialler: Session, serve: Callable[..., int]) -> None:
    stream = dialler.dial("127.0.0.1", serve(echo))
    ended = threading.Event()

    def read() -> None:
        assert stream.read() == b""
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    stream.close()
    assert ended.wait(10)
    reader.join(10)


def test_what_nobody_takes_any_more_is_an_error(dialler: Session, serve: Callable[..., int]) -> None:
    stream = dialler.dial("127.0.0.1", serve(lambda peer: None))
    assert rest(stream) == b""

    def refused() -> bool:
        try:
            stream.write(b"x" * 65536)
        except TransportError:
            return True
        return False

    assert until(refused)
    stream.close()


def test_a_closed_session_dials_nobody(dialler: Session, serve: Callable[..., int]) -> None:
    port = serve(echo)
    stream = dialler.dial("127.0.0.1", port)
    dialler.close()
    with pytest.raises(TransportError, match="connection lost"):
        stream.read()
    with pytest.raises(TransportError, match="connection lost") as caught:
        dialler.dial("127.0.0.1", port)
    assert not isinstance(caught.value, UnreachedError)


def test_a_host_that_is_lost_is_told_from_one_that_cannot_connect(
    server: SshServer, ssh: Transport, serve: Callable[..., int]
) -> None:
    port = serve(echo)
    session = ssh.connect(host_of(server))
    stream = session.dial("127.0.0.1", port)
    server.cut()
    with pytest.raises(TransportError, match="connection lost"):
        rest(stream)
    with pytest.raises(TransportError, match="connection lost") as caught:
        session.dial("127.0.0.1", port)
    assert not isinstance(caught.value, UnreachedError)
    session.close()


def test_a_server_that_forwards_nothing_says_what_to_change(kind: str) -> None:
    server = SshServer(make_folder(), extra="AllowTcpForwarding no\n")
    server.start()
    try:
        session = _transport(kind, server).connect(host_of(server))
        with pytest.raises(UnreachedError) as caught:
            session.dial("127.0.0.1", server.port)
        assert "AllowTcpForwarding" in caught.value.needed
        assert session.execute("echo there").stdout == b"there\n"
        session.close()
    finally:
        server.stop()
        shutil.rmtree(server.folder)


def test_silence_ends_in_time(server: SshServer, ssh: Transport) -> None:
    """A listener whose queue is full answers no further one: the kernel drops it, as a dead machine would."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        session = ssh.connect(host_of(server))
        with pytest.raises(UnreachedError, match="cannot connect") as caught:
            session.dial("127.0.0.1", port, timeout=1)
        assert "within 1 s" in caught.value.found
        assert session.execute("echo there").stdout == b"there\n"
        session.close()
        for sock in waiting:
            sock.close()
