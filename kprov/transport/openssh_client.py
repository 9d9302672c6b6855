"""Starts OpenSSH clients, one for each host and each jump host, that hold a connection each. Runs no commands.

A client goes into the background once it is let in, and stays while its leash is held: when the operator is killed, it
ends a few seconds later. Its files lie in a folder that only this user can enter.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from kprov.transport import sentences
from kprov.transport.known_hosts import HostKey, parse_host_key
from kprov.transport.mux import Control, MuxClosed
from kprov.transport.openssh_config import PINNED, Effective, Files, effective, options, through
from kprov.transport.openssh_explain import KeyLocked, NotLetIn, explain, is_dropped, is_key_question, last
from kprov.transport.openssh_keys import is_locked, see_key, write_pin
from kprov.transport.sentences import Target
from kprov.values.errors import TransportError
from kprov.values.model import Connection

LOGIN_SECONDS = 60.0  # connecting has a deadline of its own; this bounds a server that judges without end
ANSWER_SECONDS = 20.0  # a client answers at once, unless its computer is overwhelmed
_LONGEST_SOCKET = 80  # bytes of a socket's path: of 104 at least, OpenSSH needs some for a temporary name


class Client:
    """A running OpenSSH client that holds one connection.

    Args:
        own: whether kprov started it. The user's own is left running.

    Raises MuxClosed when it is gone already.
    """

    def __init__(self, target: Target, control: Path, log: Path, *, own: bool = True) -> None:
        self.target = target
        self.control = control
        self._log = log
        self._own = own
        self._lock = threading.Lock()
        self._leash = Control(control)
        self._leash.set_timeout(ANSWER_SECONDS)

    def attach(self) -> Control:
        """Return a control connection for one session or forwarding. Raises MuxClosed."""
        return Control(self.control)

    def alive(self) -> bool:
        with self._lock:
            return self._leash.alive()

    def printed(self) -> str:
        """What it has said so far."""
        return _read(self._log)

    def close(self) -> None:
        """End the connection and the client; may be called again."""
        with self._lock:
            if self._own:
                self._leash.terminate()
            self._leash.close()


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How a host is reached: the configuration's own way, or through the client of a jump host."""

    found: Effective
    bastion: Client | None
    target: Target


