"""Opens what an API server encrypted before it gave it to etcd, with the keys of the state folder. Pure.

Source: kubernetes.io, "Encrypting Confidential Data at Rest"; what each provider writes: k8s.io/apiserver,
pkg/storage/value/encrypt. A value begins with `k8s:enc:PROVIDER:VERSION:KEY:`.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

Readers = Mapping[tuple[str, str], bytes]  # provider and name of the key → the key; of a KMS it is empty

_PLAIN = b"k8s\x00"  # how Kubernetes' own encoding begins
_SEALED = b"k8s:enc:"


def readers(document: str, own: bytes) -> Readers:
    """Return the keys by which objects are written.

    document: the EncryptionConfiguration as JSON, empty for kprov's own key alone. own: that key, 32 bytes.
    """
    if not document:
        return {("secretbox", "key1"): own}
    providers = [item for row in json.loads(document)["resources"] for item in row["providers"]]
    found: dict[tuple[str, str], bytes] = {}
    for provider in providers:
        for kind, settings in provider.items():
            if kind == "kms":
                found["kms", str(settings["name"])] = b""
            for key in (settings or {}).get("keys", ()):
                found[kind, str(key["name"])] = b64decode(key["secret"])
    return found


def opens(path: str, stored: bytes, known: Readers) -> bool:
    """Return whether a value of etcd is a Kubernetes object, once it is opened where it is encrypted.

    path: its key in etcd. What a KMS of `known` encrypted counts as open: the KMS alone could tell, and is not asked.
    """
    if not stored.startswith(_SEALED):
        return stored.startswith(_PLAIN)
    parts = stored.removeprefix(_SEALED).split(b":", 3)
    if len(parts) < 4:
        return False
    provider, name, sealed = parts[0].decode(errors="replace"), parts[2].decode(errors="replace"), parts[3]
    key = known.get((provider, name))
    if key is None or provider == "kms":
        return key is not None
    try:
        return _OPENERS[provider](key, sealed, path.encode()).startswith(_PLAIN)
    except (CryptoError, InvalidTag, ValueError):
        return False


def _secretbox(key: bytes, sealed: bytes, _: bytes) -> bytes:
    return bytes(SecretBox(key).decrypt(sealed))


def _aesgcm(key: bytes, sealed: bytes, path: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], path)


def _aescbc(key: bytes, sealed: bytes, _: bytes) -> bytes:
    decryptor = Cipher(AES(key), CBC(sealed[:16])).decryptor()
    padded = decryptor.update(sealed[16:]) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


_OPENERS: Mapping[str, Callable[[bytes, bytes, bytes], bytes]] = {
    "secretbox": _secretbox,
    "aesgcm": _aesgcm,
    "aescbc": _aescbc,
}
