"""A CA of the cluster and the CAs above it, as one PEM text: the one that signs leaves first. Pure.

Whoever checks clients trusts the first one alone: a root signs for others, too, and would let in what they call an
administrator. Programs that must see a root before they believe a server are given all of it.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


def normal(pem: bytes) -> bytes:
    """Return the certificates alone, without what else stands in the text. Raises ValueError."""
    return _pem(x509.load_pem_x509_certificates(pem))


def anchor(pem: bytes) -> bytes:
    """Return the certificate of the CA that signs leaves."""
    certificates = x509.load_pem_x509_certificates(pem)
    return pem if len(certificates) == 1 else _pem(certificates[:1])


def above(pem: bytes) -> bytes:
    """Return the certificates of the CAs above it, empty where there are none."""
    return _pem(x509.load_pem_x509_certificates(pem)[1:])


def presented(pem: bytes) -> bytes:
    """Return what leaves are presented with: all but a root, which only counts where it is known already."""
    return _pem([one for one in x509.load_pem_x509_certificates(pem) if one.issuer != one.subject])


def common_names(pem: bytes) -> tuple[str, ...]:
    """Return the common names of CAs as haproxy writes bytes: hexadecimal, upper case."""
    found = (
        name.value
        for one in x509.load_pem_x509_certificates(pem)
        for name in one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    )
    return tuple((name if isinstance(name, bytes) else name.encode()).hex().upper() for name in found)


def _pem(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
