"""Decide whether a certificate that is there is still the one that is desired. Pure; it issues nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from kprov.pki.authority import extended_usages
from kprov.pki.keys import algorithm_of
from kprov.values.certificate import CertificateSpec

_DAY = timedelta(days=1)
_SIGNING = timedelta(minutes=1)  # others begin with the moment in which they sign
_LONGEST_REASON = 600  # characters
_USAGES = {(True, False): "server", (False, True): "client", (True, True): "server and client"}


def why_reissue(cert_pem: bytes | None, spec: CertificateSpec, authority_cert: bytes, now: datetime) -> str | None:
    """Why the certificate must be issued again, as a clause that follows its name ("expires in 5 days …"), or None.

    cert_pem may come from a host that is not trusted: what is quoted from it is cut and free of control characters.
    authority_cert: PEM of the CA that issues now (the first, when it is a bundle). now: an aware UTC time.
    Raises ValueError when authority_cert cannot be read.
    """
    if not cert_pem or not cert_pem.strip():
        return "is missing"
    authority = _authority(authority_cert)
    try:
        reason = _first_reason(x509.load_pem_x509_certificate(cert_pem), spec, authority, now)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return "cannot be read as a certificate"
    return reason and _shown(reason)


def why_not_issued(
    cert_pem: bytes, spec: CertificateSpec, authority_cert: bytes, now: datetime, life: timedelta
) -> str | None:
    """Why what somebody else signed just now is not the certificate that was asked for, as a clause, or None.

    life: what was asked for; it may be shorter, but not so that the next run would renew it, and a day longer.
    """
    authority = _authority(authority_cert)
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem)
        questions: tuple[Callable[[], str | None], ...] = (
            *_questions(certificate, spec, authority),
            lambda: _new_life(certificate, authority, spec, now, life),
            lambda: _strictly(certificate),
        )
        reason = next((why for question in questions if (why := question())), None)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return "cannot be read as a certificate"
    return reason and _shown(reason)


def _strictly(certificate: x509.Certificate) -> str | None:
    """What strict verifiers (Python 3.13) refuse, and kprov itself never leaves out."""
    try:
        certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return "has no authorityKeyIdentifier, which strict verifiers need"
    return None


def _new_life(
    certificate: x509.Certificate, authority: x509.Certificate, spec: CertificateSpec, now: datetime, life: timedelta
) -> str | None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now + _SIGNING < start:
        return f"is not valid before {start:%Y-%m-%d %H:%M} UTC"
    needed = min(renewal_threshold(spec), life / 2)
    if end - now < needed and end < authority.not_valid_after_utc:
        return f"is valid until {end:%Y-%m-%d %H:%M} UTC only; needed are {_days(needed)} at least"
    if end - now > life + _DAY:
        return f"is valid until {end:%Y-%m-%d %H:%M} UTC, longer than the {_days(life)} that were asked for"
    return None


def _days(span: timedelta) -> str:
    return f"{round(span / _DAY, 1):g} days"


def key_fits(key_pem: bytes, cert_pem: bytes) -> bool:
    """Whether this is the private key of that certificate. What cannot be read fits nothing; an encrypted key neither."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
        return key.public_key() == x509.load_pem_x509_certificate(cert_pem).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


