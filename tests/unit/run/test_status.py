"""What `kprov status` makes of what hosts said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from inventory_text import cluster as inventory
from inventory_text import loaded
from observed import bare, record
from pki_cases import NOW

from kprov.addon.choose import by_name
from kprov.cli.status import lines
from kprov.objects.listing import list_object
from kprov.objects.objects import ADDON_LABEL, identity
from kprov.observe.observation import EtcdMember, EtcdView, Observation, UnitState
from kprov.observe.surroundings import Surroundings
from kprov.pki.authority import CertificateAuthority
from kprov.run.status import Status, summarize
from kprov.values.certificate import CertificateSpec
from kprov.values.components import COMPONENTS
from kprov.values.errors import TransportError
from kprov.values.model import Cluster

CLUSTER = loaded(inventory()).cluster
CONTROL_PLANE, WORKER = (
    tuple(one.name for one in COMPONENTS if one.runs_on(CLUSTER, CLUSTER.host(name))) for name in ("cp1", "w1")
)
ACTIVE = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True)


def node(name: str, *, ready: bool = True) -> Mapping[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    status = {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.37.2"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


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
    return replace(CLUSTER, addons=by_name(["metrics-server"]))


def addon_object(kind: str, name: str, addon: str = "metrics-server", **more: Any) -> Mapping[str, Any]:
    group = {"Deployment": "apps/v1", "APIService": "apiregistration.k8s.io/v1"}.get(kind, "v1")
    metadata = {"name": name, "labels": {ADDON_LABEL: addon}}
    if kind not in ("APIService", "Namespace"):
        metadata["namespace"] = "kube-system"
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **more}


def metrics(*, ready: int = 1, tag: str = "0.9.0", served: str = "True") -> tuple[Mapping[str, Any], ...]:
    pod = {"containers": [{"image": f"kprov.local/metrics-server:{tag}"}]}
    status = {"updatedReplicas": 1, "availableReplicas": ready}
    front = {"conditions": [{"type": "Available", "status": served, "message": "no endpoints"}]}
    return (
        addon_object("Deployment", "metrics-server", spec={"template": {"spec": pod}}, status=status),
        addon_object("APIService", "v1beta1.metrics.k8s.io", status=front),
    )


def with_list(*objects: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return (*objects, list_object(map(identity, objects)))


NODES = (node("cp1"), node("w1"))


def healthy() -> dict[str, Observation]:
    return {
        "cp1": running(*CONTROL_PLANE, etcd=MEMBERS, objects=(*NODES, *metrics())),
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
    assert "cp1: not managed by kprov" in text
    assert any("no leader is known" in line for line in text)
    assert any("no API server is reachable" in line for line in text)


@pytest.mark.parametrize(
    "changes",
    [
        {"etcd": replace(MEMBERS, leader="")},
        {"etcd": EtcdView(has_data=True)},
        {"objects": ()},
        {"objects": (node("cp1"), *metrics())},
        {"objects": (node("cp1"), node("w1", ready=False), *metrics())},
        {"objects": NODES},
        {"objects": (*NODES, *metrics(ready=0))},
        {"objects": with_list(*NODES, *metrics(), addon_object("ConfigMap", "old", "gone"))},
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
    seen["cp1"] = replace(seen["cp1"], objects=(node("cp1"), *metrics()))
    assert any(line.split() == ["node", "w1", "NOT", "READY", "missing"] for line in lines(of(cluster, seen)))


def addon_line(cluster: Cluster, name: str, *objects: Mapping[str, Any]) -> list[str]:
    seen = healthy()
    seen["cp1"] = replace(seen["cp1"], objects=(*NODES, *objects))
    (line,) = (line for line in lines(of(cluster, seen)) if line.startswith(f"{name} "))
    return line.split(maxsplit=2)


def test_an_add_on_has_a_line_with_its_version_and_why_it_is_not_ready(cluster: Cluster) -> None:
    assert addon_line(cluster, "metrics-server", *metrics()) == ["metrics-server", "0.9.0", "ready"]
    waits = addon_line(cluster, "metrics-server", *metrics(ready=0, served="False"))[2]
    assert waits == (
        "NOT READY: deployment/metrics-server: 0 of 1 pods are ready; apiservice/v1beta1.metrics.k8s.io: no endpoints"
    )
    other = addon_line(cluster, "metrics-server", *metrics(tag="0.8.1"))[2]
    assert other == "NOT READY: it runs kprov.local/metrics-server:0.8.1, desired 0.9.0"


def test_an_addon_of_which_no_pod_is_asked_for_is_not_ready(cluster: Cluster) -> None:
    deployment, front = metrics(ready=0)
    idle = {**deployment, "spec": {**deployment["spec"], "replicas": 0}}
    line = addon_line(cluster, "metrics-server", idle, front)
    assert "deployment/metrics-server: it was scaled to 0" in line[2]


def test_what_is_left_of_an_add_on_that_is_off_is_told(cluster: Cluster) -> None:
    kept = (addon_object("PersistentVolumeClaim", "data", "store"), addon_object("Namespace", "store", "store"))
    assert addon_line(cluster, "store", *with_list(*metrics(), *kept))[1:] == [
        "-", "off: its data is kept; --delete-data removes it",
    ]  # fmt: skip
    more = addon_line(cluster, "store", *with_list(*metrics(), *kept, addon_object("Service", "web", "store")))
    assert more[2] == "off: 3 of its objects are still there; `kprov up` removes them"


def test_an_object_with_copied_labels_is_nobodys_leftover(cluster: Cluster) -> None:
    seen = healthy()
    copied = addon_object("ConfigMap", "copied", "store")
    seen["cp1"] = replace(seen["cp1"], objects=(*with_list(*NODES, *metrics()), copied))
    assert of(cluster, seen).good


def test_without_an_api_server_nothing_is_said_of_add_ons(cluster: Cluster) -> None:
    seen = healthy()
    seen["cp1"] = replace(seen["cp1"], objects=None)
    found = of(cluster, seen)
    assert found.addons is None
    assert not any("ADD-ON" in line for line in lines(found))


def test_a_host_that_could_not_be_asked_is_told_with_the_reason(cluster: Cluster) -> None:
    found = of(cluster, {"cp1": healthy()["cp1"]})
    assert not found.good
    assert "w1 is unreachable: the host does not answer" in list(lines(found))


def test_days_are_those_of_the_first_certificate_to_end(cluster: Cluster) -> None:
    authority = CertificateAuthority.generate("etcd", "ecdsa-p256", 3650, NOW)
    texts = {}
    for name, days in (("peer", 30), ("server", 300)):
        spec = CertificateSpec(name="etcd-peer", authority="etcd", common_name="cp1", server=True, days=days)
        texts[f"/etc/etcd/pki/{name}.crt"] = authority.issue(spec, NOW).cert_pem
    seen = healthy()
    seen["cp1"] = replace(seen["cp1"], texts=texts)
    etcd = next(one for one in of(cluster, seen).hosts[0].components if one.name == "etcd")
    assert etcd.expires_in in (29, 30)
    later = summarize(cluster, seen, {}, NOW + timedelta(days=31))
    assert not later.good
    unreadable = {**seen, "cp1": replace(seen["cp1"], texts={"/etc/etcd/pki/peer.crt": b"no certificate"})}
    assert not of(cluster, unreadable).good


def test_a_finding_is_shown_with_its_remedy_and_only_a_grave_one_makes_the_cluster_unwell(cluster: Cluster) -> None:
    beside = Surroundings(dropins={"kubelet.service": ("/etc/a.conf",)})
    records = dict([record("unit", "kubelet.service")])
    seen = {
        "cp1": replace(
            running(*CONTROL_PLANE, objects=(node("cp1"),), etcd=MEMBERS, records=records, surroundings=beside),
            facts=bare(hostname="cp1").facts,
        )
    }
    alone = replace(cluster, hosts=cluster.hosts[:1], addons=())
    found = summarize(alone, seen, {}, NOW)
    assert found.good
    assert "cp1: kubelet.service is changed by /etc/a.conf, which is not kprov's (DropIn)" in list(lines(found))
    full = replace(seen["cp1"], surroundings=replace(beside, etcd="ALARM NOSPACE"))
    found = summarize(alone, {"cp1": full}, {}, NOW)
    assert not found.good
    assert any(line.startswith("  do: of a full store: raise") for line in lines(found))


def test_a_unit_that_does_not_stay_up_is_not_active(cluster: Cluster) -> None:
    seen = running(*WORKER)
    restless = replace(ACTIVE, restarts=4, age=0.3, pause=2.0)
    seen = replace(seen, units={**seen.units, "kubelet.service": restless})
    found = summarize(cluster, {host.name: seen for host in cluster.hosts}, {}, NOW)
    (kubelet,) = [one for one in found.hosts[-1].components if one.name == "kubelet"]
    assert (kubelet.unit, kubelet.good) == ("restless", False)
