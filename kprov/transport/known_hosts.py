"""Which host keys are known for an address: reads OpenSSH known_hosts files; decides nothing, changes nothing.

Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. paramiko's own reader is not used because it compares every line with
every other (hours for thousands of hashed names) and knows neither patterns nor @revoked.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A public host key: its type ("ssh-ed25519") and its blob."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {base64.b64encode(self.blob).decode()}"


def parse_host_key(text: str) -> HostKey:
    """A key as in `host_key:` of an inventory or in a .pub file: "TYPE BASE64 [comment]". Raises ValueError."""
    fields = text.split()
    if len(fields) < 2:
        raise ValueError('a host key is "TYPE BASE64", as in /etc/ssh/ssh_host_ed25519_key.pub')
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except binascii.Error as error:
        raise ValueError(f"the key is not base64: {error}") from error
    kind = fields[0].encode()
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind):
        raise ValueError(f"the key's content is not of type {fields[0]}")
    return HostKey(type=fields[0], blob=blob)


def host_name_of(address: str, port: int) -> str:
    """The name known_hosts uses: the address, or [address]:port for other ports than 22."""
    return address if port == 22 else f"[{address}]:{port}"


def signatures(key_type: str) -> tuple[str, ...]:
    """The algorithms a host key of that type can prove itself with; SHA-1 is not one of them."""
    return ("rsa-sha2-512", "rsa-sha2-256") if key_type == "ssh-rsa" else (key_type,)


@dataclass(frozen=True, kw_only=True)
class _Line:
    hosts: str
    key: HostKey


@dataclass
class KnownHosts:
    """The keys of some known_hosts files. Missing files and lines that are no keys are passed over, as ssh does."""

    _plain: dict[str, list[HostKey]] = field(default_factory=dict)
    _others: list[_Line] = field(default_factory=list)  # hashed names and patterns: looked at one by one
    _revoked: set[bytes] = field(default_factory=set)
    has_authorities: bool = False  # there are CAs of host keys, which are not looked at here

    @classmethod
    def read(cls, paths: Iterable[Path]) -> KnownHosts:
        """Raises OSError for a file that exists but cannot be read."""
        known = cls()
        for path in paths:
            if path.is_file():
                known.add(path.read_text(errors="replace"))
        return known

    def add(self, text: str) -> None:
        """Takes the lines of one file."""
        for line in text.splitlines():
            hosts, _, rest = line.strip().partition(" ")
            if hosts == "@cert-authority":
                self.has_authorities = True
            if not hosts or hosts.startswith("#") or hosts == "@cert-authority":
                continue
            revoked = hosts == "@revoked"
            if revoked:
                hosts, _, rest = rest.strip().partition(" ")
            try:
                key = parse_host_key(rest)
            except ValueError:
                continue
            if revoked:
                self._revoked.add(key.blob)
            elif hosts.startswith("|") or any(sign in hosts for sign in "*?!"):
                self._others.append(_Line(hosts=hosts, key=key))
            else:
                for name in hosts.split(","):
                    self._plain.setdefault(name.lower(), []).append(key)

    def keys(self, name: str) -> tuple[HostKey, ...]:
        """Keys known for that name (see `host_name_of`), in file order without the revoked ones."""
        found = list(self._plain.get(name.lower(), ()))
        found += [line.key for line in self._others if _matches(line.hosts, name)]
        return tuple(dict.fromkeys(key for key in found if key.blob not in self._revoked))

    def is_revoked(self, blob: bytes) -> bool:
        return blob in self._revoked


def _matches(hosts: str, name: str) -> bool:
    """Whether a hashed name or a list of patterns means that name; a negated pattern that fits rules the line out."""
    if hosts.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in hosts[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.lower().encode(), "sha1"), digest)
    patterns = [pattern.replace("[", "[[]").lower() for pattern in hosts.split(",")]
    if any(fnmatch.fnmatchcase(name.lower(), pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in patterns if not pattern.startswith("!"))
