"""SFTP over the OpenSSH client and its whole configuration; the protocol itself is paramiko's. It knows nothing of files.

One client a connection, in the foreground: it ends with its streams.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko

from kprov.transport.openssh_config import Files, effective, subsystem
from kprov.transport.openssh_explain import explain
from kprov.transport.openssh_keys import see_key, write_pin
from kprov.transport.sentences import Target, error
from kprov.values.errors import TransportError
from kprov.values.model import Connection

_ENDS = 5.0  # seconds in which a client whose streams are closed ends


class _Wire:
    """The client's streams, as paramiko wants a channel to be."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.send = sock.send
        self.recv = sock.recv
        self.close = sock.close

    def get_name(self) -> str:
        return "sftp"

    def recv_ready(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])


@contextmanager
def sftp(name: str, to: Connection, files: Files | None = None) -> Iterator[paramiko.SFTPClient]:
    """Yield a connection to an SFTP server. name: how it is called in messages.

    Raises TransportError when it cannot be made; EOFError and OSError inside, when it is lost, go through as they are.
    """
    files = files or Files()
    found = effective(name, to, files)
    target = Target(
        name=name,
        address=to.address,
        port=found.port if to.port is None else to.port,
        user=found.user if to.user is None else to.user,
        via=found.jump or ("a ProxyCommand" if found.command is not None else None),
        auth=found.auth,
    )
    if to.key is not None:
        see_key(target, to.key)
    with tempfile.TemporaryDirectory(prefix="kprov-") as folder:
        log = Path(folder) / "log"
        pinned = write_pin(to, name, Path(folder) / "pin")
        ours, theirs = socket.socketpair()
        with contextlib.closing(ours), log.open("wb") as output:
            argv = subsystem("sftp", to, files, found, pinned)
            with contextlib.closing(theirs):
                end = theirs.fileno()
                client = subprocess.Popen(argv, stdin=end, stdout=end, stderr=output, start_new_session=True)
            try:
                try:
                    connection = paramiko.SFTPClient(_Wire(ours))  # type: ignore[arg-type]
                except (EOFError, OSError, paramiko.SFTPError, paramiko.SSHException):
                    raise _why(log, target, pinned is not None) from None
                yield connection
            finally:
                ours.close()
                _end(client)


def _why(log: Path, target: Target, pinned: bool) -> TransportError:
    said = log.read_text(errors="replace")[-16384:]
    if "subsystem request failed" in said:
        return error(
            target,
            "the server gives no SFTP",
            "it refuses the subsystem sftp",
            needed="Subsystem sftp in its sshd_config",
            todo="set it there, then try: sftp HOST",
        )
    return explain(said, target, offered=None, expected=(), pinned=pinned)


def _end(client: subprocess.Popen[bytes]) -> None:
    try:
        client.wait(_ENDS)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()
