"""Hosts over SSH: chooses the client, OpenSSH wherever it can be used. Each client is a module of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kprov.transport.account import has_account
from kprov.transport.base import Counters, Session
from kprov.transport.openssh import OpenSshTransport
from kprov.transport.openssh_config import Files
from kprov.transport.openssh_explain import KeyLocked
from kprov.transport.paramiko_ssh import AskPassphrase, ParamikoTransport
from kprov.values.errors import TransportError
from kprov.values.model import Host

CLIENT = "KPROV_SSH_CLIENT"  # environment variable: openssh or paramiko


class SshTransport:
    """Connects with the OpenSSH client, and so with all of the user's own configuration.

    With paramiko, the client that comes with kprov, where there is no OpenSSH client, where this user id has no account
    (ssh refuses to run then), and where something must be typed for which ssh wants a terminal: a password, or the
    passphrase of a key.

    Args:
        ssh_config: read instead of the user's and the system's.
        known_hosts: files with the keys of hosts, instead of those that ssh_config names; only read.
        ask_passphrase: asked once for an encrypted key file, answers None when nobody can say.
    """

    def __init__(
        self,
        *,
        ssh_config: Path | None = None,
        known_hosts: tuple[Path, ...] | None = None,
        ask_passphrase: AskPassphrase | None = None,
    ) -> None:
        self.counters = Counters()
        self._ask_passphrase = ask_passphrase
        self._openssh = OpenSshTransport(Files(config=ssh_config, known_hosts=known_hosts), counters=self.counters)
        self._paramiko = ParamikoTransport(
            ssh_config=ssh_config, known_hosts=known_hosts, ask_passphrase=ask_passphrase, counters=self.counters
        )
        self._own = why_not_openssh()

    def connect(self, host: Host) -> Session:
        """Raises TransportError."""
        if self._own or host.connection.password is not None:
            return self._paramiko.connect(host)
        try:
            return self._openssh.connect(host)
        except KeyLocked:
            if self._ask_passphrase is None:
                raise
            return self._paramiko.connect(host)


def why_not_openssh() -> str:
    """Return why the OpenSSH client cannot be used here; empty when it can."""
    if (chosen := os.environ.get(CLIENT, "openssh")) != "openssh":
        if chosen != "paramiko":
            raise TransportError(
                "an SSH client that kprov does not have", where=CLIENT, found=chosen,
                needed="openssh or paramiko", todo=f"unset {CLIENT}",
            )  # fmt: skip
        return f"{CLIENT} says so"
    if shutil.which("ssh") is None:
        return "there is no program ssh on PATH"
    if not has_account():
        return f"user id {os.getuid()} has no account, and ssh runs for none without"
    return ""
