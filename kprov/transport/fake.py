"""Hosts that exist only in a test: a handler answers every command. Counts like a real transport; does no I/O."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kprov.transport.base import Count, Counters, Held, Input, OnOutput, Result
from kprov.transport.outcome import fetch_file
from kprov.transport.streams import SocketStream, unreached
from kprov.values.errors import TransportError
from kprov.values.model import Host

Handler = Callable[[Host, str, bytes], Result]
Dialled = Callable[[Host, str, int], socket.socket]


def nothing_listens(host: Host, address: str, port: int) -> socket.socket:
    raise unreached(host.name, address, port, "Connection refused")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One command a fake host was asked to run."""

    host: str
    command: str
    stdin: bytes
    root: bool


@dataclass(kw_only=True)
class FakeTransport:
    """Args:
    handler: answers (host, command, whole stdin). Called from the threads that execute.
    dialled: our end of a connection to (host, address, port), or UnreachedError.
    unreachable: host name → what `connect` raises.
    drop_before, drop_after: host name → the exec (counted from 1 over all its sessions) at which the connection is
        lost, before the handler saw the command or after it did its work. A new connection works again.
    """

    handler: Handler
    dialled: Dialled = nothing_listens
    unreachable: Mapping[str, TransportError] = field(default_factory=dict)
    drop_before: Mapping[str, int] = field(default_factory=dict)
    drop_after: Mapping[str, int] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    calls: list[Call] = field(default_factory=list)
    written: list[tuple[str, bytes]] = field(default_factory=list)  # to held commands, by host name
    lock: threading.Lock = field(default_factory=threading.Lock)

    def connect(self, host: Host) -> FakeSession:
        if host.name in self.unreachable:
            raise self.unreachable[host.name]
        self.counters.add(host.name, Count(connections=1))
        return FakeSession(self, host)


class FakeSession:
    """A session of a fake host."""

    def __init__(self, transport: FakeTransport, host: Host) -> None:
        self._transport = transport
        self.host = host
        self._open = threading.Event()
        self._open.set()
        self._held: list[Held] = []
        self._streams: list[SocketStream] = []

    def execute(
        self,
        command: str,
        *,
        stdin: Input = b"",
        root: bool = True,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> Result:
        sent = stdin if isinstance(stdin, bytes) else b"".join(stdin)
        result = self._call(command, sent, root)
        if on_output is not None and result.stdout:
            on_output(result.stdout)
        return result

    def fetch(self, path: str, sink: OnOutput, *, root: bool = True, timeout: float | None = None) -> int:
        def read(command: str, on_output: OnOutput) -> Result:
            return self.execute(command, root=root, on_output=on_output)

        return fetch_file(read, path, sink, self.host.name)

    def hold(self, command: str, *, root: bool = True) -> Held:
        """The handler is asked at once, with empty stdin; its stdout is what the held command printed first.

        Status 0 means it then waits for the end of its stdin, any other status that it ended by itself.
        """

        def run(stdin: Iterable[bytes], on_output: OnOutput) -> Result:
            result = self._call(command, b"", root)
            on_output(result.stdout)
            if result.status == 0:
                for piece in stdin:
                    self._transport.written.append((self.host.name, piece))
                if not self._open.is_set():
                    raise self._lost()
            return result

        held = Held(run, self.host.name)
        self._held.append(held)
        return held

    def dial(self, address: str, port: int, *, timeout: float = 10.0) -> SocketStream:
        if not self._open.is_set():
            raise self._lost()
        end = self._transport.dialled(self.host, address, port)
        stream = SocketStream(end, lambda: None if self._open.is_set() else self._lost())
        self._streams.append(stream)
        return stream

    def drop(self) -> None:
        """Loses the connection."""
        self._open.clear()
        for held in self._held:
            held.release()
        for stream in self._streams:
            stream.close()

    def close(self) -> None:
        self.drop()

    def _call(self, command: str, stdin: bytes, root: bool) -> Result:
        fake = self._transport
        if not self._open.is_set():
            raise self._lost()
        with fake.lock:
            fake.counters.add(self.host.name, Count(execs=1, bytes_sent=len(stdin)))
            number = fake.counters[self.host.name].execs
            if fake.drop_before.get(self.host.name) != number:
                fake.calls.append(Call(host=self.host.name, command=command, stdin=stdin, root=root))
        if fake.drop_before.get(self.host.name) == number:
            self.drop()
            raise self._lost()
        result = fake.handler(self.host, command, stdin)
        if fake.drop_after.get(self.host.name) == number:
            self.drop()
            raise self._lost()
        fake.counters.add(self.host.name, Count(bytes_received=len(result.stdout) + len(result.stderr)))
        return result

    def _lost(self) -> TransportError:
        return TransportError("connection lost", where=self.host.name, todo="run the same command again")
