"""Settings that cannot change while a cluster lives: what is refused, by whose word, and what must not be refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from observed import record
from test_preflight import cluster, facts, host

from kprov.inventory.changes import render
from kprov.inventory.schema import json_schema
from kprov.observe.living import TEXTS
from kprov.observe.observation import EtcdMember, EtcdView, Observation
from kprov.observe.probe import Question
from kprov.pki.authority import CertificateAuthority
from kprov.preflight import Problem, check, placed, raise_for
from kprov.preflight import render as rendered
from kprov.preflight.fixed import GUARDS, compare
from kprov.preflight.fixed_hosts import FIXED_FLAGS
from kprov.preflight.problem import INVENTORY, judged
from kprov.values.certificate import CertificateSpec
from kprov.values.effect import SCHEMA_KEY
from kprov.values.errors import PreflightError
from kprov.values.model import CloudSettings, Cluster, Group, Host, NetworkSettings
from kprov.values.paths import CPU_STATE, KUBE_PROXY_CONFIG, KUBELET_CONFIG, MEMORY_STATE, POD_CIDRS

Net = IPv4Network
NODE: tuple[Group, ...] = ("worker",)
AUTHORITY = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 10, datetime(2026, 6, 1, tzinfo=UTC))
UNITS = "/etc/systemd/system"


def unit(component: str, **flags: str) -> dict[str, bytes]:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    lines = " \\\n    ".join([f"/opt/kprov/bin/{component}", *words])
    return {f"{UNITS}/{component}.service": f"[Service]\nExecStart={lines}\n".encode()}


def living(name: str, number: int, texts: Mapping[str, bytes], **more: Any) -> Observation:
    """A host that kprov made part of a cluster: these files of it are recorded, and units of their names."""
    units = [path.rpartition("/")[2] for path in texts if path.endswith(".service")]
    records = dict([*(record("file", path) for path in texts), *(record("unit", name) for name in units)])
    return Observation(facts=facts(name, number), texts=texts, records=records, **more)


def server(name: str = "cp1", number: int = 11, services: str = "10.96.0.0/16", **more: Any) -> Observation:
    """A control plane with etcd, as kprov sets one up."""
    texts = {
        **unit(
            "kube-apiserver",
            service_cluster_ip_range=services,
            service_account_issuer=more.pop("issuer", "https://kubernetes.default.svc.cluster.local"),
        ),
        **unit("etcd", initial_advertise_peer_urls=f"https://192.0.2.{number}:2380"),
        **node_texts(name),
    }
    return living(name, number, texts, **more)


def node_texts(name: str, dns: str = "10.96.0.10", domain: str = "cluster.local") -> dict[str, bytes]:
    spec = CertificateSpec(
        name="kubelet-client",
        authority="kubernetes",
        common_name=f"system:node:{name}",
        organizations=("system:nodes",),
        client=True,
        algorithm="ecdsa-p256",
        days=5,
        renew_before_days=1,
    )
    return {
        **unit("kubelet", config=KUBELET_CONFIG),
        KUBELET_CONFIG: f"clusterDNS: [169.254.20.10, {dns}]\nclusterDomain: {domain}\n".encode(),
        "/etc/kubernetes/pki/kubelet-client.crt": AUTHORITY.issue(spec, datetime(2026, 6, 1, tzinfo=UTC)).cert_pem,
        "/etc/kprov/pod-cidrs": b"cp1 10.244.0.0/24\nw1 10.244.1.0/24\n",
    }


def worker(name: str = "w1", number: int = 21, **more: Any) -> Observation:
    return living(name, number, node_texts(name, **more))


def node(name: str, pod_cidr: str, machine: str = "", **spec: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {}},
        "spec": {"podCIDR": pod_cidr, **spec},
        "status": {"nodeInfo": {"machineID": machine}},
    }


def dns_service(address: str = "10.96.0.10") -> dict[str, Any]:
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": address}}


OBJECTS = (node("cp1", "10.244.0.0/24"), node("w1", "10.244.1.0/24"), dns_service())
CP1 = server(objects=OBJECTS)
SILENT_API = {"cp1": server(), "w1": worker()}
LIVING = {"cp1": CP1, "w1": worker()}


def of(*hosts: Host, **settings: Any) -> Cluster:
    return cluster(*(hosts or (host("cp1"), host("w1", NODE, 21))), **settings)


def found(own: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None = None) -> list[Problem]:
    return list(compare(own, observations, limit))


def the_only(own: Cluster, observations: Mapping[str, Observation], key: str) -> Problem:
    (problem,) = found(own, observations)
    assert problem.key == key
    assert not problem.ignorable
    assert all((problem.found, problem.needed, problem.todo))
    return problem


@pytest.mark.parametrize("observations", [LIVING, SILENT_API, {"cp1": CP1}, {"w1": worker()}, {}])
def test_a_cluster_as_it_is_written_is_not_refused(observations: Mapping[str, Observation]) -> None:
    assert found(of(), observations) == []


def test_a_new_cluster_may_have_any_setting() -> None:
    bare = {"cp1": Observation(facts=facts()), "w1": Observation(facts=facts("w1", 21))}
    own = of(service_cidr=Net("10.97.0.0/16"), dns_ip=IPv4Address("10.97.0.10"), domain="example.org")
    assert found(own, bare) == []


@pytest.mark.parametrize("observations", [LIVING, SILENT_API])
def test_the_network_of_services_is_refused_by_what_api_servers_have(observations: Mapping[str, Observation]) -> None:
    own = of(service_cidr=Net("10.97.0.0/16"), dns_ip=IPv4Address("10.97.0.10"))
    problem = the_only(own, observations, "cluster.service_cidr")
    assert problem.found == "10.96.0.0/16 (kube-apiserver on cp1)"
    assert "write `service_cidr: 10.96.0.0/16` again" in problem.todo


def test_a_larger_network_of_services_is_another_one() -> None:
    assert "10.96.0.0/16" in the_only(of(service_cidr=Net("10.96.0.0/12")), LIVING, "cluster.service_cidr").found


def test_a_network_of_services_that_a_run_has_begun_to_write_can_be_taken_back() -> None:
    broken = {"cp1": server(services="10.97.0.0/16", objects=OBJECTS)}
    assert found(of(), broken) == []
    own = of(service_cidr=Net("10.97.0.0/16"), dns_ip=IPv4Address("10.97.0.10"))
    assert the_only(own, broken, "cluster.service_cidr").found == "Service kube-system/kube-dns at 10.96.0.10"


@pytest.mark.parametrize(
    ("observations", "by"), [(LIVING, "Service kube-system/kube-dns"), (SILENT_API, "clusterDNS of kubelet on cp1, w1")]
)
def test_the_address_of_dns_is_refused(observations: Mapping[str, Observation], by: str) -> None:
    problem = the_only(of(dns_ip=IPv4Address("10.96.0.53")), observations, "cluster.dns_ip")
    assert problem.found == f"10.96.0.10 ({by})"


def test_kubelets_that_were_given_other_name_servers_tell_nothing_of_the_address() -> None:
    own = of(
        host("cp1", kubelet={"clusterDNS": ["192.0.2.53"]}), host("w1", NODE, 21), dns_ip=IPv4Address("10.96.0.53")
    )
    assert found(own, SILENT_API) == []


@pytest.mark.parametrize(
    ("observations", "by"), [(LIVING, "issuer of tokens on cp1"), ({"w1": worker()}, "kubelet on w1")]
)
def test_the_domain_is_refused(observations: Mapping[str, Observation], by: str) -> None:
    problem = the_only(of(domain="example.org"), observations, "cluster.domain")
    assert "cluster.local" in problem.found
    assert by in problem.found


def test_a_domain_that_some_hosts_have_can_be_finished_and_taken_back() -> None:
    half = {"cp1": CP1, "cp2": server("cp2", 12, issuer="https://kubernetes.default.svc.example.org")}
    hosts = (host("cp1"), host("cp2", number=12))
    assert found(of(*hosts), half) == []
    assert found(of(*hosts, domain="example.org"), half) == []
    assert [problem.key for problem in found(of(*hosts, domain="other.org"), half)] == ["cluster.domain"]


@pytest.mark.parametrize(
    ("observations", "by"), [(LIVING, "Node object"), (SILENT_API, "/etc/kprov/pod-cidrs on the host")]
)
def test_a_moved_pod_network_is_refused_by_what_nodes_have(observations: Mapping[str, Observation], by: str) -> None:
    problem = the_only(of(pod_cidr=Net("10.64.0.0/16")), observations, "cluster.pod_cidr")
    assert f"w1 has 10.244.1.0/24 ({by})" in problem.found


@pytest.mark.parametrize("around", ["10.244.0.0/15", "10.244.0.0/20"])
def test_a_pod_network_may_grow_and_shrink_around_its_nodes(around: str) -> None:
    assert found(of(pod_cidr=Net(around)), LIVING) == []


def test_networks_that_are_not_built_in_keep_the_one_they_were_made_with() -> None:
    calico = NetworkSettings(mode="calico")
    texts = {**node_texts("w1"), KUBE_PROXY_CONFIG: b"clusterCIDR: 10.244.0.0/16\n"}
    seen = {"cp1": CP1, "w1": living("w1", 21, texts)}
    larger = of(pod_cidr=Net("10.244.0.0/15"), network=calico)
    assert the_only(larger, seen, "cluster.pod_cidr").found == "10.244.0.0/16 (kube-proxy on w1)"
    assert found(of(network=calico), seen) == []
    assert found(replace(larger, network=NetworkSettings()), seen) == []
    # A network without those of the nodes was written by a run that broke off, and can be taken back.
    broken = {"cp1": CP1, "w1": living("w1", 21, {**texts, KUBE_PROXY_CONFIG: b"clusterCIDR: 10.64.0.0/16\n"})}
    assert found(of(network=calico), broken) == []
    assert (
        "write `pod_cidr: 10.244.0.0/16` again"
        in the_only(of(pod_cidr=Net("10.64.0.0/16")), seen, "cluster.pod_cidr").todo
    )
    odd = {"cp1": CP1, "w1": living("w1", 21, {**texts, KUBE_PROXY_CONFIG: b"clusterCIDR: nonsense\n"})}
    assert found(larger, odd) == []


def test_many_nodes_outside_are_counted() -> None:
    nodes = tuple(node(f"w{number}", f"10.244.{number}.0/24") for number in range(8))
    problem = the_only(of(pod_cidr=Net("10.64.0.0/16")), {"cp1": server(objects=nodes)}, "cluster.pod_cidr")
    assert problem.found.endswith("and 3 more")


def test_a_nodes_network_is_refused_and_its_record_never_wins_over_the_node() -> None:
    written = of(host("cp1"), host("w1", NODE, 21, pod_cidr=Net("10.244.9.0/24")))
    problem = the_only(written, LIVING, "hosts.w1.pod_cidr")
    assert problem.found == "10.244.1.0/24 (Node object)"
    recorded = replace(worker(), texts={**worker().texts, "/etc/kprov/pod-cidrs": b"w1 10.244.9.0/24\n"})
    assert the_only(written, {"cp1": CP1, "w1": recorded}, "hosts.w1.pod_cidr").found == problem.found
    assert (
        found(of(host("cp1"), host("w1", NODE, 21, pod_cidr=Net("10.244.1.0/24"))), {"cp1": CP1, "w1": recorded}) == []
    )


def test_a_joining_host_may_not_be_given_what_another_node_has() -> None:
    joining = of(host("cp1"), host("w1", NODE, 21), host("w2", NODE, 22, pod_cidr=Net("10.244.0.0/23")))
    problem = the_only(joining, {**LIVING, "w2": Observation(facts=facts("w2", 22))}, "hosts.w2.pod_cidr")
    assert "cp1 has 10.244.0.0/24" in problem.found
    assert "w1 has 10.244.1.0/24" in problem.found
    free = of(host("cp1"), host("w1", NODE, 21), host("w2", NODE, 22, pod_cidr=Net("10.244.2.0/23")))
    assert found(free, LIVING) == []


def test_a_provider_id_is_refused() -> None:
    named = (node("w1", "10.244.1.0/24", providerID="aws:///a/i-1"), dns_service())
    own = of(host("cp1"), host("w1", NODE, 21, provider_id="aws:///a/i-2"))
    assert the_only(own, {"cp1": server(objects=named)}, "hosts.w1.provider_id").found == "aws:///a/i-1 (Node object)"


def test_another_cloud_is_refused_and_one_may_come_and_go() -> None:
    taken = node("w1", "10.244.1.0/24")
    taken["metadata"]["annotations"] = {"kprov.io/cloud-provider": "aws"}
    seen = {"cp1": server(objects=(taken,))}
    assert the_only(of(cloud=CloudSettings(provider="gcp")), seen, "cluster.cloud.provider").found == "aws has w1"
    assert found(of(cloud=CloudSettings(provider="aws")), seen) == []
    assert found(of(), seen) == []
    assert found(of(cloud=CloudSettings(provider="aws")), LIVING) == []


def members(*numbers: int) -> EtcdView:
    rows = [
        EtcdMember(id=str(n), name=f"cp{n - 10}", peer_urls=(f"https://192.0.2.{n}:2380",), learner=False)
        for n in numbers
    ]
    return EtcdView(has_data=True, members=tuple(rows))


def test_a_members_address_is_refused_with_the_way() -> None:
    moved = [host("cp1", node_ip=IPv4Address("192.0.2.99"))]
    alone = the_only(of(*moved), {"cp1": server(etcd=members(11), objects=())}, "hosts.cp1.node_ip")
    assert alone.found == "192.0.2.11 (the member list of etcd)"
    assert "three members" in alone.todo
    moved += [host("cp2", number=12), host("cp3", number=13)]
    three = the_only(of(*moved), {"cp1": server(etcd=members(11, 12, 13), objects=())}, "hosts.cp1.node_ip")
    assert "kprov down --limit cp1" in three.todo


def test_an_address_that_dhcp_changed_is_refused_too() -> None:
    seen = server(etcd=members(11), objects=())
    moved = replace(seen, facts=facts("cp1", 99))
    assert the_only(of(host("cp1", number=99)), {"cp1": moved}, "hosts.cp1.node_ip").needed == "192.0.2.99"


def test_a_member_that_stands_still_is_known_by_its_unit() -> None:
    stopped = {"cp1": server(etcd=EtcdView(has_data=True), objects=())}
    own = of(host("cp1", node_ip=IPv4Address("192.0.2.99")))
    assert "etcd.service" in the_only(own, stopped, "hosts.cp1.node_ip").found
    assert found(own, {"cp1": server(etcd=EtcdView(), objects=())}) == []  # nothing is stored: it has yet to be founded


def test_a_workers_address_may_change() -> None:
    own = of(host("cp1"), host("w1", NODE, 21, node_ip=IPv4Address("192.0.2.77")))
    assert found(own, {"cp1": server(etcd=members(11), objects=OBJECTS), "w1": worker()}) == []


def test_a_renamed_host_is_known_by_its_certificate() -> None:
    own = of(host("cp1"), host("new", NODE, 21))
    renamed = living("new", 21, node_texts("w1"))
    problem = the_only(own, {"cp1": CP1, "new": renamed}, "hosts.new")
    assert (problem.name, problem.found) == ("HostRenamed", "w1 (the certificate that it has)")
    assert "kprov down --limit w1" in problem.todo


def test_a_renamed_host_without_certificates_is_known_by_its_machine_id() -> None:
    objects = (node("w1", "10.244.1.0/24", machine=f"{21:032x}"), dns_service())
    own = of(host("cp1"), host("new", NODE, 21))
    seen = {"cp1": server(objects=objects), "new": Observation(facts=facts("new", 21))}
    assert "machine id" in the_only(own, seen, "hosts.new").found
    joining = replace(facts("new", 21), machine_id="")  # what has none is no Node that has yet to tell its own
    unknown = {"cp1": server(objects=(node("w1", "10.244.1.0/24"),)), "new": Observation(facts=joining)}
    assert found(own, unknown) == []


def test_hosts_whose_addresses_were_swapped_are_told_both() -> None:
    own = of(host("cp1"), host("w1", NODE, 22), host("w2", NODE, 21))
    seen = {"cp1": CP1, "w1": living("w1", 22, node_texts("w2")), "w2": living("w2", 21, node_texts("w1"))}
    assert [problem.key for problem in found(own, seen)] == ["hosts.w1", "hosts.w2"]


def test_a_member_of_etcd_alone_is_known_by_its_certificate() -> None:
    spec = CertificateSpec(
        name="etcd-server",
        authority="kubernetes",
        common_name="e1",
        organizations=(),
        client=True,
        algorithm="ecdsa-p256",
        days=5,
        renew_before_days=1,
    )
    texts = {"/etc/etcd/pki/server.crt": AUTHORITY.issue(spec, datetime(2026, 6, 1, tzinfo=UTC)).cert_pem}
    own = of(host("cp1", ("control_plane",)), host("e2", ("etcd",), 31))
    assert the_only(own, {"cp1": CP1, "e2": living("e2", 31, texts)}, "hosts.e2").found.startswith("e1 ")


def test_the_control_plane_does_not_move_in_one_step() -> None:
    own = of(host("cp1", NODE), host("w1", ("control_plane",), 21))
    seen = {"cp1": replace(CP1, stamps={"kube-apiserver.service": "S"}), "w1": worker()}
    problem = the_only(own, seen, "hosts.w1.groups")
    assert problem.found == "API servers on cp1"
    assert "let cp1 stay in the groups they are in, add w1" in problem.todo
    both = of(host("cp1"), host("w1", ("control_plane",), 21))
    assert found(both, seen) == []
    assert found(own, {"cp1": seen["cp1"]}) == []  # of w1 nobody knows: it may have one, too
    assert found(own, {"cp1": CP1, "w1": worker()}) == []  # one that never served is taken away


def test_a_node_cannot_stop_being_one_in_place() -> None:
    own = of(host("cp1", ("control_plane",)), host("w1", ("etcd",), 21))
    assert the_only(own, {"cp1": CP1, "w1": worker()}, "hosts.w1.groups").found == "w1 is a node"
    left = (node("cp1", "10.244.0.0/24"), dns_service())
    assert (
        found(own, {"cp1": server(objects=left), "w1": worker()}) == []
    )  # it was taken out; what is left is cleaned up


@pytest.mark.parametrize(("component", "flag"), [(name, flag) for name, flags in FIXED_FLAGS.items() for flag in flags])
def test_flags_that_say_where_data_is_are_refused(component: str, flag: str) -> None:
    texts = {**unit(component, config="/x"), **node_texts("cp1")}
    seen = {"cp1": living("cp1", 11, texts, objects=OBJECTS, etcd=members(11))}
    own = of(host("cp1", extra_args={component: {flag: "/srv"}}))
    assert the_only(own, seen, f"hosts.cp1.extra_args.{component}.{flag}").found.startswith("not set")
    assert found(own, {"cp1": Observation(facts=facts())}) == []  # from the first day on it may be anything
    assert found(own, seen, frozenset({"w1"})) == []
    moved = living("cp1", 11, {**texts, **unit(component, **{flag: '"/srv/50%%"'})}, objects=OBJECTS, etcd=members(11))
    assert found(of(host("cp1", extra_args={component: {flag: "/srv/50%"}})), {"cp1": moved}) == []
    assert found(of(host("cp1")), {"cp1": moved})[0].needed == "not set"


def test_a_limit_to_other_hosts_lets_no_setting_through_and_it_cannot_be_ignored() -> None:
    own = of(domain="example.org", preflight_ignore=("FixedSetting",))
    told = check(own, {"cp1": CP1, "w1": worker()}, frozenset({"w1"}))
    assert [problem.name for problem in told if problem.host == INVENTORY] == ["FixedSetting"]
    with pytest.raises(PreflightError, match="nothing was touched") as caught:
        raise_for([problem for problem in told if problem.host == INVENTORY])
    assert "preflight_ignore" not in caught.value.todo


def test_ignoring_by_name_leaves_what_cannot_be_ignored() -> None:
    (problem,) = found(of(domain="example.org"), LIVING)
    assert judged([problem], ["fixedsetting"]) == (problem,)
    assert judged([replace(problem, ignorable=True)], ["fixedsetting"])[0].severity == "warning"


@pytest.mark.parametrize(
    ("key", "places", "where"),
    [
        ("cluster.domain", {"cluster": "i.yaml:1", "cluster.domain": "i.yaml:7"}, "i.yaml:7 (cluster.domain)"),
        ("cluster.domain", {"cluster": "i.yaml:1"}, "i.yaml:1 (cluster.domain is not written: its default counts)"),
        (
            "hosts.w1.node_ip",
            {"hosts": "i.yaml:3", "hosts.w1": "i.yaml:4"},
            "i.yaml:4 (hosts.w1.node_ip is not written",
        ),
        (
            "hosts.w1.extra_args.etcd.wal-dir",
            {"hosts.w1": "i.yaml:9", "groups.etcd.extra_args.etcd.wal-dir": "i.yaml:5"},
            "i.yaml:5 (groups.etcd.extra_args.etcd.wal-dir)",
        ),
        ("hosts.w1", {}, "hosts.w1, which is not written"),
    ],
)
def test_the_place_of_a_setting_is_told(key: str, places: Mapping[str, str], where: str) -> None:
    (problem,) = found(of(domain="example.org"), LIVING)
    (told,) = placed([replace(problem, key=key)], places)
    assert told.where.startswith(where)
    assert f"at:     {told.where}" in rendered([told])


def test_what_is_declared_fixed_is_what_is_refused() -> None:
    """Keys that are fixed, or fixed in part, and the guards: neither without the other."""
    named = {"ClusterKeys": "cluster", "CloudKeys": "cluster.cloud", "HostKeys": "hosts.NAME", "HostVariables": "any"}
    elsewhere = {"cluster.name", "cluster.network.mode"}  # the CA of the hosts (refusals); NetworkMode (pod_network)
    schema = json_schema()
    shared = schema["$defs"]["HostVariables"]["properties"]
    fixed = {"hosts"}
    for name, model in schema["$defs"].items():
        for key, field in model["properties"].items():
            if "fixed" in field.get(SCHEMA_KEY, "") and (name == "HostVariables" or key not in shared):
                prefix = {**named, "NetworkKeys": "cluster.network"}[name]
                fixed.add(key if prefix == "any" else f"{prefix}.{key}")
    assert fixed - elsewhere == set(GUARDS) - {"hosts.NAME.groups"}
    assert "No longer a node" in render()


def test_every_text_that_guards_read_is_asked_for() -> None:
    assert {f"{UNITS}/{component}.service" for component in FIXED_FLAGS} <= set(TEXTS)
    assert {KUBELET_CONFIG, KUBE_PROXY_CONFIG, CPU_STATE, MEMORY_STATE} <= set(TEXTS)
    asked = {query[1] for query in Question().queries() if query[0] == "text"}
    assert {*TEXTS, POD_CIDRS} <= asked
