"""What sessions of all kinds do alike: wrap a command, pump its streams, count, and say how it ended."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from kprov.transport.base import Count, Counters, Held, Input, OnOutput, Result
from kprov.transport.outcome import fetch_file, result_of
from kprov.transport.pump import Pipes, Pump
from kprov.transport.shell import wrap
from kprov.values.model import Host

Running = TypeVar("Running", bound=Pipes)


class Commands(ABC, Generic[Running]):
    """Runs commands as `base.Session` says. A kind of session says how one is started, and why it has no exit code."""

    host: Host

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    @property
    @abstractmethod
    def where(self) -> str:
        """The host, for messages."""

    @abstractmethod
    def _is_root(self) -> bool:
        """Return whether commands run as root without sudo."""

    @abstractmethod
    def _start(self, line: str) -> Running:
        """Start a line of shell. Raises TransportError."""

    @abstractmethod
    def _end(self, running: Running) -> None:
        """Let go of a command that has ended or was stopped."""

    @abstractmethod
    def _why_lost(self, running: Running) -> str | None:
        """Return why there is no exit code: None when a signal killed the command on a connection that lives."""

    def execute(
        self,
        command: str,
        *,
        stdin: Input = b"",
        root: bool = True,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> Result:
        return self._run(command, stdin, root, timeout, on_output, keep=True)

    def fetch(self, path: str, sink: OnOutput, *, root: bool = True, timeout: float | None = None) -> int:
        def read(command: str, on_output: OnOutput) -> Result:
            return self._run(command, b"", root, timeout, on_output, keep=False)

        return fetch_file(read, path, sink, self.where)

    def hold(self, command: str, *, root: bool = True) -> Held:
        def run(stdin: Iterable[bytes], on_output: OnOutput) -> Result:
            return self.execute(command, stdin=stdin, root=root, on_output=on_output)

        return Held(run, self.where)

    def _run(
        self, command: str, stdin: Input, root: bool, timeout: float | None, on_output: OnOutput | None, *, keep: bool
    ) -> Result:
        connection = self.host.connection
        sudo = root and connection.become and not self._is_root()
        wrapped = wrap(command, sudo=sudo, password=connection.become_password, timeout=timeout)
        began = time.monotonic()
        running = self._start(wrapped.line)
        self._count(Count(execs=1))
        try:
            outcome = Pump(running, wrapped, stdin, timeout, on_output, keep=keep).run()
        finally:
            self._end(running)
        self._count(Count(bytes_sent=outcome.sent, bytes_received=outcome.received))
        lost = self._why_lost(running) if outcome.status == -1 and not outcome.stopped else None
        return result_of(outcome, wrapped, self.where, sudo=sudo, seconds=time.monotonic() - began, lost=lost)

    def _count(self, count: Count) -> None:
        self._counters.add(self.host.name, count)