@lru_cache(maxsize=16)
def _authority(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _first_reason(
    certificate: x509.Certificate, spec: CertificateSpec, authority: x509.Certificate, now: datetime
) -> str | None:
    first, *others = _questions(certificate, spec, authority)
    questions = (first, lambda: _life(certificate, authority, spec, now), *others)
    return next((reason for question in questions if (reason := question())), None)


def _questions(
    certificate: x509.Certificate, spec: CertificateSpec, authority: x509.Certificate
) -> tuple[Callable[[], str | None], ...]:
    """All but its life, the issuer first."""
    return (
        lambda: _issuer(certificate, authority, spec),
        lambda: _subject(certificate, spec),
        lambda: _names(certificate, spec),
        lambda: _usage(certificate, spec),
        lambda: _algorithm(certificate, spec),
    )


def _issuer(certificate: x509.Certificate, authority: x509.Certificate, spec: CertificateSpec) -> str | None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return f"is not signed by the cluster's {spec.authority} CA"
    return None


def _life(
    certificate: x509.Certificate, authority: x509.Certificate, spec: CertificateSpec, now: datetime
) -> str | None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return f"is not valid before {start:%Y-%m-%d %H:%M} UTC"
    if now >= end:
        return f"expired on {end:%Y-%m-%d %H:%M} UTC"
    threshold = renewal_threshold(spec)
    # A leaf ends with its CA. When that is why it is short, a new one would be just as short: issuing it in
    # every run would change hosts for nothing, and only a new CA helps.
    if end - now < threshold and end < authority.not_valid_after_utc:
        return f"expires in {days_left(end, now)} days, on {end:%Y-%m-%d}; renewed under {threshold / _DAY:.0f} days"
    if end - now > timedelta(days=spec.days) + _DAY:
        return f"is valid until {end:%Y-%m-%d}, longer than the {spec.days} days desired"
    return None


def renewal_threshold(spec: CertificateSpec) -> timedelta:
    """The remaining life under which a leaf is renewed.

    A certificate made for no more than renew_before_days would be due when it is issued: it gets a third of its life.
    """
    if spec.renew_before_days < spec.days:
        return timedelta(days=spec.renew_before_days)
    return timedelta(days=spec.days) / 3


def days_left(end: datetime, now: datetime) -> int:
    """Whole days until `end`, negative when it has passed."""
    return (end - now) // _DAY


def _subject(certificate: x509.Certificate, spec: CertificateSpec) -> str | None:
    common_name = ", ".join(_values(certificate, NameOID.COMMON_NAME))
    if common_name != spec.common_name:
        return f"has the common name {common_name or '(none)'}, desired is {spec.common_name}"
    organizations = sorted(_values(certificate, NameOID.ORGANIZATION_NAME))
    if organizations != sorted(spec.organizations):
        return f"has the organization {_listed(organizations)}, desired is {_listed(sorted(spec.organizations))}"
    return None


def _values(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]


def _names(certificate: x509.Certificate, spec: CertificateSpec) -> str | None:
    there = names_of(certificate)
    desired = {*spec.dns_names, *spec.ip_addresses}
    faults = (("lacks", desired - there), ("has without need", there - desired))
    return "; ".join(f"{verb} the names {_listed(sorted(names))}" for verb, names in faults if names) or None


def names_of(certificate: x509.Certificate) -> set[str]:
    """DNS names and IP addresses of the subject alternative name; names of other kinds are given as they are typed."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    plain = (x509.DNSName, x509.IPAddress)
    return {str(name.value) if isinstance(name, plain) else f"{type(name).__name__}:{name.value}" for name in names}


def _usage(certificate: x509.Certificate, spec: CertificateSpec) -> str | None:
    if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        return "is the certificate of a CA, desired is a leaf"
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = set()
    if usages != set(extended_usages(spec)):
        desired = _USAGES.get((spec.server, spec.client), "nothing")
        return f"is good for {_listed(sorted(_usage_name(usage) for usage in usages))}, desired is {desired}"
    if not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
        return "does not allow digital signatures"
    return None


def _usage_name(usage: x509.ObjectIdentifier) -> str:
    return {"serverAuth": "server", "clientAuth": "client"}.get(usage._name, usage.dotted_string)


def _algorithm(certificate: x509.Certificate, spec: CertificateSpec) -> str | None:
    found = algorithm_of(certificate.public_key())
    return None if found == spec.algorithm else f"has a key of {found}, desired is {spec.algorithm}"


def _shown(reason: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in reason)
    return clean if len(clean) <= _LONGEST_REASON else f"{clean[:_LONGEST_REASON]}…"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "(none)"
