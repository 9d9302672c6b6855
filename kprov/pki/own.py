"""Decide whether a CA that users bring can be the cluster's. Pure.

Source: RFC 5280, in the strict reading of OpenSSL (-x509_strict) and of Python 3.13, and Go's crypto/x509, by which all
components verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_RSA_BITS = 2048
_KEYS = f"RSA of {_RSA_BITS} bits or more, or ECDSA with P-256, P-384 or P-521"
_ANY = x509.ObjectIdentifier("2.5.29.37.0")
_BOTH = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}

Extension = TypeVar("Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a CA cannot be used, in the words of a message; of: which of the two files it is about."""

    of: Literal["certificate", "key"] = "certificate"
    what: str
    found: str = ""
    needed: str = ""
    todo: str = ""


def certificate_fault(pem: bytes, now: datetime) -> Fault | None:
    """Return the first reason why these certificates cannot be a CA of the cluster and those above it, or None."""
    if b"PRIVATE KEY-----" in pem:
        return Fault(what="the file holds a private key", needed="certificates alone", todo="name the key under `key`")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        return next(_faults(certificates, now), None)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        return Fault(what="the file holds no certificate that can be read", needed="PEM: -----BEGIN CERTIFICATE-----")


def key_fault(pem: bytes, chain: bytes) -> Fault | None:
    """Return why this is not the private key of the first certificate, or None."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        return Fault(
            of="key",
            what="the private key is encrypted",
            needed="a key without a passphrase, in a file with mode 0600, or a `signer`",
        )
    except (ValueError, UnsupportedAlgorithm):
        return Fault(of="key", what="the file holds no private key that can be read", needed="PEM")
    if key.public_key() != x509.load_pem_x509_certificate(chain).public_key():
        return Fault(
            of="key",
            what="the key is of another certificate",
            needed="the private key of the first certificate in `certificate`",
        )
    return None


def ends_too_early(chain: bytes, leaf_days: int, now: datetime) -> str:
    """Return when the first certificate that leaves depend on ends, where they would outlive it; else nothing."""
    end = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(chain))
    return f"valid until {end:%Y-%m-%d}" if end < now + timedelta(days=leaf_days) else ""


def same_key(chain: bytes, other: bytes) -> bool:
    """Return whether two CAs are one to whoever verifies: what one signs, the other one does, too."""
    keys = [x509.load_pem_x509_certificate(pem).public_key() for pem in (chain, other)]
    return keys[0] == keys[1]


def _faults(certificates: Sequence[x509.Certificate], now: datetime) -> Iterator[Fault]:
    for place, certificate in enumerate(certificates):
        name = _name(certificate)
        if place:
            yield from _not_above(certificates[place - 1], certificate)
        yield from _not_a_ca(certificate, name, place)
        yield from _out_of_time(certificate, name, now)
        yield from _restricted(certificate, name)
        yield from _not_strict(certificate, name)
    last = certificates[-1]
    if last.issuer != last.subject:
        yield Fault(
            what="the chain does not end with a root, which programs built on OpenSSL look for, haproxy on hosts among them",
            found=f"{_name(last)}, signed by {last.issuer.rfc4514_string()[:200]}",
            needed="all CAs above it in the same file, up to the one that signed itself",
        )
    yield from _key_kind(certificates[0])
    if not certificates[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield Fault(what="this CA has no common name", found=_name(certificates[0]), needed="CN in its subject")


def _not_a_ca(certificate: x509.Certificate, name: str, place: int) -> Iterator[Fault]:
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is None or not basic.value.ca:
        yield Fault(what="this is not the certificate of a CA", found=name, needed="basicConstraints CA:TRUE")
        return
    if not basic.critical:
        yield Fault(
            what="strict verifiers refuse this CA", found=f"{name}: basicConstraints not critical", needed="critical"
        )
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.value.key_cert_sign:
        yield Fault(what="this CA may not sign certificates", found=name, needed="keyUsage keyCertSign")
    length = basic.value.path_length
    if length is not None and length < place:
        yield Fault(
            what="this CA allows fewer CAs below it than there are",
            found=f"{name}: path length {length}",
            needed=f"a path length of {place} or more, or none",
        )


def _out_of_time(certificate: x509.Certificate, name: str, now: datetime) -> Iterator[Fault]:
    if now >= certificate.not_valid_after_utc:
        yield Fault(
            what="this CA has expired",
            found=f"{name}: valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            needed="one that is valid",
        )
    if now < certificate.not_valid_before_utc:
        yield Fault(
            what="this CA is not valid yet",
            found=f"{name}: valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            needed="one that is valid; or a right clock of this computer",
        )


def _restricted(certificate: x509.Certificate, name: str) -> Iterator[Fault]:
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    if usages is not None and _ANY not in (given := set(usages.value)) and not given >= _BOTH:
        yield Fault(
            what="this CA may not sign certificates of both servers and clients",
            found=f"{name}: extendedKeyUsage {', '.join(sorted(one._name for one in given))}",
            needed="no extendedKeyUsage, or serverAuth and clientAuth",
        )
    if _extension(certificate, x509.NameConstraints) is not None:
        yield Fault(
            what="this CA may sign only some names, and a cluster's names and addresses change",
            found=f"{name}: nameConstraints",
            needed="no nameConstraints",
        )


def _not_strict(certificate: x509.Certificate, name: str) -> Iterator[Fault]:
    lacking = []
    if _extension(certificate, x509.SubjectKeyIdentifier) is None:
        lacking.append("subjectKeyIdentifier")
    if certificate.issuer != certificate.subject and _extension(certificate, x509.AuthorityKeyIdentifier) is None:
        lacking.append("authorityKeyIdentifier")
    if lacking:
        yield Fault(what="strict verifiers refuse this CA", found=f"{name}: no {' and no '.join(lacking)}")


def _not_above(lower: x509.Certificate, upper: x509.Certificate) -> Iterator[Fault]:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        yield Fault(
            what="the certificates are no chain",
            found=f"{_name(upper)} behind {_name(lower)}, which it did not sign",
            needed="the CA that signs for the cluster first, each followed by the one that signed it",
        )


def _key_kind(certificate: x509.Certificate) -> Iterator[Fault]:
    key = certificate.public_key()
    good = (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
    )
    if not good:
        yield Fault(what="the key of this CA is of a kind that is not used here", found=_kind(key), needed=_KEYS)


def _kind(key: CertificatePublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA of {key.key_size} bits"
    return (
        key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.removesuffix("PublicKey")
    )


def _extension(certificate: x509.Certificate, kind: Callable[..., Extension]) -> x509.Extension[Extension] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)  # type: ignore[arg-type]
    except x509.ExtensionNotFound:
        return None


def _name(certificate: x509.Certificate) -> str:
    text = certificate.subject.rfc4514_string()
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200] or "(a certificate without a name)"
