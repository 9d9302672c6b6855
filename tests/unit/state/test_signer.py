"""A program that signs in the place of a key: what it is given, what is believed of its answer, and how it fails."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import signing_program
from cryptography import x509
from own_cas import company
from pki_cases import leaf

from kprov.pki.reissue import key_fits, why_reissue
from kprov.state.signer import Signer
from kprov.values.certificate import CertificateSpec, SignerCommand
from kprov.values.errors import PkiError

CA = company(datetime.now(UTC))
SERVER = leaf(
    common_name="kube-apiserver", server=True, client=False, dns_names=("kubernetes",), ip_addresses=("10.0.0.1",)
)
CLIENT = leaf(common_name="anna", organizations=("b", "a"), server=False, client=True, dns_names=(), ip_addresses=())


def now() -> datetime:
    """The program looks at its own clock, and others may have been tested before."""
    return datetime.now(UTC)


def signer(folder: Path, *words: str, timeout: float = 60) -> Signer:
    (folder / "ca.crt").write_bytes(CA.pem)
    (folder / "ca.key").write_bytes(CA.key_pem)
    command = (sys.executable, str(signing_program.__file__), "ca.crt", "ca.key", *words)
    return Signer(name="kubernetes", pem=CA.chain, command=SignerCommand(words=command, folder=folder, timeout=timeout))


@pytest.mark.parametrize("spec", [SERVER, CLIENT, leaf(algorithm="rsa-2048")])
def test_what_it_gives_is_what_kprov_itself_would_issue(tmp_path: Path, spec: CertificateSpec) -> None:
    issued = signer(tmp_path).issue(spec, now())
    assert why_reissue(issued.cert_pem, spec, CA.pem, now()) is None
    assert key_fits(issued.key_pem, issued.cert_pem)
    leaf_itself, *chain = x509.load_pem_x509_certificates(issued.cert_pem)
    assert chain == [CA.certificate], "the root is known to whoever trusts it, and what the program adds is left out"
    usage = leaf_itself.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert not usage.value.key_cert_sign


def test_a_short_life_is_asked_for(tmp_path: Path) -> None:
    at = now()
    issued = signer(tmp_path).issue(CLIENT, at, life=timedelta(hours=1))
    end = x509.load_pem_x509_certificate(issued.cert_pem).not_valid_after_utc
    assert end == at.replace(microsecond=0) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("subject", "it has the common name mallory, desired is kube-apiserver"),
        ("names", "it lacks the names 10.0.0.1, kubernetes"),
        ("usage", "it is good for 1.3.6.1.5.5.7.3.3, desired is server"),
        ("ca", "it is the certificate of a CA"),
        ("issuer", "it is not signed by the cluster's kubernetes CA"),
        ("key", "it has another key than the request"),
        ("lax", "it has no authorityKeyIdentifier"),
        ("early", "it is not valid before"),
        ("short", "only; needed are 120 days at least"),
        ("long", "longer than the 365 days that were asked for"),
    ],
)
def test_what_was_not_asked_for_is_refused(tmp_path: Path, wrong: str, reason: str) -> None:
    with pytest.raises(PkiError, match="gave a certificate that was not asked for") as raised:
        signer(tmp_path, wrong).issue(SERVER, now())
    assert reason in raised.value.found


def test_a_refusal_has_the_program_s_own_words(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="signer of the kubernetes CA refused") as raised:
        signer(tmp_path, "refuse").issue(SERVER, now())
    assert raised.value.found == "exit 1: permission denied: the token has expired?[2J"
    assert SERVER.name in raised.value.where


def test_a_refusal_without_words(tmp_path: Path) -> None:
    with pytest.raises(PkiError) as raised:
        signer(tmp_path, "silent").issue(SERVER, now())
    assert raised.value.found == "exit 7, without a word"


def test_what_is_no_certificate_is_told(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="gave no certificate"):
        signer(tmp_path, "talk").issue(SERVER, now())


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="no answer in time") as raised:
        signer(tmp_path, "hang", timeout=0.2).issue(SERVER, now())
    assert raised.value.found == "none within 0.2 s"


def test_one_that_is_not_there(tmp_path: Path) -> None:
    command = SignerCommand(words=(str(tmp_path / "none"),), folder=tmp_path, timeout=5)
    with pytest.raises(PkiError, match="cannot be run") as raised:
        Signer(name="kubernetes", pem=CA.chain, command=command).issue(SERVER, now())
    assert raised.value.found == "No such file or directory"


def test_the_passphrase_of_the_state_folder_is_not_its_affair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPROV_PASSPHRASE", "hunter22")
    with pytest.raises(PkiError) as raised:
        signer(tmp_path, "secret").issue(SERVER, now())
    assert raised.value.found == "exit 1: passphrase: none; kubernetes"


def test_it_is_not_asked_for_what_its_ca_cannot_sign(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="asked of the wrong CA"):
        signer(tmp_path, "hang").issue(leaf(authority="etcd"), now())
    with pytest.raises(PkiError, match="has expired"):
        signer(tmp_path, "hang").issue(leaf(), now() + timedelta(days=3700))
