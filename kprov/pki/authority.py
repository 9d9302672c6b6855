"""A certificate authority: makes itself, issues leaves. It does no file I/O and never shows its key.

Certificates are fit for RFC 5280 verifiers in strict mode (OpenSSL -x509_strict, Python's VERIFY_X509_STRICT) and Go.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kprov.pki.chain import presented
from kprov.pki.keys import Algorithm, PrivateKey, new_key, private_pem
from kprov.values.certificate import Authority, CertificateSpec
from kprov.values.errors import PkiError

BACKDATE = timedelta(hours=1)  # small differences between clocks must not make a new certificate "not yet valid"
_COMMON_NAMES: dict[Authority, str] = {
    "kubernetes": "kubernetes-ca",
    "etcd": "etcd-ca",
    "front-proxy": "kubernetes-front-proxy-ca",
}


def fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 over the DER of the first certificate in the PEM text, 64 hexadecimal digits. Raises ValueError."""
    der = x509.load_pem_x509_certificate(certificate_pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def fingerprints(bundle_pem: bytes) -> tuple[str, ...]:
    """SHA-256 of every certificate in the PEM text, in its order. Raises ValueError."""
    certificates = x509.load_pem_x509_certificates(bundle_pem)
    return tuple(fingerprint(one.public_bytes(serialization.Encoding.PEM)) for one in certificates)


@dataclass(frozen=True, kw_only=True, repr=False)
class IssuedCertificate:
    """A leaf and its private key, both PEM (key: PKCS#8, not encrypted)."""

    cert_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "IssuedCertificate(***)"


@dataclass(frozen=True, kw_only=True, repr=False)
class CertificateAuthority:
    """One of the cluster's CAs with its private key. Make it with `generate` or `load`.

    chain: what leaves are presented with, PEM: this certificate and those above it, without a root.
    """

    name: Authority
    certificate: x509.Certificate
    key: PrivateKey
    chain: bytes = b""

    def __repr__(self) -> str:
        return f"CertificateAuthority({self.name})"

    @classmethod
    def generate(cls, name: Authority, algorithm: Algorithm, days: int, now: datetime) -> CertificateAuthority:
        """A new self-signed CA that lives for `days` from `now` (an aware UTC time)."""
        key = new_key(algorithm)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAMES[name])])
        start = now.replace(microsecond=0)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - BACKDATE)
            .not_valid_after(start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(name=name, certificate=certificate, key=key)

    @classmethod
    def load(cls, name: Authority, cert_pem: bytes, key_pem: bytes) -> CertificateAuthority:
        """A CA from its PEM texts. Raises PkiError when they are unreadable or do not belong together.

        cert_pem: its certificate, and behind it those above it, where there are any.
        """
        try:
            certificate = x509.load_pem_x509_certificate(cert_pem)
            chain = presented(cert_pem)
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError):
            # The library's own words may quote what it read.
            raise PkiError(f"the certificate or key of the {name} CA cannot be read", needed="PEM") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise PkiError(f"the key of the {name} CA is of no known kind", needed="an RSA or ECDSA key")
        if key.public_key() != certificate.public_key():
            raise PkiError(f"the key of the {name} CA does not belong to its certificate")
        return cls(name=name, certificate=certificate, key=key, chain=chain)

    @property
    def cert_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8 PEM, for the store alone."""
        return private_pem(self.key)

    def issue(self, spec: CertificateSpec, now: datetime, life: timedelta | None = None) -> IssuedCertificate:
        """A new key and the certificate that `spec` asks for, signed by this CA.

        It is valid from an hour before `now` (an aware UTC time) for `life`, by default spec.days, and never outside
        the CA's own validity. Raises PkiError when spec wants another CA, or when this one has expired
        or is not valid yet.
        """
        must_be_able_to_sign(self.name, self.certificate, spec, now)
        key = new_key(spec.algorithm)
        start = now.replace(microsecond=0)
        builder = (
            x509.CertificateBuilder(
                subject_name=subject(spec), issuer_name=self.certificate.subject, public_key=key.public_key()
            )
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(start - BACKDATE, self.certificate.not_valid_before_utc))
            .not_valid_after(min(start + (life or timedelta(days=spec.days)), self.certificate.not_valid_after_utc))
        )
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        for extension, critical in (
            *extensions(spec, key),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        leaf = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return IssuedCertificate(cert_pem=leaf + self.chain, key_pem=private_pem(key))


def must_be_able_to_sign(name: Authority, certificate: x509.Certificate, spec: CertificateSpec, now: datetime) -> None:
    """Raise PkiError when `spec` wants another CA, or this one has expired or is not valid yet."""
    if spec.authority != name:
        raise PkiError(f"certificate {spec.name} was asked of the wrong CA", found=name, needed=spec.authority)
    if now >= certificate.not_valid_after_utc:
        raise PkiError(
            f"the {name} CA has expired and can issue no certificate",
            found=f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            todo="replace the authority: new leaves cannot help, because every verifier refuses their issuer",
        )
    if now < certificate.not_valid_before_utc:
        raise PkiError(
            f"the {name} CA is not valid yet: this machine's clock is wrong",
            found=f"now {now:%Y-%m-%d %H:%M} UTC, CA valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            todo="set the clock (timedatectl status) and run again",
        )


def extensions(spec: CertificateSpec, key: PrivateKey) -> list[tuple[x509.ExtensionType, bool]]:
    """Return what a leaf says of itself, each with whether it is critical."""
    names = [
        *(x509.DNSName(name) for name in spec.dns_names),
        *(x509.IPAddress(ip_address(address)) for address in spec.ip_addresses),
    ]
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(key_encipherment=isinstance(key, rsa.RSAPrivateKey)), True),
        (x509.ExtendedKeyUsage(extended_usages(spec)), False),
    ]
    return [*found, (x509.SubjectAlternativeName(names), False)] if names else found


def extended_usages(spec: CertificateSpec) -> list[x509.ObjectIdentifier]:
    """The extended key usages that `spec` asks for, server first."""
    desired = ((spec.server, ExtendedKeyUsageOID.SERVER_AUTH), (spec.client, ExtendedKeyUsageOID.CLIENT_AUTH))
    return [usage for asked, usage in desired if asked]


def subject(spec: CertificateSpec) -> x509.Name:
    """Return the groups and the common name of a leaf."""
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in spec.organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, spec.common_name)])


def _key_usage(*, signs_certificates: bool = False, key_encipherment: bool = False) -> x509.KeyUsage:
    """keyEncipherment is for RSA key exchange only: RFC 8813 forbids it beside an elliptic curve key."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
