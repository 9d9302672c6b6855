"""CAs as a company has them, for tests: a root and what it signed, right or wrong in one thing. No test is here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kprov.pki.keys import private_pem
from kprov.values.certificate import OwnAuthority
from kprov.values.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Made:
    """A CA with its key; chain: its certificate and those above it."""

    certificate: x509.Certificate
    key: Any
    above: bytes = b""

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> bytes:
        return self.pem + self.above

    @property
    def key_pem(self) -> bytes:
        return private_pem(self.key)

    @property
    def own(self) -> OwnAuthority:
        return OwnAuthority(chain=self.chain, key=Secret(self.key_pem.decode()))


def make(
    name: str,
    now: datetime,
    by: Made | None = None,
    *,
    days: int = 3650,
    starts: datetime | None = None,
    ca: bool = True,
    critical: bool = True,
    path_length: int | None = None,
    signs: bool | None = True,
    identifiers: bool = True,
    key: Any = None,
    more: tuple[x509.ExtensionType, ...] = (),
    attribute: x509.ObjectIdentifier = NameOID.COMMON_NAME,
) -> Made:
    """A CA, signed by another one or by itself. signs: None for no key usage at all."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(attribute, name)])
    signer = by.key if by is not None else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts or now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=critical)
    )
    if signs is not None:
        usage = x509.KeyUsage(True, False, False, False, False, signs, signs, False, False)
        builder = builder.add_extension(usage, critical=True)
    if identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(issuer, critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(signer, None if type(signer).__name__.startswith("Ed") else hashes.SHA256())
    return Made(certificate=certificate, key=key, above=by.chain if by is not None else b"")


def company(now: datetime, **changes: Any) -> Made:
    """An intermediate below a root, fit for a cluster."""
    root = make("Example Root", now, days=7300)
    return make("Example Cluster CA", now, root, path_length=0, **changes)
