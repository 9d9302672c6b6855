"""Every reason to issue a certificate again, and above all none when it is right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pki_cases import NOW, cluster, facts, host, leaf, told

from kprov.pki.authority import CertificateAuthority
from kprov.pki.listing import OPERATOR, authority_rows, certificate_rows
from kprov.pki.reissue import why_reissue
from kprov.pki.table import leaf_specs
from kprov.values.model import PkiSettings
from kprov.values.resources import Certificate

DAY = timedelta(days=1)


@cache
def authority(name="kubernetes"):
    return CertificateAuthority.generate(name, "ecdsa-p256", 3650, NOW)


@cache
def good():
    return authority().issue(leaf(), NOW).cert_pem


def why(pem=None, now=NOW, **changes):
    return why_reissue(good() if pem is None else pem, leaf(**changes), authority().cert_pem, now)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-2048"])
def test_what_was_just_issued_stays(algorithm):
    specs = leaf_specs(cluster(host(), pki=PkiSettings(algorithm=algorithm)), host(), told(cp1=facts()))
    for spec in specs.values():
        ca = authority(spec.authority)
        assert why_reissue(ca.issue(spec, NOW).cert_pem, spec, ca.cert_pem, NOW) is None
    assert specs


@pytest.mark.parametrize("pem", [b"", b"\n"])
def test_missing(pem):
    assert why(pem) == "is missing"
    assert why_reissue(None, leaf(), authority().cert_pem, NOW) == "is missing"


@pytest.mark.parametrize("pem", [b"nonsense", good()[:200], good().replace(b"CERTIFICATE", b"PRIVATE KEY")])
def test_unreadable(pem):
    assert why(pem) == "cannot be read as a certificate"


def test_an_unreadable_authority_is_the_callers_fault():
    with pytest.raises(ValueError, match="PEM"):
        why_reissue(good(), leaf(), b"nonsense", NOW)


def test_renewed_when_little_life_remains():
    assert why(now=NOW + 245 * DAY) is None
    assert why(now=NOW + 245 * DAY + timedelta(seconds=1)) == (
        "expires in 119 days, on 2027-06-01; renewed under 120 days"
    )
    assert why(now=NOW + 300 * DAY, renew_before_days=30) is None


def test_expired():
    assert why(now=NOW + 365 * DAY) == "expired on 2027-06-01 12:00 UTC"


def test_not_yet_valid():
    assert why(now=NOW - timedelta(hours=1, seconds=1)) == "is not valid before 2026-06-01 11:00 UTC"
    assert why(now=NOW - timedelta(hours=1)) is None


def test_a_short_life_is_renewed_in_its_last_third_and_not_at_once():
    short = leaf(days=30)
    pem = authority().issue(short, NOW).cert_pem
    assert why_reissue(pem, short, authority().cert_pem, NOW) is None
    assert why_reissue(pem, short, authority().cert_pem, NOW + 20 * DAY) is None
    assert "renewed under 10 days" in why_reissue(pem, short, authority().cert_pem, NOW + 21 * DAY)


def test_a_life_longer_than_desired_is_cut():
    assert why(days=90, renew_before_days=30) == "is valid until 2027-06-01, longer than the 90 days desired"


def test_a_leaf_that_ends_with_its_authority_is_not_renewed_for_nothing():
    old = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 100, NOW)
    pem = old.issue(leaf(), NOW).cert_pem
    assert why_reissue(pem, leaf(), old.cert_pem, NOW) is None
    assert why_reissue(pem, leaf(), old.cert_pem, NOW + 100 * DAY).startswith("expired on")


def test_another_authority():
    foreign = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 3650, NOW).issue(leaf(), NOW).cert_pem
    assert why(foreign) == "is not signed by the cluster's kubernetes CA"


def test_common_name():
    assert why(common_name="system:node:cp2") == ("has the common name system:node:cp1, desired is system:node:cp2")


def test_organization():
    assert why(organizations=()) == "has the organization system:nodes, desired is (none)"
    assert why(organizations=("a", "b")) == "has the organization system:nodes, desired is a, b"


def test_names_that_lack_and_names_too_many():
    assert why(dns_names=("cp1", "localhost", "api")) == "lacks the names api"
    assert why(ip_addresses=("10.0.0.11",)) == "has without need the names ::1"
    assert why(dns_names=("cp1", "api"), ip_addresses=("10.0.0.12", "::1")) == (
        "lacks the names 10.0.0.12, api; has without need the names 10.0.0.11, localhost"
    )


def test_order_and_spelling_of_names_do_not_matter():
    assert why(dns_names=("localhost", "cp1"), ip_addresses=("::1", "10.0.0.11")) is None


def test_usages():
    assert why(server=False, client=True) == "is good for server, desired is client"
    assert why(client=True) == "is good for server, desired is server and client"


def test_algorithm_and_size():
    assert why(algorithm="rsa-2048") == "has a key of ecdsa-p256, desired is rsa-2048"
    pem = authority().issue(leaf(algorithm="rsa-2048"), NOW).cert_pem
    assert why(pem, algorithm="rsa-3072") == "has a key of rsa-2048, desired is rsa-3072"


def signed_by_hand(common_name, *extensions):
    """A certificate of the right CA with a subject and extensions that kprov would not issue."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
        issuer_name=authority().certificate.subject,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=NOW - DAY,
        not_valid_after=NOW + 300 * DAY,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority().key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_certificate_without_any_extension_is_replaced():
    pem = signed_by_hand("system:node:cp1")
    reason = why(pem, organizations=(), dns_names=(), ip_addresses=())
    assert reason == "cannot be read as a certificate"


