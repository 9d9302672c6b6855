"""The key files that OpenSSH is given: the operator's own, looked at, and the host's that the inventory pins, written."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kprov.transport.known_hosts import parse_host_key
from kprov.transport.openssh_config import PINNED
from kprov.transport.sentences import Target
from kprov.values.errors import TransportError
from kprov.values.model import Connection


def write_pin(to: Connection, name: str, path: Path) -> Path | None:
    """Write a known_hosts file with the pinned key, if there is one, and return it. Raises TransportError."""
    if to.host_key is None:
        return None
    try:
        key = parse_host_key(to.host_key)
    except ValueError as error:
        raise TransportError("host_key is not a host key", where=name, found=str(error)) from None
    path.write_text(f"{PINNED} {key}\n")
    return path


def see_key(target: Target, path: Path) -> None:
    """Raise TransportError when neither the key nor its public half, for one in an agent, can be read."""
    try:
        (path if path.exists() else path.with_name(f"{path.name}.pub")).open("rb").close()
    except OSError as error:
        raise TransportError(
            "the private key cannot be read", where=str(target), found=f"{path}: {error.strerror}",
            needed="the key, or its .pub and the key in an agent", todo="correct key in the inventory",
        ) from None  # fmt: skip


def is_locked(key: Path) -> bool:
    """Return whether that private key needs a passphrase."""
    argv = ["ssh-keygen", "-y", "-P", "", "-f", str(key)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode != 0 and b"passphrase" in done.stderr
