"""Streams that are encrypted while they are written and opened while they are read: age v1, by the library pyrage.

Never more than a few MiB are in memory. It knows nothing of what is in them; `age -d` opens them too.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import IO, Any, Protocol, cast

import pyrage

from kprov.state.sealed import recipient
from kprov.values.errors import BackupError

HEADER = b"age-encryption.org/v1\n"


class Sink(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


Source = Callable[[], IO[bytes]]  # opens what is read


@contextmanager
def sealing(output: Sink, recipients: Sequence[str]) -> Iterator[IO[bytes]]:
    """Yield a stream whose bytes go to `output`, readable for the recipients only.

    What is written is complete only when the block has ended without an error. Raises what `output` raises.
    """
    keys = [recipient(text) for text in recipients]
    guarded = _Guarded(output)
    handed = _Handed()

    def work() -> None:
        try:
            pyrage.encrypt_io(io.BufferedReader(handed, _BUFFER), guarded, keys)
        finally:
            handed.leave()

    worker = _Worker(work)
    stream = cast("IO[bytes]", _Handing(handed))
    try:
        yield stream
        stream.close()
    except BrokenPipeError:  # the other end failed, and says why
        pass
    finally:
        with suppress(BrokenPipeError):
            stream.close()
        failure = worker.ended()
    if guarded.failure or failure:
        raise guarded.failure or BackupError("the backup could not be encrypted", found=str(failure))


@contextmanager
def opening(source: Source, where: str, identities: Sequence[Any]) -> Iterator[IO[bytes]]:
    """Yield what is in an encrypted file. The block may end before all was read: then nobody vouches for the rest.

    Only what has been read to its end, past which nothing comes, is surely whole. where: the file, for messages.
    Raises BackupError.
    """
    file = _opened(source, where)
    reading, writing = os.pipe()
    left: list[OSError] = []  # whoever reads closed the pipe: nothing is wrong with the file

    def work() -> None:
        with os.fdopen(writing, "wb", buffering=0) as sink, file:
            guarded = _Guarded(sink)
            try:
                pyrage.decrypt_io(file, guarded, list(identities))
            finally:
                left.extend([guarded.failure] if guarded.failure else [])

    worker = _Worker(work)
    with os.fdopen(reading, "rb") as stream:
        try:
            yield stream
            to_the_end = not stream.read(1)
        except Exception as error:
            # What a reader stumbles over mostly comes from what is wrong with the file.
            stream.close()
            failure = worker.ended()
            raise (_unopened(where, failure) if failure is not None and not left else error) from None
    failure = worker.ended()
    if to_the_end and failure is not None:
        raise _unopened(where, failure)


def _opened(source: Source, where: str) -> IO[bytes]:
    """Open what is read, at its beginning. Raises BackupError, also for a file of another kind."""
    try:
        file = source()
        head = file.read(len(HEADER))
        file.seek(0)
    except OSError as error:
        raise BackupError("the backup cannot be read", where=where, found=error.strerror or "") from None
    if head != HEADER:
        file.close()
        raise BackupError(
            "this is no backup of kprov's",
            where=where,
            found="an empty file" if not head else "another kind of file",
            needed="a file that `kprov backup` wrote",
            todo="look at `kprov backup list`",
        )
    return file


def _unopened(where: str, failure: BaseException) -> BackupError:
    if "No matching keys" in str(failure):
        return BackupError(
            "none of the keys opens this backup",
            where=where,
            found="it is encrypted for others: a backup of another cluster, or of this one before its keys were made again",
            needed="the state folder of the cluster that it is of, or a private key that it was made for",
            todo="name the state folder with --state-dir, or your key with --identity",
        )
    return BackupError(
        "the backup is damaged or was cut off",
        where=where,
        found=str(failure),
        needed="the file as kprov wrote it, to its last byte",
        todo="copy it again from where it was kept, or use another one: `kprov backup list`",
    )


_BUFFER = 256 * 1024  # the library asks for 8 KiB at a time
_WAITING = 4  # pieces on their way from one thread to the other


class _Handed(io.RawIOBase):
    """Pieces that one thread writes and another reads: what a pipe does, without copying them into the system and back."""

    def __init__(self) -> None:
        self._pieces: SimpleQueue[bytes] = SimpleQueue()
        self._room = threading.Semaphore(_WAITING)
        self._left = self._ended = False
        self._rest = memoryview(b"")

    def hand(self, piece: bytes) -> None:
        """Wait for room, and leave a piece there; an empty one is the end. Raises BrokenPipeError when nobody reads."""
        self._room.acquire()
        if self._left:
            self._room.release()
            raise BrokenPipeError
        self._pieces.put(piece)

    def leave(self) -> None:
        """Read no more: whoever waits for room is told."""
        self._left = True
        self._room.release()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest and not self._ended:  # the end is asked for more than once
            self._rest = memoryview(self._pieces.get())
            self._ended = not self._rest
            self._room.release()
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Handing(io.RawIOBase):
    """The end that is written to. Pieces must not change afterwards."""

    def __init__(self, handed: _Handed) -> None:
        self._handed = handed

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if data:
            self._handed.hand(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._handed.hand(b"")


class _Guarded:
    """Keeps the error of what is written to, which the library would only quote."""

    def __init__(self, output: Sink) -> None:
        self._output = output
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            written = 0
            while written < len(data):
                written += self._output.write(data[written:])
        except OSError as error:
            self.failure = error
            raise
        return written

    def flush(self) -> None:
        self._output.flush()


class _Worker:
    """A thread that encrypts or decrypts, and what it failed with."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="age", daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # told to whoever waits for the thread
            self._failure = error

    def ended(self) -> BaseException | None:
        self._thread.join()
        return self._failure
