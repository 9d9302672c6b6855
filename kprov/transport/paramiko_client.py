"""Opens SSH connections with fabric and paramiko: ssh_config, jump hosts, keys, host keys. Runs no commands.

Traps this module is there for: fabric accepts any unknown host key, for jump hosts too; it walks a ProxyJump list in
the wrong order; paramiko leaves Nagle on, prefers slow ciphers, fails on identity files that do not exist and does not
notice a peer that vanished.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import fabric
import paramiko

from kprov.transport import sentences
from kprov.transport.account import has_account
from kprov.transport.known_hosts import HostKey, KnownHosts, host_name_of, parse_host_key
from kprov.transport.paramiko_explain import HostKeyRefused, explain, is_dropped
from kprov.transport.paramiko_ssh import AskPassphrase
from kprov.transport.paramiko_wire import KEEPALIVE_SECONDS, transport_factory
from kprov.transport.sentences import Target
from kprov.values.errors import TransportError
from kprov.values.model import Connection

# Keywords with which a host may be reached by ssh and not by paramiko.
_ONLY_OPENSSH = (
    "include", "match", "identityagent", "certificatefile", "pkcs11provider", "securitykeyprovider", "knownhostscommand",
    "userknownhostsfile", "globalknownhostsfile", "verifyhostkeydns", "canonicalizehostname", "addressfamily",
    "bindaddress", "bindinterface", "gssapiauthentication", "hostbasedauthentication", "proxyusefdpass",
)  # fmt: skip

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # its tracebacks are not for the terminal


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where trust and defaults come from: ssh_config's files and known_hosts; all read once."""

    config: Any  # fabric.Config
    known: KnownHosts
    ask_passphrase: AskPassphrase | None

    @classmethod
    def load(
        cls, ssh_config: Path | None, known_hosts: tuple[Path, ...], ask_passphrase: AskPassphrase | None
    ) -> Settings:
        """`ssh_config` None means the user's and the system's own. Raises TransportError."""
        if not has_account():
            # paramiko asks for the user's name to fill in tokens, also where they are not used.
            os.environ.setdefault("LOGNAME", f"user-{os.getuid()}")
        # lazy: fabric must not read ~/.fabric.yaml and the like, which could turn agent forwarding on.
        try:
            config = fabric.Config(lazy=True, runtime_ssh_path=None if ssh_config is None else str(ssh_config))
            config.load_ssh_config()
            known = KnownHosts.read(path.expanduser() for path in known_hosts)
        except (OSError, paramiko.ConfigParseError) as error:
            raise TransportError("ssh_config or known_hosts cannot be read", found=str(error)) from error
        return cls(config=config, known=known, ask_passphrase=ask_passphrase)