class Opener:
    """Opens connections, sharing those to jump hosts. Thread-safe."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.RLock()
        self._folder: Path | None = None
        self._numbers = count()
        self._jumps: dict[tuple[str, str | None, Path | None], Client | TransportError] = {}

    def open(self, name: str, to: Connection) -> Client:
        """Return a client that is let in. Raises TransportError."""
        return self._open(name, to, ())

    def close(self) -> None:
        """End the connections to jump hosts and remove every file."""
        with self._lock:
            for client in self._jumps.values():
                if isinstance(client, Client):
                    client.close()
            self._jumps.clear()
            folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _open(self, name: str, to: Connection, behind: tuple[str, ...]) -> Client:
        way = self._way(name, to, behind)
        if to.key is not None:
            see_key(way.target, to.key.expanduser())
        try:
            return self._try(to, way, alone=True)
        except NotLetIn:
            if (client := self._users_own(to, way)) is not None:
                return client
            if to.key is None:
                raise
        try:
            return self._try(to, way, alone=False)
        except NotLetIn:
            if is_locked(to.key.expanduser()):
                raise KeyLocked.of(sentences.key_locked(str(way.target), to.key)) from None
            raise

    def _users_own(self, to: Connection, way: _Way) -> Client | None:
        """A connection that the user holds open already, as after typing a code: ControlPath of their configuration.

        None without one, and for a host whose key the inventory pins: which key that connection trusted is not known.
        """
        path = way.found.values.get("controlpath", "none")
        if path == "none" or to.host_key is not None:
            return None
        with contextlib.suppress(MuxClosed):
            return Client(way.target, Path(path), self._place()[1], own=False)
        return None

    def _way(self, name: str, to: Connection, behind: tuple[str, ...]) -> _Way:
        found = effective(name, to, self._files)
        chain = to.jump if to.jump is not None else found.jump
        bastion = None
        via = "a ProxyCommand" if to.jump is None and found.command is not None else None
        if chain is not None and chain.lower() != "none":
            before, _, hop = chain.rpartition(",")
            via = hop.strip()
            if via in behind:
                raise sentences.jump_circle(name, (*behind, via))
            bastion = self._jump(name, via, before or None, to.key, (*behind, via))
        target = Target(
            name=name,
            address=to.address,
            port=found.port if to.port is None else to.port,
            user=found.user if to.user is None else to.user,
            via=via,
            auth=found.auth,
        )
        return _Way(found=found, bastion=bastion, target=target)

    def _jump(self, name: str, hop: str, before: str | None, key: Path | None, behind: tuple[str, ...]) -> Client:
        """The client of a jump host, opened once however many hosts are behind it.

        That it cannot be opened is kept too while others are being opened, so that each waits only once for it.
        """
        with self._lock:
            known = self._jumps.get((hop, before, key))
            if isinstance(known, TransportError):
                raise known
            if known is not None and known.alive():
                return known
            try:
                client = self._open(f"jump host {hop} of {name}", _connection(hop, before, key), behind)
            except TransportError as error:
                self._jumps[(hop, before, key)] = error
                raise
            self._jumps[(hop, before, key)] = client
            return client

    def _try(self, to: Connection, way: _Way, *, alone: bool) -> Client:
        """Connect; once more when the server hung up before it had judged us."""
        for attempt in (1, 2):
            control, log = self._place()
            pinned = write_pin(to, way.target.name, control.with_suffix(".pin"))
            proxy = through(way.bastion.control) if way.bastion is not None else None
            argv = options(
                to, self._files, way.found, control=control, log=log, pinned=pinned, proxy=proxy, alone=alone
            )
            ended = _run(argv, log)
            if ended == 0:
                with contextlib.suppress(MuxClosed):
                    return Client(way.target, control, log)
            said = _read(log)
            if attempt == 1 and is_dropped(said):
                continue
            if ended is None:
                raise sentences.unjudged(way.target, last(said) or f"nothing within {LOGIN_SECONDS:g} s")
            raise self._why(said, to, way, argv, pinned)
        raise AssertionError("two attempts end in a connection or an error")

    def _why(self, said: str, to: Connection, way: _Way, argv: list[str], pinned: Path | None) -> TransportError:
        offered = self._offered(argv) if is_key_question(said) else None
        expected = (parse_host_key(to.host_key),) if to.host_key is not None else ()
        bastion = way.bastion.printed() if way.bastion is not None else ""
        return explain(said, way.target, offered=offered, expected=expected, pinned=pinned is not None, bastion=bastion)

    def _offered(self, argv: list[str]) -> HostKey | None:
        """The key that the server shows, asked for in a connection that offers nothing and so is never let in."""
        control, log = self._place()
        seen = control.with_suffix(".seen")
        first = {
            "StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": str(seen), "HashKnownHosts": "no",
            "GlobalKnownHostsFile": "/dev/null", "PreferredAuthentications": "none", "ControlPath": "none",
            "CheckHostIP": "no", "HostKeyAlias": PINNED, "ControlMaster": "no",
        }  # fmt: skip
        given = [part for key, value in first.items() for part in ("-o", f"{key}={value}")]
        rest = argv[argv.index("-E") + 2 :]
        _run(["ssh", "-N", "-E", str(log), *given, *rest], log)
        for line in _read(seen).splitlines():
            with contextlib.suppress(ValueError):
                return parse_host_key(line.partition(" ")[2])
        return None

    def _place(self) -> tuple[Path, Path]:
        """Names for a control socket and a log that nobody has."""
        with self._lock:
            if self._folder is None:
                self._folder = _folder()
            number = next(self._numbers)
        return self._folder / str(number), self._folder / f"{number}.log"


def _run(argv: list[str], log: Path) -> int | None:
    """Start a client and wait until it is let in and in the background; its exit code, None when time was up.

    It has no terminal, so that neither it nor a ProxyCommand can ask there, and Ctrl-C does not reach it.
    """
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment
        )
    try:
        return process.wait(LOGIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        return None


def _connection(hop: str, before: str | None, key: Path | None) -> Connection:
    """A jump host `[USER@]HOST[:PORT]` as a connection; an IPv6 address with a port stands in brackets."""
    user, _, place = hop.rpartition("@")
    address, port = place, ""
    if place.startswith("["):
        address, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") == 1:
        address, _, port = place.partition(":")
    return Connection(address=address, user=user or None, port=int(port) if port else None, key=key, jump=before)


def _folder() -> Path:
    """A new folder for this user alone, with a path short enough for sockets in it."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), None, "/tmp"):  # noqa: S108 # mkdtemp makes the name
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="kprov-ssh-", dir=base or None))
            if len(os.fsencode(folder)) <= _LONGEST_SOCKET:
                return folder
            folder.rmdir()
    raise TransportError(
        "no folder for the sockets of SSH", found="neither XDG_RUNTIME_DIR, TMPDIR nor /tmp can hold one",
        needed=f"a folder that can be written, with a path of at most {_LONGEST_SOCKET - 20} bytes", todo="set TMPDIR",
    )  # fmt: skip


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[-16384:]
    except OSError:
        return ""
