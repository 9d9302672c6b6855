"""Speaks to a running OpenSSH client over its control socket, as OpenSSH's PROTOCOL.mux says (version 4).

A command costs no process here: its three streams are handed to the client, which moves the bytes. It starts no client
and knows neither hosts nor errors that a user reads.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

_VERSION = 4
_HELLO = 0x00000001
_NEW_SESSION, _ALIVE_CHECK, _TERMINATE, _NEW_STDIO_FWD = 0x10000002, 0x10000004, 0x10000005, 0x10000008
_OK, _DENIED, _FAILURE, _EXIT, _ALIVE, _OPENED = (0x80000000 + number for number in range(1, 7))
_NO_ESCAPE = 0xFFFFFFFF
_LONGEST = 256 * 1024  # bytes of one packet; OpenSSH's own limit is the same


class MuxClosed(Exception):
    """The client hung up: its connection is gone, or it was ended."""


class MuxRefused(Exception):
    """The client, or the host behind it, refused the request; the text says why as far as the client knows."""


class Control:
    """One connection to a client's control socket: carries one session, one forwarding, or nothing (a leash).

    Closing it ends what it carries. A client that was told to persist only for a while stays as long as one is open.

    Raises MuxClosed when nobody listens there, or whoever does speaks another version.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
            self._send(_numbers(_HELLO, _VERSION))
            hello = self._receive()
        except (OSError, MuxClosed) as error:
            self._socket.close()
            raise MuxClosed(str(error)) from None
        if hello[:8] != _numbers(_HELLO, _VERSION):
            self._socket.close()
            raise MuxClosed(f"not version {_VERSION} of the multiplexing protocol: {hello[:8].hex()}")

    def start(self, command: str, stdin: socket.socket, stdout: socket.socket, stderr: socket.socket) -> None:
        """Run a command with those streams, which are closed here. Raises MuxRefused, MuxClosed."""
        flags = _numbers(0, 0, 0, 0, _NO_ESCAPE)  # terminal, X11, agent, subsystem, escape character
        request = _numbers(_NEW_SESSION, 0) + _string(b"") + flags + _string(b"") + _string(command.encode())
        self._open(request, stdin, stdout, stderr)

    def forward(self, address: str, port: int, reads: socket.socket, writes: socket.socket) -> None:
        """Connect those streams, which are closed here, with a TCP port. Raises MuxRefused, MuxClosed, TimeoutError."""
        request = _numbers(_NEW_STDIO_FWD, 0) + _string(b"") + _string(address.encode()) + _numbers(port)
        self._open(request, reads, writes)

    def exit_code(self) -> int | None:
        """Wait for the end of the command; None when it has no exit code: a signal ended it, or the client is gone."""
        code = None
        with contextlib.suppress(MuxClosed, OSError):
            while True:
                kind, rest = _number(answer := self._receive()), answer[4:]
                if kind == _EXIT:
                    code = struct.unpack(">I", rest[4:8])[0]
        return code

    def alive(self) -> bool:
        """Ask the client whether it is there."""
        try:
            self._send(_numbers(_ALIVE_CHECK, 0))
            return _number(self._receive()) == _ALIVE
        except (OSError, MuxClosed):
            return False

    def terminate(self) -> None:
        """End the client, and wait until it has closed its end; harmless when it has ended."""
        with contextlib.suppress(OSError, MuxClosed):
            self._send(_numbers(_TERMINATE, 0))
            while True:
                self._receive()

    def set_timeout(self, seconds: float | None) -> None:
        """Bound each wait for an answer; None waits without end."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """End what it carries and wake whoever waits here; may be called again."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _open(self, request: bytes, *streams: socket.socket) -> None:
        try:
            self._send(request)
            for stream in streams:
                socket.send_fds(self._socket, [b"\0"], [stream.fileno()])
            answer = self._receive()
        except TimeoutError:
            raise
        except OSError as error:
            raise MuxClosed(str(error)) from None
        finally:
            for stream in streams:
                stream.close()
        kind = _number(answer)
        if kind in (_DENIED, _FAILURE):
            raise MuxRefused(answer[12:].decode(errors="replace"))
        if kind != _OPENED:
            raise MuxClosed(f"an answer that is not known: {answer[:12].hex()}")

    def _send(self, packet: bytes) -> None:
        self._socket.sendall(_string(packet))

    def _receive(self) -> bytes:
        length = _number(self._exactly(4))
        if not 4 <= length <= _LONGEST:
            raise MuxClosed(f"a packet of {length} bytes")
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            piece = self._socket.recv(count - len(parts))
            if not piece:
                raise MuxClosed("the client hung up")
            parts += piece
        return parts


def _numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _number(packet: bytes) -> int:
    return int(struct.unpack(">I", packet[:4])[0])


def _string(data: bytes) -> bytes:
    return _numbers(len(data)) + data
