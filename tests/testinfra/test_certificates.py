"""Certificates on disk and those that servers really show: issued by this cluster's CA and valid for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from testinfra.host import Host as Machine

from kprov.testinfra import wire
from kprov.testinfra.fleet import API_NAME, Fleet
from kprov.values.certificate import Authority

SOON = timedelta(days=14)


def authority_of(path: str) -> Authority:
    if "front-proxy" in path:
        return "front-proxy"
    return "etcd" if "etcd" in path else "kubernetes"


def check_validity(certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc <= now
    assert certificate.not_valid_after_utc > now + SOON, f"it ends at {certificate.not_valid_after_utc}"


def test_certificate_is_valid(host: Machine, fleet: Fleet, certificate: str) -> None:
    pem = host.check_output("cat %s", f"{certificate}.crt")
    leaf = x509.load_pem_x509_certificate(pem.encode())
    check_validity(leaf)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(fleet.store.ca[authority_of(certificate)]))


def test_no_other_certificate_ends_soon(host: Machine) -> None:
    """CAs, and what others put there."""
    listed = host.check_output("find /etc/kubernetes /etc/etcd -xdev -name '*.crt' -exec cat {} + 2>/dev/null; true")
    certificates = x509.load_pem_x509_certificates(listed.encode())
    for certificate in certificates:
        check_validity(certificate)


SERVERS = (
    pytest.param(6443, API_NAME, id="kube-apiserver"),
    pytest.param(10257, "localhost", id="kube-controller-manager"),
    pytest.param(10259, "localhost", id="kube-scheduler"),
)


@pytest.mark.on("control_plane")
@pytest.mark.parametrize(("port", "name"), SERVERS)
def test_control_plane_shows_a_valid_certificate(host: Machine, fleet: Fleet, port: int, name: str) -> None:
    session = fleet.session(host.backend.hostname)
    answer = wire.get_tls(session, "127.0.0.1", port, "/healthz", fleet.trusting("kubernetes"), name)
    assert answer.status == 200, answer.body
    assert answer.certificate is not None
    check_validity(answer.certificate)
    file = {6443: "kube-apiserver", 10257: "kube-controller-manager", 10259: "kube-scheduler"}[port]
    on_disk = host.check_output("cat %s", f"/etc/kubernetes/{file}/serving.crt").encode()
    assert answer.certificate == x509.load_pem_x509_certificate(on_disk), "it serves an older one than is on disk"


@pytest.mark.on("node")
def test_kubelet_shows_a_valid_certificate(host: Machine, fleet: Fleet) -> None:
    name = host.backend.hostname
    address = fleet.node_ip(name)
    answer = wire.get_tls(fleet.session(name), address, 10250, "/pods", fleet.trusting("kubernetes"), address)
    assert answer.certificate is not None
    check_validity(answer.certificate)
