"""A CA whose key is with a program of the user's (a vault, an HSM): asks it for each certificate, and believes it nothing.

The key of a leaf is made here and stays here; the program gets a request and gives a certificate.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from kprov.pki.authority import IssuedCertificate, extensions, must_be_able_to_sign, subject
from kprov.pki.chain import presented
from kprov.pki.keys import new_key, private_pem
from kprov.pki.reissue import key_fits, why_not_issued
from kprov.values.certificate import Authority, CertificateSpec, SignerCommand
from kprov.values.errors import PkiError

_LARGEST = 262_144  # bytes of an answer
_WORDS = 600  # characters of what a program says when it fails
_HIDDEN = "KPROV_PASSPHRASE"  # in this process's environment, and nobody else's affair


@dataclass(frozen=True, kw_only=True)
class Signer:
    """One of the cluster's CAs, by a program that signs. pem: its certificate and those above it."""

    name: Authority
    pem: bytes
    command: SignerCommand

    def issue(self, spec: CertificateSpec, now: datetime, life: timedelta | None = None) -> IssuedCertificate:
        """A new key and the certificate that `spec` asks for, as the program gave it. Raises PkiError.

        now: an aware UTC time. life: how long it is to be valid, by default spec.days.
        """
        must_be_able_to_sign(self.name, x509.load_pem_x509_certificate(self.pem), spec, now)
        key, life = new_key(spec.algorithm), life or timedelta(days=spec.days)
        request = x509.CertificateSigningRequestBuilder(subject(spec))
        for extension, critical in extensions(spec, key):
            request = request.add_extension(extension, critical=critical)
        pem = request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        answer = self._ask(spec, pem, now + life)
        try:
            given = x509.load_pem_x509_certificate(answer).public_bytes(Encoding.PEM)
        except ValueError:
            raise self._error(
                spec,
                "gave no certificate",
                f"{len(answer)} bytes on standard output that are none",
                "a certificate in PEM on standard output, and nothing else there",
            ) from None
        key_pem = private_pem(key)
        reason = why_not_issued(given, spec, self.pem, now, life)
        if reason is None and not key_fits(key_pem, given):
            reason = "has another key than the request"
        if reason is not None:
            raise self._error(
                spec,
                "gave a certificate that was not asked for",
                f"it {reason}",
                "what the request says, as it says it",
            )
        return IssuedCertificate(cert_pem=given + presented(self.pem), key_pem=key_pem)

    def _ask(self, spec: CertificateSpec, request: bytes, until: datetime) -> bytes:
        told = {
            "KPROV_AUTHORITY": self.name,
            "KPROV_CERTIFICATE": spec.name,
            "KPROV_NOT_AFTER": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        }
        inherited = {name: value for name, value in os.environ.items() if name != _HIDDEN}
        try:
            process = subprocess.Popen(
                self.command.words,
                cwd=self.command.folder,
                env={**inherited, **told},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # what it has begun ends with it
            )
        except OSError as error:
            raise self._error(spec, "cannot be run", error.strerror or "", "a program that can be run") from None
        with process:
            try:
                answer, words = process.communicate(request, timeout=self.command.timeout)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise self._error(
                    spec, "gave no answer in time", f"none within {self.command.timeout:g} s", "an answer, or more time"
                ) from None
        if process.returncode:
            how = f"killed by signal {-process.returncode}" if process.returncode < 0 else f"exit {process.returncode}"
            said = _shown(words)
            raise self._error(spec, "refused", f"{how}: {said}" if said else f"{how}, without a word", "exit code 0")
        if len(answer) > _LARGEST:
            raise self._error(spec, "gave no certificate", f"{len(answer)} bytes", f"at most {_LARGEST} bytes")
        return answer

    def _error(self, spec: CertificateSpec, what: str, found: str, needed: str) -> PkiError:
        return PkiError(
            f"the signer of the {self.name} CA {what}",
            where=f"certificate {spec.name}, {self.command.words[0]}",
            found=found,
            needed=needed,
            todo="run the program by hand with a request on standard input; it is `signer` of this CA in the inventory",
        )


def _shown(words: bytes) -> str:
    """The end of what it said, in one line."""
    text = " ".join(words.decode(errors="replace").split())
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= _WORDS else f"…{clean[-_WORDS:]}"
