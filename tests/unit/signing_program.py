"""A signer as a user writes one: PATH_OF_CA PATH_OF_KEY, a request on standard input, a certificate on standard output.

Further words make it do one thing wrong. It is run as a program by tests; no test is here.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def main(authority: str, key: str, wrong: str = "") -> None:
    ca = x509.load_pem_x509_certificate(Path(authority).read_bytes())
    signs = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    request = x509.load_pem_x509_csr(sys.stdin.buffer.read())
    assert request.is_signature_valid
    if wrong == "refuse":
        sys.exit("permission denied: the token\nhas expired\x1b[2J")
    if wrong == "silent":
        sys.exit(7)
    if wrong == "hang":
        time.sleep(600)
    if wrong == "talk":
        sys.stdout.write("signed!")
        return
    if wrong == "secret":
        sys.exit(f"passphrase: {os.environ.get('KPROV_PASSPHRASE', 'none')}; {os.environ['KPROV_AUTHORITY']}")
    end = datetime.fromisoformat(os.environ["KPROV_NOT_AFTER"])
    end = {"short": datetime.now(UTC) + timedelta(days=1), "long": end + timedelta(days=400)}.get(wrong, end)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mallory")]) if wrong == "subject" else request.subject
    public = ec.generate_private_key(ec.SECP256R1()).public_key() if wrong == "key" else request.public_key()
    start = datetime.now(UTC) + timedelta(days=1) if wrong == "early" else datetime.now(UTC) - timedelta(minutes=1)
    builder = x509.CertificateBuilder(ca.subject, subject, public, x509.random_serial_number(), start, end)
    for extension in request.extensions:
        value = extension.value
        if wrong == "names" and isinstance(value, x509.SubjectAlternativeName):
            continue
        if wrong == "usage" and isinstance(value, x509.ExtendedKeyUsage):
            value = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        if wrong == "ca" and isinstance(value, x509.BasicConstraints):
            value = x509.BasicConstraints(ca=True, path_length=None)
        builder = builder.add_extension(value, extension.critical)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    if wrong != "lax":
        builder = builder.add_extension(issuer, critical=False)
    certificate = builder.sign(ec.generate_private_key(ec.SECP256R1()) if wrong == "issuer" else signs, hashes.SHA256())
    sys.stdout.buffer.write(certificate.public_bytes(serialization.Encoding.PEM))
    sys.stdout.buffer.write(ca.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    main(*sys.argv[1:])