class Opener:
    """Opens connections, sharing what is read once and the connections to jump hosts. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: dict[Path, Any] = {}
        self._keys_lock = threading.Lock()
        self._jumps: dict[tuple[str, str | None], Any] = {}
        self._jumps_lock = threading.RLock()
        self._making_lock = threading.Lock()  # fabric empties and fills the shared configuration meanwhile

    def open(self, name: str, to: Connection) -> tuple[Any, Target]:
        """An open fabric Connection and what it leads to. Raises TransportError."""
        return self._open(name, to, self._gateway(name, to))

    def close(self) -> None:
        """Closes the connections to jump hosts."""
        with self._jumps_lock:
            for jump in self._jumps.values():
                jump.close()
            self._jumps.clear()

    def _found(self, to: Connection) -> Mapping[str, Any]:
        """What ssh_config says for that host, its tokens filled in with the inventory's values where there are any."""
        given = {"port": to.port, "user": to.user}
        config = copy.copy(self._settings.config.base_ssh_config)
        first = {key: str(value) for key, value in given.items() if value is not None}
        config._config = [{"host": ["*"], "config": first}, *config._config]
        found: Mapping[str, Any] = config.lookup(to.address)
        return found

    def _gateway(self, name: str, to: Connection, behind: tuple[str, ...] = ()) -> Any:
        """The connection or ProxyCommand to go through; False for none (None would let fabric choose)."""
        found = self._found(to)
        if to.user is None and "user" not in found and not has_account():
            raise sentences.no_user(name)
        chain = to.jump or found.get("proxyjump")
        if chain and chain.lower() != "none":
            before, _, hop = chain.rpartition(",")
            return self._jump(name, hop.strip(), before or None, to.key, behind)
        return found.get("proxycommand", False) if to.jump is None else False

    def _jump(self, name: str, hop: str, before: str | None, key: Path | None, behind: tuple[str, ...]) -> Any:
        """The connection to a jump host, opened once however many hosts are behind it, with the host's own key.

        The first of several may have a jump host of its own in ssh_config.
        """
        if hop in behind:
            raise sentences.jump_circle(name, (*behind, hop))
        with self._jumps_lock:
            jump = self._jumps.get((hop, before))
            if jump is None or not jump.is_connected:
                short = fabric.connection.derive_shorthand(hop)
                to = Connection(address=short["host"], user=short["user"], port=short["port"], key=key, jump=before)
                gateway = self._gateway(name, to, (*behind, hop))
                jump, _ = self._open(f"jump host {hop} of {name}", to, gateway)
                self._jumps[(hop, before)] = jump
            return jump

    def _open(self, name: str, to: Connection, gateway: Any) -> tuple[Any, Target]:
        for attempt in (1, 2):
            connection, target, trusted = self._prepare(name, to, gateway)
            try:
                connection.open()
            except Exception as error:
                connection.client.close()
                refused = _changed(error, trusted, pinned=to.host_key is not None)
                if attempt == 1 and is_dropped(refused):
                    continue
                raise self._named(explain(refused, target), to) from None
            connection.transport.set_keepalive(KEEPALIVE_SECONDS)
            return connection, target
        raise AssertionError("two attempts end in a connection or an error")

    def _named(self, error: TransportError, to: Connection) -> TransportError:
        """The error, with what stands in the user's files for that host and only the OpenSSH client can do."""
        found = self._found(to)
        lacking = [word for word in _ONLY_OPENSSH if found.get(word, "none").lower() not in ("none", "no")]
        if self._settings.known.has_authorities and "host key" in error.what:
            lacking.append("@cert-authority in known_hosts")
        if lacking:
            error.needed = f"{error.needed or 'a connection'}; kprov's own SSH client knows no {', '.join(lacking)}"
            error.todo = f"install the OpenSSH client, which kprov then uses; or {error.todo}"
        return error

    def _prepare(self, name: str, to: Connection, gateway: Any) -> tuple[Any, Target, tuple[HostKey, ...]]:
        """A connection that is ready to open: identities chosen, host keys loaded, unknown ones refused."""
        with self._making_lock:
            connection = fabric.Connection(
                to.address,
                user=to.user,
                port=to.port,
                config=self._settings.config,
                gateway=gateway,
                forward_agent=False,
                connect_timeout=sentences.CONNECT_SECONDS,
                # A longer banner timeout: the connect timeout ends first, and is told apart from a server that hangs up.
                connect_kwargs={
                    "banner_timeout": 2 * sentences.CONNECT_SECONDS,
                    "auth_timeout": 30,
                    "channel_timeout": 30,
                },
            )
        via = getattr(gateway, "host", "a ProxyCommand") if gateway else None
        target = Target(name=name, address=connection.host, port=connection.port, user=connection.user, via=via)
        auth = self._identify(connection, to, target)
        target = replace(target, auth=auth)
        trusted = self._trust(connection, to, target)
        return connection, target, trusted

    def _identify(self, connection: Any, to: Connection, target: Target) -> str:
        """Chooses what to prove ourselves with; returns it in words."""
        options = connection.connect_kwargs
        found: Mapping[str, Any] = connection.ssh_config
        only = found.get("identitiesonly", "no").lower() == "yes"
        files = [path for path in options.pop("key_filename", []) if Path(path).is_file()]
        tried = []
        if to.key is not None:
            options["pkey"] = self._key(to.key.expanduser(), target)
            tried.append(f"key {to.key}")
        if files:
            options["key_filename"] = files
            tried += [f"key {path}" for path in files]
        options["allow_agent"] = options["look_for_keys"] = not only
        tried.append("no agent" if only else "the SSH agent and the default keys in ~/.ssh")
        if to.password is not None:
            options["password"] = to.password.reveal()
            # Without this paramiko would try the login password on every encrypted key it finds.
            options["passphrase"] = ""
            tried.append("the password")
        else:
            tried.append("no password")
        return ", ".join(tried)

    def _key(self, path: Path, target: Target) -> Any:
        """The private key, read and decrypted once. Raises TransportError."""
        with self._keys_lock:
            if path not in self._keys:
                self._keys[path] = load_key(path, str(target), self._settings.ask_passphrase)
            return self._keys[path]

    def _trust(self, connection: Any, to: Connection, target: Target) -> tuple[HostKey, ...]:
        """Loads the keys trusted for this host, and refuses any other; the pinned key alone if there is one."""
        known = self._settings.known
        name = host_name_of(target.address, target.port)
        if to.host_key is not None:
            try:
                trusted: tuple[HostKey, ...] = (parse_host_key(to.host_key),)
            except ValueError as error:
                raise TransportError("host_key is not a host key", where=target.name, found=str(error)) from None
        else:
            trusted = known.keys(connection.ssh_config.get("hostkeyalias", name))
        host_keys = connection.client.get_host_keys()
        for key in trusted:
            with contextlib.suppress(paramiko.SSHException, paramiko.pkey.UnknownKeyType):
                host_keys.add(name, key.type, paramiko.PKey.from_type_string(key.type, key.blob))
        connection.client.set_missing_host_key_policy(RefuseUnknown(known))
        connection.connect_kwargs["transport_factory"] = transport_factory(trusted, pinned=to.host_key is not None)
        return trusted


class RefuseUnknown(paramiko.RejectPolicy):
    """Rejects, and keeps the key that was shown for the message."""

    def __init__(self, known: KnownHosts) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:
        offered = HostKey(type=key.get_name(), blob=key.asbytes())
        raise HostKeyRefused(offered, (), pinned=False, revoked=self._known.is_revoked(offered.blob))


def load_key(path: Path, where: str, ask: AskPassphrase | None) -> Any:
    """The private key in that file (OpenSSH or PEM), with its certificate beside it. Raises TransportError."""
    try:
        return paramiko.PKey.from_path(path)
    except (TypeError, paramiko.PasswordRequiredException):
        pass  # encrypted
    except (OSError, ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise TransportError("the private key cannot be read", where=where, found=f"{path}: {error}") from None
    passphrase = ask(path) if ask is not None else None
    if passphrase is None:
        raise sentences.key_locked(where, path)
    try:
        return paramiko.PKey.from_path(path, passphrase.reveal().encode())  # type: ignore[arg-type]
    except (ValueError, paramiko.SSHException):
        raise TransportError("the passphrase does not open the private key", where=where, found=str(path)) from None


def _changed(error: Exception, trusted: tuple[HostKey, ...], *, pinned: bool) -> Exception:
    """paramiko's mismatch with the keys that were expected; other errors as they are."""
    if not isinstance(error, paramiko.BadHostKeyException):
        return error
    offered = HostKey(type=error.key.get_name(), blob=error.key.asbytes())
    return HostKeyRefused(offered, trusted, pinned=pinned)
