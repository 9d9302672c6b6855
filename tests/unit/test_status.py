"""What `kprov status` makes of what hosts said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from inventory_text import cluster as inventory
from inventory_text import loaded
from observed import bare
from pki_cases import NOW

from kprov.cli.status import lines
from kprov.errors import TransportError
from kprov.model import Cluster
from kprov.observation import EtcdMember, EtcdView, Observation, UnitState
from kprov.pki.authority import CertificateAuthority
from kprov.pki.spec import CertificateSpec
from kprov.status import Status, summarize

CONTROL_PLANE = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy",
)  # fmt: skip
WORKER = ("containerd", "kubelet", "kube-proxy")
ACTIVE = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True)


def node(name: str, *, ready: bool = True) -> Mapping[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    status = {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.37.2"}}
    return {"kind": "Node", "metadata": {"name": name}, "status": status}


def running(*names: str, **changes: Any) -> Observation:
    seen = replace(
        bare(),
        health=dict.fromkeys(names, "ok"),
        units={f"{name}.service": ACTIVE for name in names},
        versions={"kubelet": "Kubernetes v1.37.2", "etcd": "etcd Version: 3.7.3"},
    )
    return replace(seen, **changes)


MEMBERS = EtcdView(
    has_data=True,
    members=(EtcdMember(id="a1", name="cp1", peer_urls=("https://192.0.2.11:2380",), learner=False),),
    leader="a1",
)


@pytest.fixture
def cluster() -> Cluster:
    return loaded(inventory()).cluster


def healthy() -> dict[str, Observation]:
    return {
        "cp1": running(*CONTROL_PLANE, etcd=MEMBERS, objects=(node("cp1"), node("w1"))),
        "w1": running(*WORKER),
    }


def of(cluster: Cluster, seen: Mapping[str, Observation]) -> Status:
    failures = {
        host.name: TransportError("the host does not answer", where=host.name)
        for host in cluster.hosts
        if host.name not in seen
    }
    return summarize(cluster, seen, failures, NOW)


def test_all_is_well(cluster: Cluster) -> None:
    found = of(cluster, healthy())
    assert found.good
    text = "\n".join(lines(found))
    assert "v1.37.2" in text
    assert "v3.7.3" in text
    assert "leader" in text
    assert "NOT READY" not in text


@pytest.mark.parametrize("component", CONTROL_PLANE)
def test_a_component_that_is_not_there_is_named_and_not_good(cluster: Cluster, component: str) -> None:
    seen = healthy()
    rest = [name for name in CONTROL_PLANE if name != component]
    seen["cp1"] = replace(
        seen["cp1"], health=dict.fromkeys(rest, "ok"), units={f"{name}.service": ACTIVE for name in rest}
    )
    found = of(cluster, seen)
    assert not found.good
    assert any(component in line and "missing" in line for line in lines(found))


def test_hosts_with_nothing_are_not_good(cluster: Cluster) -> None:
    found = of(cluster, {"cp1": bare(), "w1": bare()})
    assert not found.good
    text = list(lines(found))
    assert "cp1: nothing of kprov's is here" in text
    assert any("no leader is known" in line for line in text)
    assert any("no API server could be asked" in line for line in text)


@pytest.mark.parametrize(
    "changes",
    [
        {"etcd": replace(MEMBERS, leader="")},
        {"etcd": EtcdView(has_data=True)},
        {"objects": ()},
        {"objects": (node("cp1"),)},
        {"objects": (node("cp1"), node("w1", ready=False))},
        {"objects": None},
        {"health": {**dict.fromkeys(CONTROL_PLANE, "ok"), "etcd": "failing"}},
        {"health": {**dict.fromkeys(CONTROL_PLANE, "ok"), "kube-apiserver": "failing"}},
        {"units": {"etcd.service": replace(ACTIVE, active="activating")}},
    ],
)
def test_each_thing_that_is_wrong_makes_it_not_good(cluster: Cluster, changes: dict[str, Any]) -> None:
    seen = healthy()
    seen["cp1"] = replace(seen["cp1"], **changes)
    assert not of(cluster, seen).good


def test_a_node_that_never_registered_is_named(cluster: Cluster) -> None:
    seen = healthy()
    seen["cp1"] = replace(seen["cp1"], objects=(node("cp1"),))
    assert any(line.split() == ["node", "w1", "NOT", "READY", "missing"] for line in lines(of(cluster, seen)))


def test_a_host_that_could_not_be_asked_is_told_with_the_reason(cluster: Cluster) -> None:
    found = of(cluster, {"cp1": healthy()["cp1"]})
    assert not found.good
    assert "w1 could not be asked: the host does not answer" in list(lines(found))


def test_days_are_those_of_the_first_certificate_to_end(cluster: Cluster) -> None:
    authority = CertificateAuthority.generate("etcd", "ecdsa-p256", 3650, NOW)
    texts = {}
    for days in (30, 300):
        spec = CertificateSpec(name="etcd-peer", authority="etcd", common_name="cp1", server=True, days=days)
        texts[f"/etc/etcd/pki/{days}.crt"] = authority.issue(spec, NOW).cert_pem
    seen = healthy()
    seen["cp1"] = replace(seen["cp1"], texts=texts)
    etcd = next(one for one in of(cluster, seen).hosts[0].components if one.name == "etcd")
    assert etcd.expires_in in (29, 30)
    later = summarize(cluster, seen, {}, NOW + timedelta(days=31))
    assert not later.good
    unreadable = {**seen, "cp1": replace(seen["cp1"], texts={"/etc/etcd/pki/x.crt": b"no certificate"})}
    assert not of(cluster, unreadable).good
