"""Issued certificates: parsed and compared with the table, verified by OpenSSL, and used in real TLS handshakes."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pki_cases import NOW, cluster, facts, host, leaf, told

from kprov.pki.authority import CertificateAuthority, fingerprint
from kprov.pki.keys import algorithm_of, public_pem
from kprov.pki.table import admin_spec, leaf_specs, super_admin_spec
from kprov.values.certificate import AUTHORITIES
from kprov.values.errors import PkiError

SPECS = leaf_specs(cluster(host()), host(), told(cp1=facts()))


@cache
def authority(name="kubernetes", algorithm="ecdsa-p256"):
    return CertificateAuthority.generate(name, algorithm, 3650, NOW)


@cache
def issued(name):
    return authority(SPECS[name].authority).issue(SPECS[name], NOW)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("name", SPECS)
def test_every_leaf_says_what_the_table_says(name):
    spec = SPECS[name]
    certificate = x509.load_pem_x509_certificate(issued(name).cert_pem)
    subject = [(attribute.oid, attribute.value) for attribute in certificate.subject]
    assert subject == [
        *((NameOID.ORGANIZATION_NAME, group) for group in spec.organizations),
        (NameOID.COMMON_NAME, spec.common_name),
    ]
    usages = set(extension(certificate, x509.ExtendedKeyUsage).value)
    assert (ExtendedKeyUsageOID.SERVER_AUTH in usages) == spec.server
    assert (ExtendedKeyUsageOID.CLIENT_AUTH in usages) == spec.client
    assert len(usages) == spec.server + spec.client
    if spec.dns_names or spec.ip_addresses:
        names = extension(certificate, x509.SubjectAlternativeName).value
        assert tuple(names.get_values_for_type(x509.DNSName)) == spec.dns_names
        assert tuple(str(ip) for ip in names.get_values_for_type(x509.IPAddress)) == spec.ip_addresses
    else:
        with pytest.raises(x509.ExtensionNotFound):
            extension(certificate, x509.SubjectAlternativeName)
    constraints = extension(certificate, x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert algorithm_of(certificate.public_key()) == spec.algorithm
    key = serialization.load_pem_private_key(issued(name).key_pem, password=None)
    assert key.public_key() == certificate.public_key()


@pytest.mark.parametrize("name", AUTHORITIES)
def test_an_authority_may_sign_leaves_and_nothing_below_them(name):
    certificate = authority(name).certificate
    constraints = extension(certificate, x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = extension(certificate, x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.key_encipherment
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3650)


def test_key_identifiers_link_a_leaf_to_its_issuer():
    certificate = x509.load_pem_x509_certificate(issued("etcd-peer").cert_pem)
    issuer = extension(authority("etcd").certificate, x509.SubjectKeyIdentifier).value.digest
    assert extension(certificate, x509.AuthorityKeyIdentifier).value.key_identifier == issuer
    assert extension(certificate, x509.SubjectKeyIdentifier).value.digest != issuer


@pytest.mark.parametrize(("algorithm", "enciphers"), [("ecdsa-p256", False), ("rsa-2048", True)])
def test_key_encipherment_is_for_rsa_only(algorithm, enciphers):
    made = authority().issue(leaf(algorithm=algorithm), NOW)
    usage = extension(x509.load_pem_x509_certificate(made.cert_pem), x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment is enciphers


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-2048", "rsa-3072"])
def test_keys_are_pkcs8_of_the_desired_kind(algorithm):
    made = authority().issue(leaf(algorithm=algorithm), NOW)
    assert made.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(made.key_pem, password=None)
    assert algorithm_of(key.public_key()) == algorithm
    assert public_pem(key).startswith(b"-----BEGIN PUBLIC KEY-----\n")


def validity(made):
    certificate = x509.load_pem_x509_certificate(made.cert_pem)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def test_validity_begins_an_hour_ago_and_lasts_as_asked():
    later = NOW + timedelta(days=10)
    start, end = validity(authority().issue(leaf(days=30), later))
    assert (start, end) == (later - timedelta(hours=1), later + timedelta(days=30))
    assert validity(authority().issue(leaf(), later, life=timedelta(hours=1)))[1] == later + timedelta(hours=1)


def test_validity_never_leaves_that_of_the_authority():
    ca = authority().certificate
    assert validity(authority().issue(leaf(), NOW - timedelta(minutes=30)))[0] == ca.not_valid_before_utc
    assert validity(authority().issue(leaf(days=365), NOW + timedelta(days=3600)))[1] == ca.not_valid_after_utc


@pytest.mark.parametrize(
    ("moment", "message"),
    [(timedelta(days=3650), "has expired"), (timedelta(hours=-2), "clock is wrong")],
)
def test_an_authority_outside_its_own_life_issues_nothing(moment, message):
    with pytest.raises(PkiError, match=message):
        authority().issue(leaf(), NOW + moment)


def test_the_wrong_authority_refuses():
    with pytest.raises(PkiError, match="wrong CA"):
        authority("front-proxy").issue(leaf(), NOW)


def test_loading_gives_the_same_authority():
    made = authority("etcd")
    loaded = CertificateAuthority.load("etcd", made.cert_pem, made.key_pem)
    assert loaded.certificate == made.certificate
    assert loaded.key_pem == made.key_pem


def test_loading_refuses_a_key_that_does_not_belong_and_shows_none():
    with pytest.raises(PkiError, match="does not belong") as caught:
        CertificateAuthority.load("etcd", authority("etcd").cert_pem, authority().key_pem)
    assert "PRIVATE" not in str(caught.value)
    with pytest.raises(PkiError, match="cannot be read"):
        CertificateAuthority.load("etcd", b"nonsense", b"nonsense")


def test_repr_shows_no_key():
    secret = authority().key_pem.decode().splitlines()[1]
    for shown in (repr(authority()), str(authority()), repr(issued("kubelet-client")), f"{issued('kubelet-client')}"):
        assert secret not in shown
        assert "PRIVATE" not in shown


def test_serials_and_fingerprints_differ():
    serials = {x509.load_pem_x509_certificate(authority().issue(leaf(), NOW).cert_pem).serial_number for _ in range(8)}
    assert len(serials) == 8
    assert len({fingerprint(authority(name).cert_pem) for name in AUTHORITIES}) == 3
    der = authority().certificate.public_bytes(serialization.Encoding.DER)
    shown = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256"],
        input=der,
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert shown.strip().partition("=")[2].replace(":", "").lower() == fingerprint(authority().cert_pem)


def openssl_verify(folder: Path, ca: bytes, certificate: bytes, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "ca.pem").write_bytes(ca)
    (folder / "leaf.pem").write_bytes(certificate)
    words = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), "-no-CAfile", "-no-CApath"]
    return subprocess.run(
        [*words, *options, "-CAfile", "ca.pem", "leaf.pem"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", SPECS)
def test_openssl_verifies_every_leaf_strictly_for_its_purpose_and_no_other(tmp_path, name):
    spec = SPECS[name]
    ca = authority(spec.authority).cert_pem
    for purpose, allowed in (("sslserver", spec.server), ("sslclient", spec.client)):
        done = openssl_verify(tmp_path, ca, issued(name).cert_pem, "-purpose", purpose)
        assert (done.returncode == 0) == allowed, done.stderr


def test_openssl_refuses_a_leaf_of_another_authority(tmp_path):
    done = openssl_verify(tmp_path, authority("front-proxy").cert_pem, issued("kubelet-client").cert_pem)
    assert done.returncode != 0


def test_openssl_verifies_rsa_and_the_operators_certificates(tmp_path):
    rsa_ca = CertificateAuthority.generate("kubernetes", "rsa-2048", 3650, NOW)
    for spec in (leaf(algorithm="rsa-2048"), admin_spec(cluster(host())), super_admin_spec(cluster(host()))):
        done = openssl_verify(tmp_path, rsa_ca.cert_pem, rsa_ca.issue(spec, NOW).cert_pem)
        assert done.returncode == 0, done.stderr


class Party:
    """One side of a TLS connection in memory, strict about certificates."""

    def __init__(self, folder: Path, name: str, side: str, *, trusts: str = "kubernetes", called: str = "") -> None:
        protocol = ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(protocol)
        context.load_verify_locations(cadata=current(trusts).cert_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        made = current(SPECS[name].authority).issue(SPECS[name], today())
        cert, key = folder / f"{side}.crt", folder / f"{side}.key"
        cert.write_bytes(made.cert_pem)
        key.write_bytes(made.key_pem)
        context.load_cert_chain(cert, key)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=side == "server", server_hostname=called or None
        )


@cache
def today():
    return datetime.now(UTC)


@cache
def current(name):
    """A CA that is valid at the time of the test: handshakes use the real clock."""
    return CertificateAuthority.generate(name, "ecdsa-p256", 10, today())


def shake_hands(client: Party, server: Party) -> None:
    waiting = [client, server]
    for _ in range(10):
        for party, other in ((client, server), (server, client)):
            if party in waiting:
                try:
                    party.tls.do_handshake()
                    waiting.remove(party)
                except ssl.SSLWantReadError:
                    pass
            other.incoming.write(party.outgoing.read())
        if not waiting:
            client.tls.write(b"hello")
            server.incoming.write(client.outgoing.read())
            assert server.tls.read() == b"hello"
            return
    raise AssertionError("the handshake did not end")


@pytest.mark.parametrize("called", ["cp1", "10.0.0.11", "kubernetes.default.svc", "10.96.0.1", "127.0.0.1", "::1"])
def test_handshake_of_a_kubelet_with_the_api_server(tmp_path, called):
    server = Party(tmp_path, "kube-apiserver", "server")
    shake_hands(Party(tmp_path, "kubelet-client", "client", called=called), server)
    subject = dict(pair for part in server.tls.getpeercert()["subject"] for pair in part)
    assert subject == {"organizationName": "system:nodes", "commonName": "system:node:cp1"}


def test_handshake_of_two_etcd_peers(tmp_path):
    client = Party(tmp_path, "etcd-peer", "client", trusts="etcd", called="10.0.0.11")
    shake_hands(client, Party(tmp_path, "etcd-peer", "server", trusts="etcd"))


def test_a_client_certificate_cannot_serve(tmp_path):
    client = Party(tmp_path, "kubelet-client", "client", called="cp1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)purpose"):
        shake_hands(client, Party(tmp_path, "kube-proxy", "server"))


def test_a_server_certificate_is_refused_as_a_client(tmp_path):
    client = Party(tmp_path, "kubelet-serving", "client", called="cp1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)purpose"):
        shake_hands(client, Party(tmp_path, "kube-apiserver", "server"))


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path):
    client = Party(tmp_path, "kubelet-client", "client", called="10.0.0.12")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)mismatch"):
        shake_hands(client, Party(tmp_path, "kube-apiserver", "server"))


@pytest.mark.parametrize("name", ["front-proxy-client", "kube-apiserver-etcd-client"])
def test_clients_of_other_authorities_are_strangers_to_the_api_server(tmp_path, name):
    client = Party(tmp_path, name, "client", called="cp1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer"):
        shake_hands(client, Party(tmp_path, "kube-apiserver", "server"))
