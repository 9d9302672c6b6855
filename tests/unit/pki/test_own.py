"""What may be a CA of a cluster when users bring it, and each reason why not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from own_cas import Made, company, make
from pki_cases import NOW, leaf

from kprov.pki.authority import CertificateAuthority
from kprov.pki.chain import above, anchor, common_names, normal, presented
from kprov.pki.own import certificate_fault, ends_too_early, key_fault

ROOT = make("Example Root", NOW, days=7300)
GOOD = company(NOW)
SMALL = rsa.generate_private_key(65537, 1024)  # noqa: S505
ONE_WAY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
CONSTRAINED = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None)


@pytest.mark.parametrize(
    "made",
    [
        GOOD,
        ROOT,
        make("three", NOW, make("two", NOW, make("one", NOW), path_length=1), path_length=0),
        company(NOW, more=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),)),
        company(NOW, more=(x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")]),)),
        company(NOW, key=rsa.generate_private_key(65537, 2048)),
        company(NOW, key=ec.generate_private_key(ec.SECP384R1())),
    ],
)
def test_what_can_be_a_ca_of_a_cluster(made: Made) -> None:
    assert certificate_fault(made.chain, NOW) is None
    assert key_fault(made.key_pem, made.chain) is None


@pytest.mark.parametrize(
    ("pem", "what", "found"),
    [
        (b"", "no certificate that can be read", ""),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate that can be read", ""),
        (GOOD.chain + GOOD.key_pem, "holds a private key", ""),
        (company(NOW, ca=False).chain, "not the certificate of a CA", "CN=Example Cluster CA"),
        (company(NOW, critical=False).chain, "strict verifiers", "not critical"),
        (company(NOW, signs=False).chain, "may not sign certificates", ""),
        (company(NOW, signs=None).chain, "may not sign certificates", ""),
        (company(NOW, days=0).chain, "has expired", "valid until 2026-06-01 12:00 UTC"),
        (company(NOW, starts=NOW + timedelta(days=1)).chain, "not valid yet", "valid from 2026-06-02"),
        (company(NOW, more=(ONE_WAY,)).chain, "both servers and clients", "serverAuth"),
        (company(NOW, more=(CONSTRAINED,)).chain, "only some names", "nameConstraints"),
        (company(NOW, identifiers=False).chain, "strict verifiers", "no subjectKeyIdentifier and no authority"),
        (company(NOW, key=SMALL).chain, "of a kind", "RSA of 1024 bits"),
        (company(NOW, key=ec.generate_private_key(ec.SECP256K1())).chain, "of a kind", "secp256k1"),
        (company(NOW, key=ed25519.Ed25519PrivateKey.generate()).chain, "of a kind", "Ed25519"),
        (company(NOW, attribute=NameOID.ORGANIZATIONAL_UNIT_NAME).chain, "no common name", "OU=Example Cluster CA"),
        (GOOD.pem, "does not end with a root", "CN=Example Cluster CA,O=Example, signed by CN=Example Root,O=Example"),
        (GOOD.pem + ROOT.pem, "no chain", "CN=Example Root,O=Example behind CN=Example Cluster CA"),
        (GOOD.above + GOOD.pem, "no chain", ""),
        (make("two", NOW, make("one", NOW, path_length=0)).chain, "fewer CAs below it", "path length 0"),
        (make("3", NOW, make("2", NOW, make("1", NOW, path_length=1))).chain, "fewer CAs below it", "path length 1"),
        (make("two", NOW, make("one", NOW, days=0)).chain, "has expired", "CN=one"),
        (make("two", NOW, make("one", NOW, signs=False)).chain, "may not sign", "CN=one"),
    ],
)
def test_what_cannot_is_told_with_the_reason(pem: bytes, what: str, found: str) -> None:
    fault = certificate_fault(pem, NOW)
    assert fault is not None
    assert what in fault.what
    assert found in fault.found
    assert fault.of == "certificate"


def test_a_key_is_that_of_the_first_certificate() -> None:
    fault = key_fault(ROOT.key_pem, GOOD.chain)
    assert fault is not None
    assert (fault.of, fault.what) == ("key", "the key is of another certificate")
    unreadable = key_fault(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", GOOD.chain)
    assert unreadable is not None
    assert "can be read" in unreadable.what
    sealed = GOOD.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    encrypted = key_fault(sealed, GOOD.chain)
    assert encrypted is not None
    assert "encrypted" in encrypted.what


def test_one_that_ends_before_what_it_would_sign_is_told() -> None:
    assert not ends_too_early(GOOD.chain, 365, NOW)
    short = company(NOW, days=300)
    assert ends_too_early(short.chain, 365, NOW) == "valid until 2027-03-28"
    assert not ends_too_early(short.chain, 299, NOW)
    below = make("two", NOW, make("one", NOW, days=100))
    assert ends_too_early(below.chain, 365, NOW) == "valid until 2026-09-09", "what is above it ends with it"


def test_names_of_cas_as_haproxy_compares_them() -> None:
    assert common_names(GOOD.pem + ROOT.pem) == (b"Example Cluster CA".hex().upper(), b"Example Root".hex().upper())


def test_leaves_are_presented_with_the_chain_and_without_its_root() -> None:
    top = make("one", NOW)
    middle = make("two", NOW, top, path_length=1)
    low = make("three", NOW, middle, path_length=0)
    assert presented(low.chain) == low.pem + middle.pem
    assert presented(ROOT.chain) == b""
    assert anchor(low.chain) == low.pem
    assert above(low.chain) == middle.pem + top.pem
    assert normal(b"# words\n" + low.chain + b"\nmore words\n") == low.chain
    issued = CertificateAuthority.load("etcd", low.chain, low.key_pem).issue(leaf(authority="etcd"), NOW)
    first, *others = x509.load_pem_x509_certificates(issued.cert_pem)
    first.verify_directly_issued_by(low.certificate)
    assert others == [low.certificate, middle.certificate]
