"""Hosts over SSH with paramiko: one connection each, commands on channels of it. Loads it at the first connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kprov.transport import sentences
from kprov.transport.base import Count, Counters
from kprov.transport.commands import Commands
from kprov.transport.pump import CHUNK
from kprov.transport.sentences import Target
from kprov.transport.streams import ChannelStream, forbidden, silent, unreached
from kprov.values.errors import TransportError
from kprov.values.model import Host
from kprov.values.secret import Secret

if TYPE_CHECKING:
    from kprov.transport.paramiko_client import Opener

AskPassphrase = Callable[[Path], Secret | None]
_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 5.1
KNOWN_HOSTS = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"), Path("/etc/ssh/ssh_known_hosts"))


class ParamikoTransport:
    """Args:
    ssh_config: read instead of the user's and the system's.
    known_hosts: files with the keys of hosts, instead of the user's and the system's; only read.
    ask_passphrase: asked once for an encrypted key file, answers None when nobody can say.
    """

    def __init__(
        self,
        *,
        ssh_config: Path | None = None,
        known_hosts: tuple[Path, ...] | None = None,
        ask_passphrase: AskPassphrase | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self._ssh_config = ssh_config
        self._known_hosts = KNOWN_HOSTS if known_hosts is None else known_hosts
        self._ask_passphrase = ask_passphrase
        self._lock = threading.Lock()
        self._opener: Opener | None = None
        self._sessions = 0

    def connect(self, host: Host) -> ParamikoSession:
        """Raises TransportError."""
        opener = self._shared()
        with self._lock:
            self._sessions += 1  # before it is open: nobody may end a jump host's connection meanwhile
        try:
            connection, target = opener.open(host.name, host.connection)
        except BaseException:
            self.forget()
            raise
        self.counters.add(host.name, Count(connections=1))
        return ParamikoSession(host, connection, target, self)

    def _shared(self) -> Opener:
        """What all connections share: ssh_config and known_hosts read once, keys, connections to jump hosts."""
        with self._lock:
            if self._opener is None:
                from kprov.transport.paramiko_client import Opener, Settings

                self._opener = Opener(Settings.load(self._ssh_config, self._known_hosts, self._ask_passphrase))
            return self._opener

    def forget(self) -> None:
        """A session ended; with the last one the connections to jump hosts end."""
        with self._lock:
            self._sessions -= 1
            idle = self._opener if self._sessions == 0 else None
        if idle is not None:
            idle.close()


class ParamikoSession(Commands["_Channel"]):
    """One SSH connection. See `base.Session` for the contract."""

    def __init__(self, host: Host, connection: Any, target: Target, transport: ParamikoTransport) -> None:
        super().__init__(transport.counters)
        self.host = host
        self.target = target
        self._connection = connection
        self._transport = transport
        self._lock = threading.Lock()
        self._closed = False

    @property
    def connection(self) -> Any:
        """The fabric Connection, for what this contract does not cover (its socket's options, a tunnel)."""
        return self._connection

    @property
    def where(self) -> str:
        return str(self.target)

    def _is_root(self) -> bool:
        return self.target.user == "root"

    def dial(self, address: str, port: int, *, timeout: float = 10.0) -> ChannelStream:
        import paramiko

        where, thread = str(self.target), self._connection.transport
        try:
            channel = thread.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout)
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise forbidden(where, address, port) from None
            raise unreached(where, address, port, error.text) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            if thread.is_active():
                raise silent(where, address, port, timeout) from None
            raise self._gone(str(error)) from None

        def lost() -> TransportError | None:
            if not channel.eof_received:
                thread.join(0.2)  # it ends the channels of a dead connection just before it says that it is dead
            return None if thread.is_active() else self._gone("")

        return ChannelStream(channel, lost)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._connection.client.close()
        self._transport.forget()

    def _start(self, line: str) -> _Channel:
        import paramiko

        try:
            # not fabric's create_session(): it would silently connect again, and the run lock would be gone
            channel = self._connection.transport.open_session()
            channel.exec_command(line)
        except paramiko.ChannelException as error:
            raise sentences.no_further_session(self.target, error.text) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._gone(str(error)) from None
        return _Channel(channel)

    def _gone(self, why: str) -> TransportError:
        return TransportError(
            "connection lost", where=str(self.target),
            found="the session was closed" if self._closed else why or "the host hung up",
            todo="see that the host is up, then run the same command again",
        )  # fmt: skip

    def _end(self, running: _Channel) -> None:
        running.abort()

    def _why_lost(self, running: _Channel) -> str | None:
        """Return as of `Commands`.

        paramiko ends the channels of a dead connection just before it says that the connection is dead.
        """
        thread = running.channel.get_transport()
        thread.join(0.2)
        if thread.is_alive() and thread.is_active():
            return None
        return "the session was closed" if self._closed else "the host hung up or cannot be reached any more"


class _Channel:
    """A command's streams on an SSH channel."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def read_output(self) -> bytes:
        return bytes(self.channel.recv(CHUNK))

    def read_error(self) -> bytes:
        return bytes(self.channel.recv_stderr(CHUNK))

    def write(self, data: bytes) -> None:
        """`sendall` would copy the rest once for each packet."""
        view = memoryview(data)
        while view:
            sent = self.channel.send(view)
            if sent == 0:
                raise EOFError("the channel is closed")
            view = view[sent:]

    def end_input(self) -> None:
        self.channel.shutdown_write()

    def abort(self) -> None:
        import paramiko

        # On a connection that is gone or just closed by another thread there is nothing left to close.
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self.channel.close()

    def status(self) -> int:
        return int(self.channel.recv_exit_status())
