"""Hosts over SSH with the OpenSSH client and its whole configuration: one client a host, commands without a process each."""

from __future__ import annotations

import contextlib
import socket
import threading

from kprov.transport import sentences
from kprov.transport.base import Count, Counters
from kprov.transport.commands import Commands
from kprov.transport.mux import MuxClosed, MuxRefused
from kprov.transport.openssh_client import Client, Opener
from kprov.transport.openssh_config import Files
from kprov.transport.openssh_explain import last
from kprov.transport.pump import CHUNK
from kprov.transport.streams import PairStream, forbidden, silent, unreached
from kprov.values.errors import TransportError
from kprov.values.model import Host

_MOST_CLIENTS = 8  # connections to one host whose sshd allows few sessions on each


class OpenSshTransport:
    """Args:
    files: read instead of the user's and the system's.
    """

    def __init__(self, files: Files | None = None, *, counters: Counters | None = None) -> None:
        self.counters = Counters() if counters is None else counters
        self._opener = Opener(files or Files())
        self._lock = threading.Lock()
        self._sessions = 0

    def connect(self, host: Host) -> OpenSshSession:
        """Raises TransportError."""
        with self._lock:
            self._sessions += 1  # before it is open: nobody may end a jump host's connection meanwhile
        try:
            client = self.open(host)
        except BaseException:
            self.forget()
            raise
        return OpenSshSession(host, client, self)

    def open(self, host: Host) -> Client:
        """Open one more connection to that host. Raises TransportError."""
        client = self._opener.open(host.name, host.connection)
        self.counters.add(host.name, Count(connections=1))
        return client

    def forget(self) -> None:
        """A session ended; with the last one the connections to jump hosts end."""
        with self._lock:
            self._sessions -= 1
            if self._sessions == 0:
                self._opener.close()


class OpenSshSession(Commands["_Streams"]):
    """One host. See `base.Session` for the contract.

    A host whose sshd allows fewer sessions on a connection than are needed at once (MaxSessions) gets further connections.
    """

    def __init__(self, host: Host, client: Client, transport: OpenSshTransport) -> None:
        super().__init__(transport.counters)
        self.host = host
        self.target = client.target
        self._clients = [client]
        self._transport = transport
        self._lock = threading.Lock()
        self._growing = threading.Lock()
        self._closed = False

    @property
    def where(self) -> str:
        return str(self.target)

    def _is_root(self) -> bool:
        return self.target.user == "root"

    def dial(self, address: str, port: int, *, timeout: float = 10.0) -> PairStream:
        where, client = self.where, self._clients[0]
        (reading, writes), (reads, writing) = socket.socketpair(), socket.socketpair()
        printed = len(client.printed())
        control = None
        try:
            control = client.attach()
            control.set_timeout(timeout)
            control.forward(address, port, reads, writes)
        except (MuxRefused, MuxClosed, TimeoutError) as error:
            for end in (reading, writing, reads, writes, *((control,) if control is not None else ())):
                end.close()
            if isinstance(error, TimeoutError):
                raise silent(where, address, port, timeout) from None
            if isinstance(error, MuxClosed):
                raise self._gone(client) from None
            said = last(client.printed()[printed:])
            if "administratively prohibited" in said:
                raise forbidden(where, address, port) from None
            raise unreached(where, address, port, said.rpartition("failed: ")[2] or str(error)) from None

        def lost() -> TransportError | None:
            return None if client.alive() else self._gone(client)

        return PairStream(reading, writing, control.close, lost)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            clients = tuple(self._clients)
        for client in clients:
            client.close()
        self._transport.forget()

    def _start(self, line: str) -> _Streams:
        """Start the command on the first connection that takes it. Raises TransportError."""
        for client in tuple(self._clients):
            with contextlib.suppress(MuxRefused):
                return self._start_on(client, line)
        with self._growing:
            client = self._grow()
            try:
                return self._start_on(client, line)
            except MuxRefused as error:
                raise sentences.no_further_session(self.target, str(error)) from None

    def _start_on(self, client: Client, line: str) -> _Streams:
        try:
            return _Streams(client, line)
        except MuxClosed:
            raise self._gone(client) from None

    def _grow(self) -> Client:
        if len(self._clients) >= _MOST_CLIENTS:
            raise sentences.no_further_session(self.target, f"{_MOST_CLIENTS} connections are in use")
        client = self._transport.open(self.host)
        with self._lock:
            closed = self._closed
            self._clients.append(client)
        if closed:
            client.close()
            raise self._gone(client)
        return client

    def _gone(self, client: Client) -> TransportError:
        return TransportError(
            "connection lost", where=str(self.target),
            found="the session was closed" if self._closed else last(client.printed()) or "the host hung up",
            todo="see that the host is up, then run the same command again",
        )  # fmt: skip

    def _end(self, running: _Streams) -> None:
        running.release()

    def _why_lost(self, running: _Streams) -> str | None:
        for one in (self._clients[0], running.client):  # the lock of a run lies on the first
            if not one.alive():
                return "the session was closed" if self._closed else last(one.printed()) or "the host hung up"
        return None


class _Streams:
    """A command's streams: the far ends are the client's. Sockets, and not pipes, as a shutdown wakes whoever reads."""

    def __init__(self, client: Client, line: str) -> None:
        self.client = client
        self._control = client.attach()
        (self._stdin, stdin), (self._stdout, stdout), (self._stderr, stderr) = (socket.socketpair() for _ in range(3))
        try:
            self._control.start(line, stdin, stdout, stderr)
        except BaseException:
            self.release()
            raise

    def read_output(self) -> bytes:
        return _receive(self._stdout)

    def read_error(self) -> bytes:
        return _receive(self._stderr)

    def write(self, data: bytes) -> None:
        self._stdin.sendall(data)

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        self._control.close()
        for end in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        self.abort()
        for end in (self._stdin, self._stdout, self._stderr):
            end.close()

    def status(self) -> int:
        code = self._control.exit_code()
        return -1 if code is None else code


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(CHUNK)
    except OSError:
        return b""
