"""Which certificates that kprov put on a host end soon, or have: leaves apart from what signed itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from kprov.observe.observation import Observation

_DAYS = 7  # kprov renews long before


def ending(seen: Observation, now: datetime, *, signed_by_itself: bool) -> Iterable[str]:
    """Yield a sentence for each. now: aware UTC. What cannot be read counts as a leaf."""
    for path, pem in seen.texts.items():
        if not path.endswith(".crt") or ("file", path) not in seen.records:
            continue
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            if not signed_by_itself:
                yield f"{path} is no certificate"
            continue
        left = certificate.not_valid_after_utc - now
        if left.days < _DAYS and signed_by_itself == (certificate.issuer == certificate.subject):
            yield f"{path} ends in {left.days} days" if left.days >= 0 else f"{path} has ended"
