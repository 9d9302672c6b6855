"""The one line a login shell is given for a command, and what its answer means. Pure: no I/O, no SSH.

The command is wrapped so that any login shell can carry it, so that sudo is part of the same exec, and so that what
login scripts and sudo print before it starts can be told apart: the wrapper prints a random mark on both outputs first.
"""

from __future__ import annotations

import math
import re
import secrets
import shlex
from dataclasses import dataclass

from kprov.values.errors import TransportError
from kprov.values.secret import Secret

# A proxy that root's logins have, as from /etc/environment, is for the internet: nothing of the cluster goes through it.
# What fetches from the internet is given the host's own exceptions back, by `outside` in the programs that do.
# A bash below sshd that takes itself for the login shell, or that BASH_ENV leads to a file, would run root's .bashrc first.
_ENVIRONMENT = (
    "unset SSH_CLIENT SSH2_CLIENT BASH_ENV ENV; SHLVL=2; "
    "LC_ALL=C; KPROV_NO_PROXY=${no_proxy-${NO_PROXY-}}; no_proxy='*'; NO_PROXY='*'; "
    "export SHLVL LC_ALL KPROV_NO_PROXY no_proxy NO_PROXY"
)
_NOISE_KEPT = 64 * 1024  # bytes of what came before the mark that are kept for a message

# What sudo says in the C locale (sudo 1.8 to 1.9, sudo-rs), what it means, what to do.
_REFUSALS = (
    (r"incorrect password|sorry, try again|authentication failure|no password was provided|authentication failed",
     "sudo refused the password", "correct become_password in the inventory, or give it with --ask-become-password"),
    (r"password is required|no askpass|a terminal is required to (read|authenticate)|interactive authentication is",
     "sudo asks for a password", "set become_password, or give the user NOPASSWD in /etc/sudoers.d"),
    (r"must have a tty|requiretty", "sudo refuses to run without a terminal",
     "remove requiretty for this user in /etc/sudoers"),
    (r"not in the sudoers|may not run sudo|is not allowed to (run|execute)|not permitted to",
     "the user may not use sudo", "allow it in /etc/sudoers.d, or connect as root"),
    (r"(is|has) expired|account validation", "the account or its password has expired",
     "renew it on the host"),
    (r"sudo.*(not found|no such file)|unknown command.*sudo", "sudo is not installed",
     "install sudo, or connect as root"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Wrapped:
    """A command ready to send. `prompt` is what sudo prints when it wants `password`; None without a password."""

    line: str
    mark: bytes
    prompt: bytes | None = None
    password: Secret | None = None


def wrap(command: str, *, sudo: bool, password: Secret | None = None, timeout: float | None = None) -> Wrapped:
    """The line to execute; the password is not in it.

    `eval` keeps a syntax error in the command behind the marks, so that it is the command's exit code 2. `exec` keeps
    the login shell from turning a signal into an exit code. The host ends the command a second after `timeout` by
    itself: closing a channel ends nothing, sshd passes no signals to root's commands, and the connection may be lost.
    """
    mark = f"kprov-{secrets.token_hex(12)}"
    script = f'printf %s {mark}; printf %s {mark} >&2; {_ENVIRONMENT}; eval "$1"'
    line = shlex.join(["sh", "-c", script, "sh", command])
    if timeout is not None:
        line = f"timeout -k 5 {math.ceil(timeout) + 1} {line}"
    if not sudo:
        return Wrapped(line=f"exec {line}", mark=mark.encode())
    if password is None:
        return Wrapped(line=f"exec env LC_ALL=C sudo -n -- {line}", mark=mark.encode())
    prompt = f"kprov-{secrets.token_hex(12)}:"
    return Wrapped(
        line=f"exec env LC_ALL=C sudo -S -k -p {prompt} -- {line}",
        mark=mark.encode(),
        prompt=prompt.encode(),
        password=password,
    )


class AfterMark:
    """Passes the bytes that follow a mark, and keeps the tail of those before it."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self.before = b""
        self.seen = False

    def feed(self, data: bytes) -> bytes:
        if self.seen:
            return data
        before, mark, after = (self.before + data).partition(self._mark)
        self.before = before[-_NOISE_KEPT:]
        self.seen = bool(mark)
        return after


def printable(data: bytes, lines: int = 10) -> str:
    """The last lines of what a host printed, safe to show: control and escape sequences are replaced."""
    text = data[-16384:].decode(errors="replace").replace("\r", "")
    clean = re.sub(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", "?", text)
    return "\n".join(line[:300] for line in clean.rstrip().split("\n")[-lines:])


def not_started(where: str, said: bytes, status: int, *, sudo: bool, prompt: bytes | None = None) -> TransportError:
    """The error for a command that never began: sudo or the login shell stood in the way.

    Args:
        said: what came on stderr and stdout before the mark.
    """
    text = printable(said.replace(prompt, b"") if prompt else said)
    if sudo:
        for pattern, what, todo in _REFUSALS:
            if re.search(pattern, text, re.IGNORECASE):
                return TransportError(what, where=where, needed="root rights", todo=todo, log=text)
    return TransportError(
        "the login shell did not run the command",
        where=where,
        found=f"it ended with exit code {status}",
        needed="a login shell that runs commands" + (", and sudo" if sudo else ""),
        todo="look at the user's shell in /etc/passwd and at forced commands in sshd_config and authorized_keys",
        log=text,
    )
