"""What a connection to a host can do, whatever carries it: the contract of every transport, and what they count.

Nothing here may import an SSH library: `import kprov.transport` has to stay cheap.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from kprov.values.errors import TransportError
from kprov.values.model import Host

Input = Iterable[bytes] | bytes
OnOutput = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended. `status` is its exit code, or -1 when a signal killed it."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, kw_only=True)
class Count:
    """What one host cost: SSH connections, execs, payload bytes to stdin and from stdout and stderr."""

    connections: int = 0
    execs: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            connections=self.connections + other.connections,
            execs=self.execs + other.execs,
            bytes_sent=self.bytes_sent + other.bytes_sent,
            bytes_received=self.bytes_received + other.bytes_received,
        )


class Counters:
    """Counts by host name; thread-safe. A host that was never asked counts zero."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Count] = {}

    def add(self, host: str, count: Count) -> None:
        with self._lock:
            self._counts[host] = self._counts.get(host, Count()) + count

    def __getitem__(self, host: str) -> Count:
        with self._lock:
            return self._counts.get(host, Count())

    def snapshot(self) -> Mapping[str, Count]:
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> Count:
        return sum(self.snapshot().values(), Count())


class Held:
    """A command that runs until its stdin is closed: by `close()`, or because the connection is gone.

    Args:
        run: starts the command with that stdin, calls back with each piece of stdout, returns when it has ended.
        where: the host, for messages.
    """

    def __init__(self, run: Callable[[Iterable[bytes], OnOutput], Result], where: str) -> None:
        self._where = where
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._output = bytearray()
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, args=(run,), name=f"held {where}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the command still runs, as far as this side knows."""
        with self._changed:
            return self._result is None and self._error is None

    @property
    def lines(self) -> tuple[str, ...]:
        """The complete lines it has printed on stdout so far."""
        with self._changed:
            return tuple(self._output.decode(errors="replace").split("\n")[:-1])

    def first_line(self, timeout: float | None = None) -> str:
        """Waits for the first line, without its newline; what there is when the command ended before one.

        Raises TransportError when the connection is lost or `timeout` seconds passed.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: b"\n" in self._output or self._ended, timeout):
                raise TransportError(
                    "the command printed no line", where=self._where, found=f"nothing within {timeout:g} s"
                )
            if b"\n" not in self._output and self._error is not None:
                raise self._error
            return self._output.decode(errors="replace").split("\n", 1)[0]

    def write(self, data: bytes) -> None:
        """Send something to the command's stdin, which stays open. After `close` it reaches nobody."""
        self._pieces.put(data)

    def release(self) -> None:
        """Close the command's stdin, and do not wait."""
        self._pieces.put(None)

    def close(self, timeout: float = 30.0) -> Result:
        """Closes the command's stdin and waits until it has ended. Raises TransportError; may be called again."""
        self.release()
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout):
                raise TransportError(
                    "a command did not end when its input was closed", where=self._where, found=f"{timeout:g} s passed"
                )
            if self._result is None:
                raise self._error or AssertionError("ended without a result")
            return self._result

    @property
    def _ended(self) -> bool:
        return self._result is not None or self._error is not None

    def _follow(self, run: Callable[[Iterable[bytes], OnOutput], Result]) -> None:
        result: Result | None = None
        error: BaseException | None = None
        try:
            result = run(self._input(), self._feed)
        except BaseException as caught:  # handed to whoever asks this object, in their thread
            error = caught
        self.release()
        with self._changed:
            self._result, self._error = result, error
            self._changed.notify_all()

    def _input(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            yield piece

    def _feed(self, data: bytes) -> None:
        with self._changed:
            self._output += data
            self._changed.notify_all()


class Stream(Protocol):
    """A TCP connection that a host made for us. One thread may read while another writes."""

    def read(self) -> bytes:
        """Waits for bytes and returns what came; empty at the end. Raises TransportError when the host is lost."""
        ...

    def write(self, data: bytes) -> None:
        """Raises TransportError when nobody takes them any more."""
        ...

    def end(self) -> None:
        """Nothing more will be written. What the other side still says can be read."""
        ...

    def close(self) -> None:
        """Ends both directions; a `read` that waits returns. May be called again."""
        ...


class Session(Protocol):
    """One connection to one host. Thread-safe: several commands may run at once (sshd allows 10 by default)."""

    @property
    def host(self) -> Host: ...

    def execute(
        self,
        command: str,
        *,
        stdin: Input = b"",
        root: bool = True,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> Result:
        """Runs a POSIX sh command with LC_ALL=C and returns when it ended and closed its output.

        Args:
            command: sh text. It is visible in the host's process list: secrets belong in `stdin`.
            stdin: bytes, or pieces that are streamed and never all in memory.
            root: become root (sudo) unless already root.
            timeout: seconds for the whole command; the host ends it a second later, even if the connection is lost.
            on_output: called with each piece of stdout as it comes, from this thread.

        Raises TransportError when the connection is lost, root is refused or time is up. Never for an exit code.
        What login scripts print before the command starts is not part of the result.
        """
        ...

    def fetch(self, path: str, sink: OnOutput, *, root: bool = True, timeout: float | None = None) -> int:
        """Stream a file of the host into `sink`, piece by piece, and return its size in bytes; costs one exec.

        Args:
            path: any path; it is visible in the host's process list.
            sink: called with each piece from this thread; while it works, the host waits. What it raises ends the exec.
            root, timeout: as for `execute`.

        Never more than a few MiB are in memory, whatever the file's size.

        Raises TransportError when the file cannot be read to its end: what came before that is worth nothing.
        """
        ...

    def hold(self, command: str, *, root: bool = True) -> Held:
        """Starts a command whose stdin stays open until `Held.close()` or until the connection is gone."""
        ...

    def dial(self, address: str, port: int, *, timeout: float = 10.0) -> Stream:
        """Has the host connect to a TCP port that it can reach; costs no exec and needs no root.

        Raises UnreachedError when the host cannot, or may not, connect there within `timeout` seconds, and
        TransportError when the host itself is lost.
        """
        ...

    def close(self) -> None:
        """Ends the connection. Commands that still run fail with TransportError. May be called again."""
        ...


class Transport(Protocol):
    """Makes sessions and counts what they do."""

    @property
    def counters(self) -> Counters: ...

    def connect(self, host: Host) -> Session:
        """Raises TransportError."""
        ...


def connect_many(
    transport: Transport, hosts: Sequence[Host], forks: int = 32
) -> Mapping[str, Session | TransportError]:
    """Connects to all hosts, `forks` at a time; the answer of each by host name, in the order of `hosts`."""

    def attempt(host: Host) -> Session | TransportError:
        try:
            return transport.connect(host)
        except TransportError as error:
            return error

    if not hosts:
        return {}
    with ThreadPoolExecutor(max_workers=min(forks, len(hosts)), thread_name_prefix="connect") as pool:
        return dict(zip((host.name for host in hosts), pool.map(attempt, hosts), strict=True))
