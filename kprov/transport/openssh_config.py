"""What the OpenSSH client is asked for: its effective configuration for a host, and its options from the inventory's values.

Pure but for `effective`, which runs `ssh -G`. The inventory's values always stand on the command line, where nothing in
ssh_config can override them.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kprov.transport import sentences
from kprov.transport.known_hosts import signatures
from kprov.transport.shell import printable
from kprov.values.errors import TransportError
from kprov.values.model import Connection

PERSIST_SECONDS = 15  # how long a client stays whose operator was killed
KEEPALIVE_SECONDS = 10

# What no configuration may change: nothing is asked on a terminal, nothing is trusted or forwarded that was not before.
_ALWAYS = (
    ("BatchMode", "yes"),
    ("StrictHostKeyChecking", "yes"),
    ("UpdateHostKeys", "no"),
    ("ForwardAgent", "no"),
    ("ForwardX11", "no"),
    ("ClearAllForwardings", "yes"),
    ("Tunnel", "no"),
    ("PermitLocalCommand", "no"),
    ("RemoteCommand", "none"),
    ("RequestTTY", "no"),
    ("EscapeChar", "none"),
    ("ControlMaster", "yes"),
    ("ControlPersist", str(PERSIST_SECONDS)),
    ("ServerAliveInterval", str(KEEPALIVE_SECONDS)),
    ("ServerAliveCountMax", "2"),
    ("LogLevel", "INFO"),
)


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is read instead of the user's own files; None means the user's and the system's."""

    config: Path | None = None
    known_hosts: tuple[Path, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Effective:
    """The configuration that OpenSSH finds for a host: single values, lower-case keywords, as `ssh -G` prints them."""

    values: Mapping[str, str] = field(default_factory=dict)
    identities: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        return self.values.get("user", "")

    @property
    def address(self) -> str:
        return self.values.get("hostname", "")

    @property
    def port(self) -> int:
        return int(self.values.get("port", "22"))

    @property
    def jump(self) -> str | None:
        """`USER@HOST:PORT,…`, None without one."""
        return _set(self.values.get("proxyjump"))

    @property
    def command(self) -> str | None:
        """The ProxyCommand, None without one."""
        return _set(self.values.get("proxycommand"))

    @property
    def auth(self) -> str:
        """In words, what the host is offered."""
        keys = [f"key {path}" for path in self.identities]
        only = self.values.get("identitiesonly") == "yes"
        agent = self.values.get("identityagent", "")
        keys.append("no other key of the agent" if only else f"the SSH agent{f' {agent}' if agent else ''}")
        return ", ".join([*keys, "no password"])


def _set(value: str | None) -> str | None:
    return None if value is None or value.lower() == "none" else value


def parse(text: str) -> Effective:
    """Read what `ssh -G` printed."""
    values: dict[str, str] = {}
    identities = []
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        if keyword == "identityfile":
            identities.append(value)
        values.setdefault(keyword, value)
    return Effective(values=values, identities=tuple(identities))


def effective(name: str, to: Connection, files: Files) -> Effective:
    """Ask OpenSSH what it would do for that host. Raises TransportError, which names the file and line at fault."""
    done = subprocess.run(
        ["ssh", "-G", *_where(to, files), "--", to.address],
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return parse(done.stdout.decode(errors="replace"))
    log = printable(done.stderr)
    if (circle := re.search(r"jumphost loop via (\S+)", log)) is not None:
        raise sentences.jump_circle(name, (to.address, circle[1]))
    raise TransportError(
        "the OpenSSH client does not accept its configuration",
        where=name,
        found=log.splitlines()[0] if log else f"ssh -G ended with exit code {done.returncode}",
        needed="a configuration with which `ssh HOST true` works",
        todo=f"correct what it names, then try: ssh {to.address} true",
        log=log,
    )


def options(
    to: Connection,
    files: Files,
    found: Effective,
    *,
    control: Path,
    log: Path,
    pinned: Path | None,
    proxy: str | None,
    alone: bool,
) -> list[str]:
    """Return the command line of the client that holds a host's connection.

    Args:
        found: what `effective` answered.
        control, log: its control socket, and where it writes.
        pinned: a known_hosts file with the one key that the inventory pins, under the name `kprov-pinned`.
        proxy: the command to reach the host through; None leaves it to the configuration.
        alone: offer the inventory's key and those of the configuration, and no others of an agent, which would use up
            the tries that sshd gives before the key's turn comes.
    """
    rows = [*_ALWAYS, ("ConnectTimeout", str(sentences.CONNECT_SECONDS)), ("ControlPath", _path(control))]
    if proxy is not None:
        rows.append(("ProxyCommand", proxy))
    elif to.jump is not None:
        rows.append(("ProxyJump", "none"))
    rows += [*_ciphers(found), *_pin(to, found, pinned)]
    if alone and to.key is not None:
        rows.append(("IdentitiesOnly", "yes"))
    given = [part for key, value in rows for part in ("-o", f"{key}={value}")]
    # Without -v the stderr of a ProxyCommand, which may say all there is to know, goes to /dev/null.
    loud = ["-v"] if proxy is None and to.jump is None and found.command is not None else []
    return ["ssh", "-M", "-N", *loud, "-E", str(log), *given, *_where(to, files), "--", to.address]


def subsystem(name: str, to: Connection, files: Files, found: Effective, pinned: Path | None) -> list[str]:
    """Return the command line of a client whose standard input and output are a subsystem of the server, such as sftp."""
    own = [row for row in _ALWAYS if not row[0].startswith("Control")]
    rows = [*own, ("ControlMaster", "no"), ("ControlPath", "none"), ("ConnectTimeout", str(sentences.CONNECT_SECONDS))]
    rows += [*_ciphers(found), *_pin(to, found, pinned)]
    if to.key is not None:
        rows.append(("IdentitiesOnly", "yes"))
    given = [part for key, value in rows for part in ("-o", f"{key}={value}")]
    return ["ssh", "-s", *given, *_where(to, files), "--", to.address, name]


def _ciphers(found: Effective) -> list[tuple[str, str]]:
    ciphers = quick_first(found.values.get("ciphers", ""))
    return [] if ciphers is None else [("Ciphers", ciphers)]


def _pin(to: Connection, found: Effective, pinned: Path | None) -> list[tuple[str, str]]:
    """What makes the client trust the one key in that file, and no other."""
    if pinned is None:
        return []
    kind = (to.host_key or "").split()[0]
    rows = [
        ("HostKeyAlias", PINNED),
        ("HostKeyAlgorithms", ",".join(signatures(kind))),
        ("UserKnownHostsFile", _path(pinned)),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("VerifyHostKeyDNS", "no"),
        ("CheckHostIP", "no"),
    ]
    # Older clients do not have it.
    return [*rows, ("KnownHostsCommand", "none")] if "knownhostscommand" in found.values else rows


PINNED = "kprov-pinned"


def _where(to: Connection, files: Files) -> list[str]:
    """The options that decide how the configuration is read, and what the inventory says of user, port and key."""
    argv = []
    if files.config is not None:
        argv += ["-F", str(files.config)]
    if to.user is not None:
        argv += ["-l", to.user]
    if to.port is not None:
        argv += ["-p", str(to.port)]
    if to.key is not None:
        # Not -i: it leaves out a key of which only the .pub lies there and the rest is in an agent.
        argv += ["-o", f"IdentityFile={_path(to.key.expanduser())}"]
    if files.known_hosts is not None:
        known = " ".join(_path(path.expanduser()) for path in files.known_hosts) or "/dev/null"
        argv += ["-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/dev/null"]
    return argv


def _path(path: Path) -> str:
    """A path as ssh_config takes one: quoted, and no percent sign that would be expanded."""
    return '"' + str(path).replace("%", "%%") + '"'


def through(control: Path) -> str:
    """Return the ProxyCommand that goes through the client of a jump host. It connects nowhere when that is gone."""
    words = ["ssh", "-F", "/dev/null", "-S", str(control), "-o", "BatchMode=yes", "-o", "ControlMaster=no"]
    return f"{shlex.join(words).replace('%', '%%')} -W '[%h]:%p' -- jump-host.invalid"


def quick_first(ciphers: str) -> str | None:
    """Return the ciphers with AES-GCM first, which costs the least where processors have AES; None when it is not there.

    Only those that the configuration allows are in the list, so that nothing is allowed by this.
    """
    names = ciphers.split(",")
    quick = [name for name in ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com") if name in names]
    return ",".join([*quick, *(name for name in names if name not in quick)]) if quick else None
