"""Why a host could not be connected to: turns the SSH library's exceptions into sentences. Opens nothing itself."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass

import paramiko

from kprov.transport.known_hosts import HostKey
from kprov.values.errors import TransportError

CONNECT_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Target:
    """One end of one connection. `name` is the inventory's; `auth`: what was offered to prove who we are."""

    name: str
    address: str
    port: int
    user: str
    auth: str = ""
    via: str | None = None

    def __str__(self) -> str:
        place = f"{self.name} ({self.user}@{self.address}:{self.port}"
        return place + (f" via {self.via})" if self.via else ")")


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
        return _host_key(error, target)
    if _is_unjudged(error):
        return _error(
            target,
            f"the host said neither yes nor no to user {target.user}",
            str(error),
            todo="run it again; if it stays, look at the host's load and at what its sshd says (journalctl -u ssh); an "
            "agent with many keys uses up the tries that sshd gives: set `IdentitiesOnly yes` in ~/.ssh/config",
        )
    if isinstance(error, paramiko.AuthenticationException) or "authentication" in str(error).lower():
        return _authentication(error, target)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return _incompatible(error, target)
    if isinstance(error, paramiko.ChannelException):
        return _error(target, "the jump host cannot reach it", error.text, todo="look at the address and the port")
    return _network(error, target)


def _error(target: Target, what: str, found: str, *, needed: str = "", todo: str = "") -> TransportError:
    return TransportError(what, where=str(target), found=found, needed=needed, todo=todo)


def _host_key(error: HostKeyRefused, target: Target) -> TransportError:
    offered = f"{error.offered.type} {error.offered.fingerprint}"
    if error.expected or error.revoked:
        desired = ", ".join(f"{key.type} {key.fingerprint}" for key in error.expected) or "a key that is not revoked"
        place = "host_key in the inventory" if error.pinned else "known_hosts"
        return _error(
            target,
            "the host key has changed: refused",
            offered,
            needed=f"{desired} ({place})",
            todo="if the machine was installed anew, compare the fingerprint on its console and "
            + ("correct host_key" if error.pinned else f"remove the old key: ssh-keygen -R {_known_name(target)}")
            + "; if not, somebody may be reading along",
        )
    jump = f"-J {target.via} " if target.via else ""
    scan = (
        f"ssh {jump}-p {target.port} {target.user}@{target.address} true"
        if jump
        else f"ssh-keyscan -p {target.port} -t {_scan_type(error.offered)} {target.address} >> ~/.ssh/known_hosts"
    )
    return _error(
        target,
        "the host key is unknown",
        offered,
        needed="a key in known_hosts or in the inventory",
        todo="compare the fingerprint on the machine's console (ssh-keygen -lf /etc/ssh/ssh_host_"
        f"{_scan_type(error.offered)}_key.pub), then accept it: {scan}"
        f'; or pin it in the inventory: host_key: "{error.offered}"',
    )


def _known_name(target: Target) -> str:
    return target.address if target.port == 22 else f"'[{target.address}]:{target.port}'"


def _scan_type(key: HostKey) -> str:
    """The type as ssh-keyscan and the files in /etc/ssh name it."""
    return key.type.split("-")[0] if key.type.startswith("ecdsa") else key.type.removeprefix("ssh-")


def _authentication(error: Exception, target: Target) -> TransportError:
    allowed = getattr(error, "allowed_types", None)
    offered = f"; the host accepts {', '.join(allowed)}" if allowed else ""
    return _error(
        target,
        f"the host did not let user {target.user} in",
        f"tried {target.auth}{offered}",
        needed=f"a key in ~{target.user}/.ssh/authorized_keys on the host, or a password it accepts",
        todo=f"try: ssh -v -p {target.port} {target.user}@{target.address}; set user and key in the inventory",
    )


def _incompatible(error: Exception, target: Target) -> TransportError:
    return _error(
        target,
        "no common SSH algorithm, or the host has no key of the pinned type",
        str(error),
        needed="an SSH server with modern algorithms, and its own key of the type pinned in the inventory",
        todo=f"see what it offers: ssh-keyscan -p {target.port} {target.address}",
    )


def _network(error: Exception, target: Target) -> TransportError:
    number = _errno(error)
    found = _text(error)
    if isinstance(error, socket.gaierror):
        return _error(target, "the address has no DNS entry", f"{target.address}: {found}", todo="correct the address")
    if number == errno.ECONNREFUSED:
        return _error(
            target, "connection refused", f"nothing listens on {target.address}:{target.port}",
            needed="a running SSH server", todo="start sshd on the host, or correct the port",
        )  # fmt: skip
    if isinstance(error, TimeoutError) or "No existing session" in found or number == errno.ETIMEDOUT:
        return _error(
            target, "no answer", f"nothing within {CONNECT_SECONDS} s",
            todo="see that the host is up and that no firewall drops the port",
        )  # fmt: skip
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return _error(target, "the host cannot be reached", found, todo="look at the route to it and that it is up")
    if is_dropped(error):
        return _error(
            target, "the server hung up before it said that it is an SSH server", found or "connection closed",
            needed="an SSH server on that port",
            todo="correct the port; if many connect at once, raise MaxStartups in sshd_config or lower --forks",
        )  # fmt: skip
    return _error(target, "the connection could not be made", found, todo=f"try: ssh -v {target.address}")


def _errno(error: Exception) -> int | None:
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return next((inner.errno for inner in error.errors.values() if isinstance(inner, OSError)), None)
    return error.errno if isinstance(error, OSError) else None


def _text(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return re.sub(r"[^\x20-\x7e]", "?", text)[:300]
