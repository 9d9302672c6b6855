"""Private keys: made, written as PEM, recognized. Nothing here stores a key or knows what it is for."""

from __future__ import annotations

import re
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

Algorithm = Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_RSA_BITS: dict[Algorithm, int] = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}


def new_key(algorithm: Algorithm) -> PrivateKey:
    """A fresh private key from the system's random source."""
    if algorithm == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[algorithm])


def private_pem(key: PrivateKey) -> bytes:
    """PKCS#8 PEM without encryption: what Go's crypto/tls and client-go read for every algorithm."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: PrivateKey) -> bytes:
    """The public half as a PKIX `PUBLIC KEY` block, as --service-account-key-file wants it."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_keys(text: bytes) -> frozenset[str]:
    """The `PUBLIC KEY` blocks in a text, each without its line breaks."""
    found = re.findall(rb"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----", text, re.DOTALL)
    return frozenset(b"".join(body.split()).decode("ascii", "replace") for body in found)


def algorithm_of(key: PublicKeyTypes) -> str:
    """Algorithm and size in the words of `Algorithm`; anything else is described in the same manner (`ecdsa-p384`)."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ecdsa-p256" if isinstance(key.curve, ec.SECP256R1) else f"ecdsa-{key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    return type(key).__name__
