"""What lies beside kprov's work on a host, parsed."""

from __future__ import annotations

import base64

import pytest

from kprov.observe.observation import Observation, parse
from kprov.observe.surroundings import PeerRoute


def seen(*lines: str) -> Observation:
    text = "\n".join(["kprov-probe begin", *lines, "kprov-probe end", ""])
    return parse(text.encode(), host="one", asked=(), operator_clock=0)


def test_every_kind_of_line() -> None:
    found = seen(
        "surroundings\tasked\tyes",
        "table\tip kube-proxy\t-",
        "cni\t/etc/kprov/cni/net.d/10-kprov.conflist\t-",
        "dropin\tkubelet.service\t/etc/systemd/system/kubelet.service.d/a.conf /run/systemd/system/service.d/b.conf",
        "peer\t10.244.1.0/24\t192.0.2.12\t10.244.1.2 via 192.0.2.12 dev eth0  src 192.0.2.11\t",
        "peer\t10.244.2.0/24\t192.0.2.13\t\t?",
    ).surroundings
    assert found.asked
    assert found.tables == {"ip kube-proxy"}
    assert found.cni == ("/etc/kprov/cni/net.d/10-kprov.conflist",)
    assert found.dropins == {
        "kubelet.service": ("/etc/systemd/system/kubelet.service.d/a.conf", "/run/systemd/system/service.d/b.conf")
    }
    assert found.peers == (
        PeerRoute(
            network="10.244.1.0/24",
            gateway="192.0.2.12",
            by_host="10.244.1.2 via 192.0.2.12 dev eth0 src 192.0.2.11",
            by_pods="",
        ),
        PeerRoute(network="10.244.2.0/24", gateway="192.0.2.13", by_host="", by_pods=None),
    )
    assert not seen().surroundings.asked


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"health":"true","reason":""}', ""),
        (b'{"health":"false","reason":"ALARM NOSPACE"}', "ALARM NOSPACE"),
        (b'{"health":"false"}', "unhealthy"),
        (b"", ""),
        (b"<html>", ""),
        (b"[1]", ""),
    ],
)
def test_what_etcd_says_of_itself(body: bytes, reason: str) -> None:
    assert seen(f"etcd\thealth\t{base64.b64encode(body).decode()}").surroundings.etcd == reason
