"""Hosts over SSH with the OpenSSH client and its whole configuration: one client a host, commands without a process each."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable

from kprov.transport import sentences
from kprov.transport.base import Count, Counters, Held, Input, OnOutput, Result
from kprov.transport.mux import Control, MuxClosed, MuxRefused
from kprov.transport.openssh_client import Client, Opener
from kprov.transport.openssh_config import Files
from kprov.transport.openssh_explain import last
from kprov.transport.outcome import fetch_file, result_of
from kprov.transport.pump import CHUNK, Pump
from kprov.transport.shell import wrap
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


class OpenSshSession:
    """One host. See `base.Session` for the contract.

    A host whose sshd allows fewer sessions on a connection than are needed at once (MaxSessions) gets further connections.
    """

    def __init__(self, host: Host, client: Client, transport: OpenSshTransport) -> None:
        self.host = host
        self.target = client.target
        self._clients = [client]
        self._transport = transport
        self._lock = threading.Lock()
        self._growing = threading.Lock()
        self._closed = False

    def execute(
        self,
        command: str,
        *,
        stdin: Input = b"",
        root: bool = True,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> Result:
        return self._run(command, stdin=stdin, root=root, timeout=timeout, on_output=on_output, keep=True)

    def fetch(self, path: str, sink: OnOutput, *, root: bool = True, timeout: float | None = None) -> int:
        def read(command: str, on_output: OnOutput) -> Result:
            return self._run(command, stdin=b"", root=root, timeout=timeout, on_output=on_output, keep=False)

        return fetch_file(read, path, sink, str(self.target))

    def _run(
        self,
        command: str,
        *,
        stdin: Input,
        root: bool,
        timeout: float | None,
        on_output: OnOutput | None,
        keep: bool,
    ) -> Result:
        settings = self.host.connection
        sudo = root and settings.become and self.target.user != "root"
        wrapped = wrap(command, sudo=sudo, password=settings.become_password, timeout=timeout)
        began = time.monotonic()
        client, pipes = self._start(wrapped.line)
        self._count(Count(execs=1))
        try:
            outcome = Pump(pipes, wrapped, stdin, timeout, on_output, keep=keep).run()
        finally:
            pipes.release()
        self._count(Count(bytes_sent=outcome.sent, bytes_received=outcome.received))
        lost = self._why_lost(client) if outcome.status == -1 and not outcome.stopped else None
        seconds = time.monotonic() - began
        return result_of(outcome, wrapped, str(self.target), sudo=sudo, seconds=seconds, lost=lost)

    def hold(self, command: str, *, root: bool = True) -> Held:
        def run(stdin: Iterable[bytes], on_output: OnOutput) -> Result:
            return self.execute(command, stdin=stdin, root=root, on_output=on_output)

        return Held(run, str(self.target))

    def dial(self, address: str, port: int, *, timeout: float = 10.0) -> PairStream:
        where, client = str(self.target), self._clients[0]
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

    def _count(self, count: Count) -> None:
        self._transport.counters.add(self.host.name, count)

    def _start(self, line: str) -> tuple[Client, _Streams]:
        """Start the command on the first connection that takes it. Raises TransportError."""
        for client in tuple(self._clients):
            with contextlib.suppress(MuxRefused):
                return client, self._start_on(client, line)
        with self._growing:
            client = self._grow()
            try:
                return client, self._start_on(client, line)
            except MuxRefused as error:
                raise sentences.no_further_session(self.target, str(error)) from None

    def _start_on(self, client: Client, line: str) -> _Streams:
        try:
            return _Streams(client.attach(), line)
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

    def _why_lost(self, client: Client) -> str | None:
        """Why there is no exit code: None when a signal killed the command on connections that live."""
        for one in (self._clients[0], client):  # the lock of a run lies on the first
            if not one.alive():
                return "the session was closed" if self._closed else last(one.printed()) or "the host hung up"
        return None


class _Streams:
    """A command's streams: the far ends are the client's. Sockets, and not pipes, as a shutdown wakes whoever reads."""

    def __init__(self, control: Control, line: str) -> None:
        self._control = control
        (self._stdin, stdin), (self._stdout, stdout), (self._stderr, stderr) = (socket.socketpair() for _ in range(3))
        try:
            control.start(line, stdin, stdout, stderr)
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
