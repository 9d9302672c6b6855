"""An intermediate below a company's root, before real programs: etcd, kube-apiserver, kubectl, curl, OpenSSL, Python.

Etcd and the API server come out of kprov's cache of built programs, and the tests are left out where it has none.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import soft_token
from built_programs import program
from own_cas import Made, make
from pki_cases import leaf

from kprov.pki.authority import CertificateAuthority, IssuedCertificate
from kprov.pki.kubeconfig import embedded
from kprov.state.credential import trusting
from kprov.state.signer import Signer
from kprov.state.store import Store
from kprov.values.certificate import Authority, CertificateSpec, SignerCommand
from kprov.values.errors import PkiError

NAMES: tuple[Authority, ...] = ("kubernetes", "etcd", "front-proxy")
NOW = datetime.now(UTC)
ROOT = make("Example Root", NOW, days=7300)
OWN = {name: make(f"Example {name}", NOW, ROOT, path_length=0) for name in NAMES}
SIBLING = make("Example Payroll", NOW, ROOT, path_length=0)
SERVER = leaf(
    common_name="kube-apiserver", server=True, client=False, dns_names=("localhost",), ip_addresses=("127.0.0.1",)
)
ADMIN = leaf(
    common_name="a", organizations=("system:masters",), server=False, client=True, dns_names=(), ip_addresses=()
)
ETCD = leaf(
    authority="etcd",
    common_name="etcd",
    server=True,
    client=True,
    dns_names=("localhost",),
    ip_addresses=("127.0.0.1",),
)
PATIENCE = 120.0  # seconds for a program to answer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store.open(tmp_path_factory.mktemp("state") / "own", "own", own={name: ca.own for name, ca in OWN.items()})
    made.create_trust("ecdsa-p256", 3650, NOW)
    return made


def issued(store: Store, spec: CertificateSpec) -> IssuedCertificate:
    return store.authority(spec.authority).issue(spec, NOW)


def put(folder: Path, name: str, pair: IssuedCertificate) -> tuple[str, str]:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(pair.cert_pem)
    key.write_bytes(pair.key_pem)
    key.chmod(0o600)
    return str(certificate), str(key)


def test_openssl_believes_a_leaf_by_the_root_and_by_what_pods_are_given(store: Store, tmp_path: Path) -> None:
    certificate, _ = put(tmp_path, "leaf", issued(store, SERVER))
    (tmp_path / "root").write_bytes(ROOT.pem)
    (tmp_path / "given").write_bytes(store.given_out("kubernetes"))
    (tmp_path / "anchor").write_bytes(store.bundle["kubernetes"])
    for words in (
        ["-CAfile", "root", "-untrusted", certificate],
        ["-CAfile", "given"],
        ["-partial_chain", "-CAfile", "anchor"],
    ):
        done = subprocess.run(
            ["openssl", "verify", "-x509_strict", *words, certificate], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("life", [timedelta(hours=1), timedelta(days=365)])
def test_the_program_of_the_how_to_signs(tmp_path: Path, life: timedelta) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-ca.md").read_text()
    text = page[page.index("#!/bin/sh") :].partition("```")[0].replace("/srv/keys/", f"{tmp_path}/")
    (tmp_path / "sign").write_text(text)
    (tmp_path / "sign").chmod(0o755)
    (tmp_path / "sign.cnf").write_text("authorityKeyIdentifier = keyid\n")
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "etcd.crt").write_bytes(OWN["etcd"].chain)
    (tmp_path / "etcd.key").write_bytes(OWN["etcd"].key_pem)
    command = SignerCommand(words=(str(tmp_path / "sign"), "etcd"), folder=tmp_path, timeout=60)
    issued = Signer(name="etcd", pem=OWN["etcd"].chain, command=command).issue(ETCD, datetime.now(UTC), life)
    certificate, _ = put(tmp_path, "leaf", issued)
    (tmp_path / "given").write_bytes(OWN["etcd"].chain)
    strict = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "given"), certificate]
    done = subprocess.run(strict, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Token:
    """A CA in a token. signer: by the program of the how-to."""

    folder: Path
    signer: Signer


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Token:
    if shutil.which("softhsm2-util") is None or shutil.which("pkcs11-tool") is None:
        pytest.skip("SoftHSM or OpenSC is not there")
    for name, value in soft_token.make(tmp_path, ROOT).items():
        monkeypatch.setenv(name, value)
    command = SignerCommand(words=("./sign", "kubernetes"), folder=tmp_path, timeout=60)
    chain = (tmp_path / "ca" / "kubernetes.crt").read_bytes()
    return Token(tmp_path, Signer(name="kubernetes", pem=chain, command=command))


def test_a_key_that_is_in_a_token_alone_signs_by_the_program_of_the_how_to(token: Token) -> None:
    listing = "pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label prod --login --pin $(cat pin) -O"
    shown = subprocess.run(["sh", "-c", listing], cwd=token.folder, capture_output=True, text=True, check=True).stdout
    assert "never extractable" in shown
    assert [path.name for path in token.folder.rglob("*.key")] == ["root.key"]
    for spec in (SERVER, ADMIN):
        made = token.signer.issue(spec, datetime.now(UTC))
        certificate, _ = put(token.folder, "leaf", made)
        strict = ["openssl", "verify", "-x509_strict", "-CAfile", "root.crt", "-untrusted", certificate, certificate]
        done = subprocess.run(strict, cwd=token.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_token_that_refuses_is_told_with_its_own_words_and_without_the_pin(token: Token) -> None:
    pin = (token.folder / "pin").read_text()
    (token.folder / "pin").write_text("0" + pin[1:] if pin[0] != "0" else "1" + pin[1:])
    with pytest.raises(PkiError, match="the signer of the kubernetes CA refused") as caught:
        token.signer.issue(ADMIN, datetime.now(UTC))
    assert "PIN incorrect" in str(caught.value)
    assert pin[1:] not in str(caught.value)
    (token.folder / "pin").write_text(pin)
    (token.folder / "softhsm.conf").write_text(f"directories.tokendir = {token.folder}/ca\n")
    with pytest.raises(PkiError, match="the signer of the kubernetes CA refused") as caught:
        token.signer.issue(ADMIN, datetime.now(UTC))
    assert "object not found" in str(caught.value)


@dataclass(frozen=True)
class Server:
    """A running API server. folder: with what its clients need."""

    url: str
    folder: Path
    store: Store

    def client(self, pair: IssuedCertificate | None, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
        made = context or ssl.create_default_context(cadata=self.store.given_out("kubernetes").decode())
        if pair is not None:
            made.load_cert_chain(*put(self.folder, "client", pair))
        return made

    def says(self, context: ssl.SSLContext, path: str = "/api/v1/namespaces") -> int:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", int(self.url.rpartition(":")[2]), context=context, timeout=30
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As roles lay it out: whoever checks clients trusts `bundle`."""
    etcd, apiserver, folder = program("etcd"), program("kube-apiserver"), tmp_path_factory.mktemp("served")
    trust = store.trust()
    for name in NAMES:
        (folder / f"{name}.ca").write_bytes(trust.bundle[name])
    (folder / "sa.key").write_bytes(trust.service_account_key)
    (folder / "sa.pub").write_bytes(trust.service_account_public)
    member, member_key = put(folder, "member", issued(store, ETCD))
    serving, serving_key = put(folder, "serving", issued(store, SERVER))
    ports = free_ports(3)
    client, peer, api = (f"https://127.0.0.1:{port}" for port in ports)
    ca = str(folder / "etcd.ca")
    running = [
        start(
            folder,
            [etcd, "--data-dir", str(folder / "data"), "--name=a", f"--initial-cluster=a={peer}"],
            [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"],
            [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"],
            [f"--cert-file={member}", f"--key-file={member_key}", f"--trusted-ca-file={ca}", "--client-cert-auth"],
            [f"--peer-cert-file={member}", f"--peer-key-file={member_key}", f"--peer-trusted-ca-file={ca}"],
            ["--peer-client-cert-auth", "--unsafe-no-fsync"],
        ),
        start(
            folder,
            [apiserver, f"--etcd-servers={client}", f"--etcd-cafile={ca}", f"--etcd-certfile={member}"],
            [f"--etcd-keyfile={member_key}", f"--client-ca-file={folder}/kubernetes.ca", "--authorization-mode=RBAC"],
            [f"--tls-cert-file={serving}", f"--tls-private-key-file={serving_key}", f"--secure-port={ports[2]}"],
            [f"--requestheader-client-ca-file={folder}/front-proxy.ca", "--bind-address=127.0.0.1"],
            ["--service-account-issuer=https://a", f"--service-account-key-file={folder}/sa.pub"],
            [f"--service-account-signing-key-file={folder}/sa.key", "--service-cluster-ip-range=10.96.0.0/24"],
            [f"--cert-dir={folder}/own"],
        ),
    ]
    try:
        made = Server(api, folder, store)
        await_ready(made, running)
        yield made
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(folder: Path, *words: list[str]) -> subprocess.Popen[bytes]:
    command = [word for row in words for word in row]
    log = (folder / f"{Path(command[0]).name}.log").open("wb")
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)


def await_ready(server: Server, running: list[subprocess.Popen[bytes]]) -> None:
    context = server.client(issued(server.store, ADMIN))
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            if server.says(context, "/readyz") == 200:
                return
        except OSError:
            pass
        ended = [process.args for process in running if process.poll() is not None]
        if ended or time.monotonic() > ends:
            logs = "\n".join(path.read_text()[-3000:] for path in server.folder.glob("*.log"))
            pytest.fail(f"not ready; ended: {ended}\n{logs}")
        time.sleep(0.5)


def test_the_api_server_keeps_in_etcd_and_lets_administrators_in(server: Server) -> None:
    assert server.says(server.client(issued(server.store, ADMIN))) == 200
    assert server.says(server.client(issued(server.store, ADMIN), trusting(server.store))) == 200, (
        "kprov's own questions"
    )


def test_whom_the_root_signs_for_elsewhere_is_nobody_here(server: Server) -> None:
    payroll = CertificateAuthority.load("kubernetes", SIBLING.chain, SIBLING.key_pem).issue(ADMIN, NOW)
    assert server.says(server.client(payroll)) == 401
    root: Made = ROOT
    assert (
        server.says(server.client(CertificateAuthority.load("kubernetes", root.chain, root.key_pem).issue(ADMIN, NOW)))
        == 401
    )
    front = issued(server.store, leaf(authority="front-proxy", common_name="a", organizations=("system:masters",)))
    assert server.says(server.client(front)) == 401


def test_a_kubeconfig_serves_kubectl(server: Server, tmp_path: Path) -> None:
    pair = issued(server.store, ADMIN)
    text = embedded("own", server.url, server.store.given_out("kubernetes"), pair.cert_pem, pair.key_pem, "a")
    (tmp_path / "conf").write_text(text)
    done = subprocess.run(
        [program("kubectl"), "--kubeconfig", str(tmp_path / "conf"), "get", "namespaces", "-o", "name"],
        capture_output=True,
        text=True,
    )
    assert "namespace/kube-system" in done.stdout, done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
@pytest.mark.parametrize("trusted", ["root", "given", "anchor"])
def test_curl_believes_the_server(server: Server, tmp_path: Path, trusted: str) -> None:
    """The root alone is what a company's computers have: the chain comes with the leaf."""
    pems = {"root": ROOT.pem, "given": server.store.given_out("kubernetes"), "anchor": OWN["kubernetes"].pem}
    (tmp_path / "ca").write_bytes(pems[trusted])
    done = subprocess.run(
        [
            "curl",
            "-s",
            "--cacert",
            str(tmp_path / "ca"),
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            f"{server.url}/livez",
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "200", done.stderr
