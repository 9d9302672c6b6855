"""Seal bytes with a passphrase, and open them again. Pure except for randomness; it neither asks for nor stores one.

AES-256-GCM under a key from scrypt (N = 2^17, r = 8, p = 1: 128 MiB and about 0.3 s for every guess), with a fresh salt
and nonce each time. The version byte fixes these parameters, so a changed file cannot ask for weaker ones.
Layout: version (1 byte), salt (16), nonce (12), ciphertext with its tag (16 more than the plain text).
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kprov.values.errors import StoreError
from kprov.values.secret import Secret

_VERSION = b"\x01"
_SALT, _NONCE, _TAG = 16, 12, 16


def seal(content: bytes, header: bytes, passphrase: Secret) -> bytes:
    """The sealed content. header is not in it, but must be the same when it is opened. Raises StoreError."""
    check_passphrase(passphrase)
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    prefix = _VERSION + salt + nonce
    return prefix + _cipher(passphrase, salt).encrypt(nonce, content, prefix + header)


def unseal(sealed: bytes, header: bytes, passphrase: Secret) -> bytes:
    """The content. Raises StoreError for a wrong passphrase and for any change to `sealed` or `header`."""
    check_passphrase(passphrase)
    if sealed[:1] != _VERSION:
        raise StoreError(
            "the vault is of an unknown version",
            found=f"version {sealed[0]}" if sealed else "nothing",
            needed=f"version {_VERSION[0]}",
            todo="use the release of kprov that wrote it, or a newer one",
        )
    prefix, ciphertext = sealed[: 1 + _SALT + _NONCE], sealed[1 + _SALT + _NONCE :]
    if len(ciphertext) < _TAG:
        raise StoreError("the vault is cut short", todo="restore the state folder from a backup")
    salt, nonce = prefix[1 : 1 + _SALT], prefix[1 + _SALT :]
    try:
        return _cipher(passphrase, salt).decrypt(nonce, ciphertext, prefix + header)
    except InvalidTag:
        raise StoreError(
            "the vault does not open: the passphrase is wrong or the file was changed",
            todo="try the passphrase again; if it is surely right, restore the state folder from a backup",
        ) from None


def check_passphrase(passphrase: Secret) -> None:
    """Raise StoreError when the passphrase protects nothing."""
    if not passphrase.reveal().strip():
        raise StoreError(
            "the passphrase is empty",
            needed="at least one visible character, better four random words",
            todo="check --passphrase-file or KPROV_PASSPHRASE; leave both out to keep the keys unencrypted",
        )


def _cipher(passphrase: Secret, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(passphrase.reveal().encode()))
