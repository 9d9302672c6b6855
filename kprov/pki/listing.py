"""Rows for a list of certificates with their expiry, from what hosts hold. Pure; it prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from kprov.pki.reissue import days_left, why_reissue
from kprov.values.certificate import Authority, CertificateSpec
from kprov.values.resources import Certificate

OPERATOR = "(operator)"  # stands where a host's name would, for what only the state folder holds
CLUSTER = "(cluster)"  # the same, for what is in Secrets


@dataclass(frozen=True, kw_only=True)
class CertificateRow:
    """One certificate. expires and days_left are None when there is none to read; reason is None when it may stay."""

    host: str
    name: str
    path: str
    expires: datetime | None
    days_left: int | None
    reason: str | None


def certificate_rows(
    desired: Mapping[str, Iterable[Certificate]],
    observed: Mapping[str, Mapping[str, bytes]],
    authorities: Mapping[Authority, bytes],
    now: datetime,
) -> tuple[CertificateRow, ...]:
    """A row for each desired certificate, sorted by host and name.

    desired: by host name. observed: by host name, PEM by path; what is not there is left out. authorities: PEM of the
    CA certificates. now: an aware UTC time.
    """
    rows = [
        _leaf_row(host, certificate, observed.get(host, {}).get(certificate.path), authorities, now)
        for host, certificates in desired.items()
        for certificate in certificates
    ]
    return tuple(sorted(rows, key=lambda row: (row.host, row.name, row.path)))


def secret_rows(
    secrets: Iterable[tuple[CertificateSpec, str, bytes | None, str]], now: datetime
) -> tuple[CertificateRow, ...]:
    """A row for each certificate that lives in a Secret, sorted by name.

    secrets: specification, where it is, PEM (None when it is not there), and why it would be issued again (empty: it
    would not).
    """
    rows = [_row(CLUSTER, spec.name, path, pem, reason or None, now) for spec, path, pem, reason in secrets]
    return tuple(sorted(rows, key=lambda row: row.name))


def authority_rows(authorities: Mapping[Authority, bytes], now: datetime) -> tuple[CertificateRow, ...]:
    """A row for each CA, in the given order; the reason says when one has expired."""
    return tuple(_authority_row(name, pem, now) for name, pem in authorities.items())


def _leaf_row(
    host: str, certificate: Certificate, pem: bytes | None, authorities: Mapping[Authority, bytes], now: datetime
) -> CertificateRow:
    spec = certificate.spec
    reason = why_reissue(pem, spec, authorities[spec.authority], now)
    return _row(host, spec.name, certificate.path, pem, reason, now)


def _row(host: str, name: str, path: str, pem: bytes | None, reason: str | None, now: datetime) -> CertificateRow:
    expires = _expiry(pem)
    return CertificateRow(
        host=host,
        name=name,
        path=path,
        expires=expires,
        days_left=None if expires is None else days_left(expires, now),
        reason=reason,
    )


def _authority_row(name: Authority, pem: bytes, now: datetime) -> CertificateRow:
    expires = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    return CertificateRow(
        host=OPERATOR,
        name=f"{name} CA",
        path="",
        expires=expires,
        days_left=days_left(expires, now),
        reason=f"expired on {expires:%Y-%m-%d %H:%M} UTC" if now >= expires else None,
    )


def _expiry(pem: bytes | None) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc if pem else None
    except ValueError:
        return None
