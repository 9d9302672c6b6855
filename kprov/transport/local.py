"""This machine as a host: commands run through `sh` without a network. Same contract as SSH; one process group each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from io import FileIO
from typing import IO

from kprov.transport.base import Count, Counters
from kprov.transport.commands import Commands
from kprov.transport.pump import CHUNK
from kprov.transport.streams import SocketStream, dial_here
from kprov.values.errors import TransportError
from kprov.values.model import Host


class LocalTransport:
    """Sessions on this machine; the host's connection is only read for `become` and its password."""

    def __init__(self) -> None:
        self.counters = Counters()

    def connect(self, host: Host) -> LocalSession:
        self.counters.add(host.name, Count(connections=1))
        return LocalSession(host, self.counters)


class LocalSession(Commands["_Process"]):
    """Runs commands as the user of this process, or as root with sudo."""

    def __init__(self, host: Host, counters: Counters) -> None:
        super().__init__(counters)
        self.host = host
        self._lock = threading.Lock()
        self._running: set[_Process] = set()
        self._streams: list[SocketStream] = []
        self._open = True

    @property
    def where(self) -> str:
        return self.host.name

    def _is_root(self) -> bool:
        return os.geteuid() == 0

    def _start(self, line: str) -> _Process:
        with self._lock:
            if (error := self._lost()) is not None:
                raise error
            process = _Process(line)
            self._running.add(process)
        return process

    def _end(self, running: _Process) -> None:
        with self._lock:
            self._running.discard(running)
        running.release()

    def _why_lost(self, running: _Process) -> str | None:
        return None if self._open else "the session was closed"

    def dial(self, address: str, port: int, *, timeout: float = 10.0) -> SocketStream:
        if (error := self._lost()) is not None:
            raise error
        stream = SocketStream(dial_here(self.host.name, address, port, timeout), self._lost)
        with self._lock:
            self._streams.append(stream)
        return stream

    def close(self) -> None:
        with self._lock:
            self._open = False
            running, streams = tuple(self._running), tuple(self._streams)
        for process in running:
            process.abort()
        for stream in streams:
            stream.close()

    def _lost(self) -> TransportError | None:
        if self._open:
            return None
        return TransportError("connection lost", where=self.host.name, found="the session was closed")


class _Process:
    """The streams of a child and its process group."""

    def __init__(self, line: str) -> None:
        self._child = subprocess.Popen(
            ["sh", "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._stdin, self._stdout, self._stderr = (
            _pipe(self._child.stdin),
            _pipe(self._child.stdout),
            _pipe(self._child.stderr),
        )

    def read_output(self) -> bytes:
        return self._stdout.read(CHUNK) or b""

    def read_error(self) -> bytes:
        return self._stderr.read(CHUNK) or b""

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._stdin.write(view) or 0 :]

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()

    def abort(self) -> None:
        if self._child.returncode is not None:
            return  # its number may belong to somebody else by now
        with contextlib.suppress(OSError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def status(self) -> int:
        return max(self._child.wait(), -1)

    def release(self) -> None:
        self._stdout.close()
        self._stderr.close()


def _pipe(stream: IO[bytes] | None) -> FileIO:
    """The unbuffered end of a pipe that Popen was asked for."""
    if not isinstance(stream, FileIO):
        raise TypeError("the child has no pipe")
    return stream
