"""What a user is told of a connection that was not made, whichever client tried. Opens nothing, loads no SSH library."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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


def error(target: Target, what: str, found: str, *, needed: str = "", todo: str = "", log: str = "") -> TransportError:
    return TransportError(what, where=str(target), found=found, needed=needed, todo=todo, log=log)


def key_changed(
    target: Target, offered: str, expected: tuple[HostKey, ...], *, pinned: bool, revoked: bool = False
) -> TransportError:
    """The server shows another key than the ones known for it, or one that is revoked."""
    known = ", ".join(f"{key.type} {key.fingerprint}" for key in expected)
    needed = known or ("a key that is not revoked" if revoked else "the key that was known before")
    return error(
        target,
        "the host key has changed: refused",
        offered,
        needed=f"{needed} ({'host_key in the inventory' if pinned else 'known_hosts'})",
        todo="if the machine was installed again, compare the fingerprint on its console and "
        + ("correct host_key" if pinned else f"remove the old key: ssh-keygen -R {_known_name(target)}")
        + "; if not, this may be a man-in-the-middle attack",
    )


def key_unknown(target: Target, offered: HostKey | None) -> TransportError:
    """The server shows a key, and no key is known for it. `offered` None: the client did not say which."""
    jump = f"-J {target.via} " if target.via else ""
    ssh = f"ssh {jump}-p {target.port} {target.user}@{target.address} true"
    if offered is None:
        return error(
            target, "the host key is unknown", "no key is known for it", needed="a key in known_hosts",
            todo=f"compare the fingerprint on the machine's console, then accept it: {ssh}",
        )  # fmt: skip
    scan = (
        ssh if jump else f"ssh-keyscan -p {target.port} -t {_scan_type(offered)} {target.address} >> ~/.ssh/known_hosts"
    )
    return error(
        target,
        "the host key is unknown",
        f"{offered.type} {offered.fingerprint}",
        needed="a key in known_hosts or in the inventory",
        todo="compare the fingerprint on the machine's console (ssh-keygen -lf /etc/ssh/ssh_host_"
        f"{_scan_type(offered)}_key.pub), then accept it: {scan}"
        f'; or pin it in the inventory: host_key: "{offered}"',
    )


def _known_name(target: Target) -> str:
    return target.address if target.port == 22 else f"'[{target.address}]:{target.port}'"


def _scan_type(key: HostKey) -> str:
    """The type as ssh-keyscan and the files in /etc/ssh name it."""
    return key.type.split("-")[0] if key.type.startswith("ecdsa") else key.type.removeprefix("ssh-")


def unjudged(target: Target, found: str) -> TransportError:
    return error(
        target,
        f"authentication as {target.user} did not complete",
        found,
        todo="run it again; if it stays, look at the host's load and at what its sshd says (journalctl -u ssh); an "
        "agent with many keys uses up the tries that sshd gives: set `IdentitiesOnly yes` in ~/.ssh/config",
    )


def not_let_in(target: Target, accepted: str, log: str = "") -> TransportError:
    """`accepted`: the methods that the host would take, empty when it did not say."""
    offered = f"; the host accepts {accepted}" if accepted else ""
    return error(
        target,
        f"the host did not let user {target.user} in",
        f"tried {target.auth}{offered}",
        needed=f"a key in ~{target.user}/.ssh/authorized_keys on the host, or a password it accepts",
        todo=f"try: ssh -v -p {target.port} {target.user}@{target.address}; set user and key in the inventory",
        log=log,
    )


def key_locked(where: str, path: Path) -> TransportError:
    return TransportError(
        "the private key is encrypted", where=where, found=str(path), needed="its passphrase",
        todo=f"ssh-add {path}, or run in a terminal",
    )  # fmt: skip


def incompatible(target: Target, found: str) -> TransportError:
    return error(
        target,
        "no common SSH algorithm, or the host has no key of the pinned type",
        found,
        needed="an SSH server with modern algorithms, and its own key of the type pinned in the inventory",
        todo=f"see what it offers: ssh-keyscan -p {target.port} {target.address}",
    )


def unresolved(target: Target, found: str) -> TransportError:
    return error(target, "the address has no DNS entry", f"{target.address}: {found}", todo="correct the address")


def refused(target: Target) -> TransportError:
    return error(
        target, "connection refused", f"nothing listens on {target.address}:{target.port}",
        needed="a running SSH server", todo="start sshd on the host, or correct the port",
    )  # fmt: skip


def no_answer(target: Target) -> TransportError:
    return error(
        target, "no answer", f"nothing within {CONNECT_SECONDS} s",
        todo="see that the host is up and that no firewall drops the port",
    )  # fmt: skip


def unroutable(target: Target, found: str) -> TransportError:
    todo = "check that the host is up and that a route to it exists"
    return error(target, "the host cannot be reached", found, todo=todo)


def hung_up(target: Target, found: str, log: str = "") -> TransportError:
    return error(
        target, "the server hung up before it said that it is an SSH server", found or "connection closed",
        needed="an SSH server on that port", log=log,
        todo="correct the port; if many connect at once, raise MaxStartups in sshd_config or lower --forks",
    )  # fmt: skip


def jump_cannot_reach(target: Target, found: str) -> TransportError:
    return error(
        target, "the jump host cannot reach it", found,
        todo="start sshd on the host, or correct its address and port as the jump host sees them",
    )  # fmt: skip


def jump_forwards_nothing(target: Target) -> TransportError:
    return error(
        target, "the jump host forwards no connections", "its SSH server prohibits forwarding for this user",
        needed="AllowTcpForwarding yes (or local), PermitOpen that includes the host, and no DisableForwarding "
        "in the jump host's sshd_config",
        todo="allow it there, at least for this user (`Match User …`), and reload sshd",
    )  # fmt: skip


def not_made(target: Target, found: str, log: str = "") -> TransportError:
    return error(target, "the connection could not be made", found, todo=f"try: ssh -v {target.address}", log=log)


def no_user(name: str) -> TransportError:
    return TransportError(
        "no user to connect as", where=name, found=f"neither inventory nor ssh_config names one, and user id {os.getuid()} "
        "has no account here whose name could be taken",
        needed="the user of the host", todo="set user in the inventory, for the host or in vars",
    )  # fmt: skip


def jump_circle(name: str, hops: tuple[str, ...]) -> TransportError:
    return TransportError(
        "the jump hosts lead in a circle", where=name, found=" → ".join(hops),
        needed="a first jump host that is reached without one",
        todo=f"set `ProxyJump none` for {hops[-1]} in ~/.ssh/config, above the line that sets ProxyJump",
    )  # fmt: skip


def no_further_session(target: Target, found: str) -> TransportError:
    return error(
        target, "the host opens no further session", found,
        needed="MaxSessions of at least 10 in sshd_config", todo="remove MaxSessions or raise it, then reload sshd",
    )  # fmt: skip
