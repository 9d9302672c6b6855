"""Moves the bytes of one running command both ways at once, so that no side stalls; knows neither SSH nor hosts.

stdout is read by the calling thread, stderr by a second one, stdin is written by a third unless it is short.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from kprov.transport.base import Input, OnOutput
from kprov.transport.shell import AfterMark, Wrapped

CHUNK = 128 * 1024
MAX_OUTPUT = 64 * 1024 * 1024  # bytes of stdout and of stderr: a host cannot fill the operator's memory
PROMPT_SECONDS = 30.0  # sudo may ask a directory service before it prompts
_INLINE = 8 * 1024  # stdin up to this size fits any pipe and window: written without a thread

Event = Literal["prompt", "started", "end"]
Stopped = Literal["", "timeout", "output", "password", "prompt"]


class Pipes(Protocol):
    """The three streams of a running command. Reads block; `abort` unblocks everything."""

    def read_output(self) -> bytes:
        """Next piece of stdout, b"" at its end."""
        ...

    def read_error(self) -> bytes:
        """Next piece of stderr, b"" at its end."""
        ...

    def write(self, data: bytes) -> None:
        """Writes all of it to stdin. Raises OSError or EOFError when nobody reads any more."""
        ...

    def end_input(self) -> None:
        """Closes stdin; harmless when it is closed already."""
        ...

    def abort(self) -> None:
        """Closes the streams, and ends the command where that is possible."""
        ...

    def status(self) -> int:
        """Waits for the end: exit code, or -1."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a command.

    started: whether the command began (sudo and the login shell let it).
    stopped: why this side ended it: "timeout", "output" (too much), "password" (wrong), "prompt" (sudo neither asked
        nor ran), or "".
    sent, received: bytes of stdin, and of both outputs together.
    noise: what was printed on both outputs before the command began.
    """

    status: int
    stdout: bytes
    stderr: bytes
    noise: bytes
    started: bool
    stopped: Stopped
    sent: int
    received: int = 0


class Pump:
    """One command's streams. Use `run()` once.

    Args:
        keep: whether stdout is part of the outcome; without it, only `on_output` gets it, and it may be of any size.
    """

    def __init__(
        self,
        pipes: Pipes,
        wrapped: Wrapped,
        stdin: Input,
        timeout: float | None,
        on_output: OnOutput | None,
        *,
        keep: bool = True,
    ) -> None:
        self._pipes = pipes
        self._wrapped = wrapped
        self._stdin = stdin
        self._timeout = timeout
        self._on_output = on_output
        self._keep = keep
        self._received = 0
        self._out, self._err = AfterMark(wrapped.mark), AfterMark(wrapped.mark)
        self._stdout, self._stderr = bytearray(), bytearray()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stopped: Stopped = ""
        self._failure: BaseException | None = None
        self._sent = 0

    def run(self) -> Outcome:
        """Returns when the command ended and closed its outputs, or was stopped.

        Raises what `on_output` or the stdin iterable raised, after the command was aborted.
        """
        errors = self._thread(self._read_errors)
        timer = self._timer()
        if self._wrapped.password is None and isinstance(self._stdin, bytes) and len(self._stdin) <= _INLINE:
            self._write()
        else:
            self._thread(self._write)
        try:
            self._read_output()
        except BaseException:
            self._pipes.abort()
            errors.join(5)
            raise
        errors.join()
        status = self._pipes.status()
        if timer is not None:
            timer.cancel()
        if self._failure is not None:
            raise self._failure
        return Outcome(
            status=status,
            stdout=bytes(self._stdout),
            stderr=bytes(self._stderr),
            noise=self._err.before + self._out.before,
            started=self._out.seen and self._err.seen,
            stopped=self._stopped,
            sent=self._sent,
            received=self._received + len(self._stderr),
        )

    def _thread(self, target: object) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)  # type: ignore[arg-type]
        thread.start()
        return thread

    def _timer(self) -> threading.Timer | None:
        if self._timeout is None:
            return None
        timer = threading.Timer(self._timeout, self._stop, ("timeout",))
        timer.daemon = True
        timer.start()
        return timer

    def _stop(self, why: Stopped) -> None:
        self._stopped = self._stopped or why
        self._pipes.abort()

    def _read_output(self) -> None:
        while data := self._pipes.read_output():
            data = self._out.feed(data)
            if not data:
                continue
            self._received += len(data)
            if self._keep:
                self._stdout += data
            if self._on_output is not None:
                self._on_output(data)
            if len(self._stdout) > MAX_OUTPUT:
                return self._stop("output")
        return None

    def _read_errors(self) -> None:
        prompts = 0
        while data := self._pipes.read_error():
            was_seen = self._err.seen
            self._stderr += self._err.feed(data)
            if self._wrapped.prompt is not None and not was_seen:
                for _ in range(self._err.before.count(self._wrapped.prompt) - prompts):
                    self._events.put("prompt")
                    prompts += 1
            if self._err.seen and not was_seen:
                self._events.put("started")
            if len(self._stderr) > MAX_OUTPUT:
                self._stop("output")
                break
        self._events.put("end")

    def _write(self) -> None:
        try:
            if self._wrapped.password is None or self._give_password(self._wrapped.password.reveal()):
                self._write_input()
            self._pipes.end_input()
        except (OSError, EOFError):
            return  # nobody reads any more: the command's status tells, or the connection is lost
        except BaseException as caught:  # the caller's iterable failed: raised in the caller's thread by run()
            self._failure = caught
            self._pipes.abort()

    def _write_input(self) -> None:
        for piece in _pieces(self._stdin):
            self._pipes.write(piece)
            self._sent += len(piece)

    def _give_password(self, password: str) -> bool:
        """Answers sudo's prompt, once. False when the command will not run.

        Nothing of the payload is written before the command has started: sudo would take it for passwords.
        """
        asked = False
        while True:
            try:
                event = self._events.get(timeout=PROMPT_SECONDS)
            except queue.Empty:
                self._stop("prompt")
                return False
            if event == "started":
                return True
            if event == "end":
                return False
            if asked:
                self._stop("password")
                return False
            asked = True
            self._pipes.write(password.encode() + b"\n")


def _pieces(stdin: Input) -> Iterator[bytes]:
    """The input in pieces of at most CHUNK bytes, no copy of the whole."""
    for item in (stdin,) if isinstance(stdin, bytes) else stdin:
        if len(item) <= CHUNK:
            yield item
        else:
            view = memoryview(item)
            for start in range(0, len(item), CHUNK):
                yield view[start : start + CHUNK].tobytes()
