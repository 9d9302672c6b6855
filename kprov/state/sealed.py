"""Keys that backups are encrypted for, and short texts that are encrypted: age v1, by the library pyrage.

What is too large for memory is in `sealed_stream`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyrage

from kprov.values.errors import BackupError


def new_identity() -> str:
    """Return a new private key, as age writes it."""
    return str(pyrage.x25519.Identity.generate())


def recipient_of(identity: str) -> str:
    """Return the public key of a private one. Raises BackupError, which does not quote it."""
    return str(_identity(identity).to_public())


def check_recipient(text: str) -> None:
    """Raise ValueError unless the text is a public key: age's own (age1…), or an SSH key."""
    recipient(text)


def identities_of(text: str, where: str) -> list[Any]:
    """Return the private keys of a file: age's, one a line, or one SSH key. Raises BackupError."""
    try:
        if "PRIVATE KEY-----" in text:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines]
    except (pyrage.IdentityError, ValueError, TypeError):
        found = []
    if not found:
        raise BackupError(
            "this file holds no private key that opens backups",
            where=where,
            needed="AGE-SECRET-KEY-1… as `age-keygen` and `kprov backup key` write it, or an SSH key without a passphrase",
            todo="name the file with your private key",
        )
    return found


def lock_text(text: str, passphrase: str) -> bytes:
    """Encrypt a short text with a passphrase; `age -d` opens it."""
    sealed: bytes = pyrage.passphrase.encrypt(text.encode(), passphrase, armored=True)
    return sealed


_TRIES = 5
_EXCESSIVE = "Excessive work"  # age 0.11 (rage), DecryptError::ExcessiveWork; pyrage gives the text alone


def unlock_text(sealed: bytes, passphrase: str, where: str) -> str:
    """Open what `lock_text` made. Raises BackupError for a wrong passphrase.

    What it costs to try a passphrase was chosen by the computer that locked the key. age measures this one each time, and
    refuses what would take it very long: a busy computer is asked again.
    """
    for _ in range(_TRIES):
        try:
            opened: bytes = pyrage.passphrase.decrypt(sealed, passphrase)
        except pyrage.DecryptError as error:
            if not str(error).startswith(_EXCESSIVE):
                raise BackupError("the passphrase does not open this key", where=where, todo="try it again") from None
        else:
            return opened.decode()
    raise BackupError(
        "this computer is too slow, or too busy, to open the key with its passphrase",
        where=where,
        needed="about as much speed as the computer had that locked it",
        todo="try it again while the computer is quiet, or on a faster one",
    )


def seal_bytes(content: bytes, recipients: Sequence[str]) -> bytes:
    """Encrypt a short content for the recipients."""
    sealed: bytes = pyrage.encrypt(content, [recipient(text) for text in recipients])
    return sealed


def open_bytes(sealed: bytes, identities: Sequence[Any], where: str) -> bytes:
    """Open what `seal_bytes` made. where: what it is in. Raises BackupError."""
    try:
        opened: bytes = pyrage.decrypt(sealed, list(identities))
    except pyrage.DecryptError as error:
        raise BackupError(
            "the state folder in this backup does not open", where=where, found=str(error), todo="use another backup"
        ) from None
    return opened


def _identity(text: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise BackupError(
            "the key of backups in the state folder is damaged", todo="restore the state folder from a backup"
        ) from None


def recipient(text: str) -> Any:
    """Return a public key as the library takes it. Raises ValueError."""
    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ValueError(str(error)) from None
