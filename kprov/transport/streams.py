"""TCP connections that hosts made for us, as `base.Stream`: over an SSH channel, or a socket of this machine.

It dials nobody by itself but for this machine, and knows nothing of what the bytes mean.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from kprov.values.errors import TransportError, UnreachedError

PIECE = 64 * 1024  # bytes


class ChannelStream:
    """A stream on an SSH channel.

    Args:
        channel: an open direct-tcpip channel of paramiko.
        lost: the error that tells that the host is gone, None while it is there.
    """

    def __init__(self, channel: Any, lost: Callable[[], TransportError | None]) -> None:
        self._channel = channel
        self._lost = lost

    def read(self) -> bytes:
        data = bytes(self._channel.recv(PIECE))
        if not data and (error := self._lost()) is not None:
            raise error
        return data

    def write(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except (OSError, EOFError):
            raise self._lost() or TransportError("the other side hung up") from None

    def end(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


class SocketStream:
    """A stream on a socket of this machine. `lost` is as in ChannelStream."""

    def __init__(self, sock: socket.socket, lost: Callable[[], TransportError | None]) -> None:
        self._socket = sock
        self._lost = lost

    def read(self) -> bytes:
        try:
            data = self._socket.recv(PIECE)
        except OSError:
            data = b""  # reset, or closed by us: either way nothing more comes
        if not data and (error := self._lost()) is not None:
            raise error
        return data

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            raise self._lost() or TransportError("the other side hung up") from None

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who reads
        self._socket.close()


class PairStream:
    """A stream whose directions are two sockets, whose far ends another program holds.

    Args:
        reading, writing: our ends.
        end: ends what carries the stream.
        lost: as in ChannelStream.
    """

    def __init__(
        self,
        reading: socket.socket,
        writing: socket.socket,
        end: Callable[[], None],
        lost: Callable[[], TransportError | None],
    ) -> None:
        self._reader = SocketStream(reading, lost)
        self._writer = SocketStream(writing, lost)
        self._end = end

    def read(self) -> bytes:
        return self._reader.read()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        self._writer.end()

    def close(self) -> None:
        self._end()
        self._reader.close()
        self._writer.close()


def dial_here(where: str, address: str, port: int, timeout: float) -> socket.socket:
    """Connects from this machine itself. Raises UnreachedError."""
    try:
        sock = socket.create_connection((address, port), timeout)
    except TimeoutError:
        raise silent(where, address, port, timeout) from None
    except OSError as error:
        raise unreached(where, address, port, error.strerror or str(error)) from None
    sock.settimeout(None)
    return sock


def unreached(where: str, address: str, port: int, found: str) -> UnreachedError:
    return UnreachedError(f"the host cannot connect to {address}:{port}", where=where, found=found)


def silent(where: str, address: str, port: int, seconds: float) -> UnreachedError:
    return unreached(where, address, port, f"no answer within {seconds:g} s")


def forbidden(where: str, address: str, port: int) -> UnreachedError:
    """sshd was told not to connect anywhere for its users."""
    return UnreachedError(
        f"the host's SSH server does not connect to {address}:{port} for us",
        where=where,
        found="forwarding is switched off for this user",
        needed="AllowTcpForwarding yes (or local) and no DisableForwarding in sshd_config",
        todo="allow it, at least for this user (`Match User …`), and reload sshd",
    )