def test_a_certificate_of_an_authority_is_no_leaf():
    pem = signed_by_hand("system:node:cp1", x509.BasicConstraints(ca=True, path_length=None))
    assert "certificate of a CA" in why(pem, organizations=(), dns_names=(), ip_addresses=())


def test_what_a_host_wrote_into_a_certificate_cannot_write_to_the_terminal():
    reason = why(signed_by_hand("\x1b[2Jowned\nline"))
    assert reason == "has the common name ?[2Jowned?line, desired is system:node:cp1"


def test_a_flood_of_names_is_cut():
    names = x509.SubjectAlternativeName([x509.DNSName(f"name-{number}.example.com") for number in range(500)])
    assert len(why(signed_by_hand("system:node:cp1", names), organizations=())) < 700


def test_a_bundle_of_authorities_counts_by_its_first():
    other = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 3650, NOW)
    assert why_reissue(good(), leaf(), authority().cert_pem + other.cert_pem, NOW) is None
    assert why_reissue(good(), leaf(), other.cert_pem + authority().cert_pem, NOW) is not None


def desired(path, **changes):
    return Certificate(path=path, key_path=f"{path}.key", spec=leaf(**changes))


def test_rows_tell_expiry_and_reason():
    rows = certificate_rows(
        {"b": [desired("/b.crt", name="kube-proxy")], "a": [desired("/2.crt", name="z"), desired("/1.crt", name="y")]},
        {"a": {"/1.crt": good(), "/2.crt": b"broken"}},
        {"kubernetes": authority().cert_pem},
        NOW + 300 * DAY,
    )
    assert [(row.host, row.name, row.path, row.days_left) for row in rows] == [
        ("a", "y", "/1.crt", 65),
        ("a", "z", "/2.crt", None),
        ("b", "kube-proxy", "/b.crt", None),
    ]
    assert rows[0].expires == datetime(2027, 6, 1, 12, 0, 30, tzinfo=UTC)
    assert rows[0].reason.startswith("expires in 65 days")
    assert [row.reason for row in rows[1:]] == ["cannot be read as a certificate", "is missing"]


def test_rows_of_authorities():
    pems = {"kubernetes": authority().cert_pem}
    (row,) = authority_rows(pems, NOW + 10 * DAY)
    assert (row.host, row.name, row.days_left, row.reason) == (OPERATOR, "kubernetes CA", 3640, None)
    (row,) = authority_rows(pems, NOW + 3651 * DAY)
    assert (row.days_left, row.reason) == (-1, "expired on 2036-05-29 12:00 UTC")
