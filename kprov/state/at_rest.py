"""Opens what an API server encrypted before it gave it to etcd, with the key of the state folder. Pure."""

from __future__ import annotations

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

_PLAIN = b"k8s\x00"  # how Kubernetes' own encoding begins
_SEALED = b"k8s:enc:secretbox:v1:"


def opens(stored: bytes, key: bytes) -> bool:
    """Return whether a value of etcd is a Kubernetes object, once it is opened with the key where it is encrypted."""
    if not stored.startswith(_SEALED):
        return stored.startswith(_PLAIN)
    _, _, sealed = stored.removeprefix(_SEALED).partition(b":")
    try:
        return SecretBox(key).decrypt(sealed).startswith(_PLAIN)
    except (CryptoError, ValueError):
        return False
