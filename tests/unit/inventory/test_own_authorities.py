"""CAs of the user's own in the inventory: how they are read, and each mistake at its line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from inventory_text import cluster, loaded, only
from own_cas import Made, company, make

from kprov.values.certificate import SignerCommand

NOW = datetime.now(UTC)  # what is loaded is judged by the clock
GOOD = company(NOW)


def put(folder: Path, made: Made = GOOD, *, key: bytes | None = None, mode: int = 0o600) -> Path:
    (folder / "ca.crt").write_bytes(made.chain)
    (folder / "ca.key").write_bytes(made.key_pem if key is None else key)
    (folder / "ca.key").chmod(mode)
    program = folder / "sign"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return folder / "inventory.yaml"


def named(*lines: str, name: str = "kubernetes") -> str:
    return cluster("pki:", "  authority:", f"    {name}:", *(f"      {line}" for line in lines))


PAIR = named("certificate: ca.crt", "key: ca.key")


def test_a_certificate_with_its_key_arrives(tmp_path: Path) -> None:
    found = loaded(PAIR, path=put(tmp_path))
    own = found.cluster.pki.authorities["kubernetes"]
    assert set(found.cluster.pki.authorities) == {"kubernetes"}
    assert own.chain == GOOD.chain
    assert own.key is not None
    assert own.key.reveal().strip() == GOOD.key_pem.decode().strip()
    assert not found.warnings
    assert GOOD.key_pem.decode().split("\n")[1] not in repr(found.cluster)


def test_words_beside_the_certificates_are_left_out(tmp_path: Path) -> None:
    path = put(tmp_path)
    (tmp_path / "ca.crt").write_bytes(b"Certificate:\n  Data:\n" + GOOD.chain)
    assert loaded(PAIR, path=path).cluster.pki.authorities["kubernetes"].chain == GOOD.chain


@pytest.mark.parametrize("program", ["./sign", "sh"])
def test_a_program_that_signs_arrives(tmp_path: Path, program: str) -> None:
    text = named(
        f"signer: {{command: [{program}, --mount, pki], timeout: 5}}", "certificate: ca.crt", name="front_proxy"
    )
    own = loaded(text, path=put(tmp_path)).cluster.pki.authorities["front-proxy"]
    word = str(tmp_path / "sign") if "/" in program else program
    assert own.key is None
    assert own.signer == SignerCommand(words=(word, "--mount", "pki"), folder=tmp_path, timeout=5)


@pytest.mark.parametrize(
    ("lines", "line", "what"),
    [
        (("certificate: ca.crt",), 5, "a CA needs exactly one of `key` and `signer`"),
        (("certificate: ca.crt", "key: ca.key", "signer: {command: [./sign]}"), 5, "exactly one of `key` and `signer`"),
        (("key: ca.key",), 5, "missing"),
        (("certificate: none.crt", "key: ca.key"), 6, "none.crt cannot be read: No such file or directory"),
        (("certificate: ca.key", "key: ca.key"), 6, "the file holds a private key"),
        (("certificate: ca.crt", "key: none.key"), 7, "none.key cannot be read: No such file or directory"),
        (("certificate: ca.crt", "key: ca.crt"), 7, "ca.crt may be read by others than its owner"),
        (("certificate: ca.crt", "signer: {command: [./none]}"), 7, "there is no such program"),
        (("certificate: ca.crt", "signer: {command: [./ca.key]}"), 7, "this program may not be run"),
        (("certificate: ca.crt", "signer: {command: []}"), 7, ""),
        (("certificate: ca.crt", "signer: {command: [-x]}"), 7, "text that begins with '-'"),
        (("certificate: ca.crt", "signer: {command: [./sign], timeout: 0}"), 7, "out of range"),
    ],
)
def test_what_is_wrong_is_told_at_its_line(tmp_path: Path, lines: tuple[str, ...], line: int, what: str) -> None:
    path = put(tmp_path)
    (tmp_path / "ca.crt").chmod(0o644)
    mistake = only(named(*lines), path=path)
    assert what in mistake.what
    assert mistake.where.split(":")[1] == str(line)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (company(NOW, ca=False), "this is not the certificate of a CA"),
        (company(NOW, days=0, starts=NOW - timedelta(days=9)), "this CA has expired"),
        (Made(certificate=GOOD.certificate, key=GOOD.key), "the chain does not end with a root"),
        (company(NOW, signs=False), "this CA may not sign certificates"),
        (make("two", NOW, make("one", NOW, path_length=0)), "this CA allows fewer CAs below it than there are"),
    ],
)
def test_a_certificate_that_cannot_be_a_ca_is_told_at_its_line(tmp_path: Path, made: Made, what: str) -> None:
    mistake = only(PAIR, path=put(tmp_path, made))
    assert what in mistake.what
    assert mistake.where.endswith(":6:22")
    assert "pki.authority.kubernetes.certificate" in str(mistake)


def test_a_key_of_another_certificate_is_told_at_its_line(tmp_path: Path) -> None:
    mistake = only(PAIR, path=put(tmp_path, key=company(NOW).key_pem))
    assert mistake.what.endswith("the key is of another certificate")
    assert mistake.where.endswith(":7:14")


def test_one_ca_is_not_two(tmp_path: Path) -> None:
    """kube-apiserver would not start with one for clients and front proxies, and etcd would let in every client."""
    pair = "{certificate: ca.crt, key: ca.key}"
    text = cluster("pki:", "  authority:", f"    kubernetes: {pair}", f"    front_proxy: {pair}")
    mistake = only(text, path=put(tmp_path))
    assert "this CA is the kubernetes CA, too" in mistake.what
    assert mistake.where.split(":")[1] == "6"


def test_a_key_that_is_written_into_the_inventory_is_not_shown(tmp_path: Path) -> None:
    text = cluster('pki: {authority: {etcd: {certificate: ca.crt, key: "-----BEGIN PRIVATE KEY-----\\nMIGH"}}}')
    mistake = only(text, path=put(tmp_path))
    assert "MIGH" not in str(mistake)


def test_what_works_and_should_be_known_is_said(tmp_path: Path) -> None:
    short = company(NOW, days=100)
    (ends,) = loaded(PAIR, path=put(tmp_path, short)).warnings
    assert "certificates will end with this CA" in ends.what
