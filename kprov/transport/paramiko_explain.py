"""Why paramiko could not connect: turns its exceptions into the sentences a user is told. Opens nothing itself."""

from __future__ import annotations

import errno
import re
import socket

import paramiko

from kprov.transport import sentences
from kprov.transport.known_hosts import HostKey
from kprov.transport.sentences import Target
from kprov.values.errors import TransportError

_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 5.1


class HostKeyRefused(paramiko.SSHException):  # type: ignore[misc, unused-ignore]
    """The server's key is not one we trust for this address.

    Args:
        offered: the key the server showed.
        expected: the keys known for it; none when the host is unknown.
        pinned: whether the inventory pins the key.
    """

    def __init__(self, offered: HostKey, expected: tuple[HostKey, ...], *, pinned: bool, revoked: bool = False) -> None:
        super().__init__("host key refused")
        self.offered, self.expected, self.pinned, self.revoked = offered, expected, pinned, revoked


def is_dropped(error: Exception) -> bool:
    """Whether the server hung up before it had judged us: what sshd does when many connect at once, or it is too busy."""
    return isinstance(error, ConnectionResetError | EOFError) or "protocol banner" in str(error) or _is_unjudged(error)


def _is_unjudged(error: Exception) -> bool:
    """Whether the connection ended, or time did, while the server was still judging: that is no refusal."""
    judging = isinstance(error, paramiko.AuthenticationException)
    return judging and ("transport shut down" in str(error) or "timeout" in str(error).lower())


def explain(error: Exception, target: Target) -> TransportError:
    """The error a user can act on."""
    if isinstance(error, HostKeyRefused):
        if not (error.expected or error.revoked):
            return sentences.key_unknown(target, error.offered)
        offered = f"{error.offered.type} {error.offered.fingerprint}"
        return sentences.key_changed(target, offered, error.expected, pinned=error.pinned, revoked=error.revoked)
    if _is_unjudged(error):
        return sentences.unjudged(target, str(error))
    if isinstance(error, paramiko.AuthenticationException) or "authentication" in str(error).lower():
        return sentences.not_let_in(target, ", ".join(getattr(error, "allowed_types", None) or ()))
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return sentences.incompatible(target, str(error))
    if isinstance(error, paramiko.ChannelException):
        if error.code == _PROHIBITED:
            return sentences.jump_forwards_nothing(target)
        return sentences.jump_cannot_reach(target, error.text)
    return _network(error, target)


def _network(error: Exception, target: Target) -> TransportError:
    number = _errno(error)
    found = _text(error)
    if isinstance(error, socket.gaierror):
        return sentences.unresolved(target, found)
    if number == errno.ECONNREFUSED:
        return sentences.refused(target)
    if isinstance(error, TimeoutError) or "No existing session" in found or number == errno.ETIMEDOUT:
        return sentences.no_answer(target)
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return sentences.unroutable(target, found)
    if is_dropped(error):
        return sentences.hung_up(target, found)
    return sentences.not_made(target, found)


def _errno(error: Exception) -> int | None:
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return next((inner.errno for inner in error.errors.values() if isinstance(inner, OSError)), None)
    return error.errno if isinstance(error, OSError) else None


def _text(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return re.sub(r"[^\x20-\x7e]", "?", text)[:300]
