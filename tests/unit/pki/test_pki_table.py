"""The certificate table: its shape as a tree, who gets what, and which names go in."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

import pytest
from pki_cases import cluster, facts, host, told

from kprov.pki.addresses import split_names
from kprov.pki.table import TREE, admin_spec, leaf_specs, names, super_admin_spec, user_spec
from kprov.values.addresses import host_of
from kprov.values.certificate import AUTHORITIES
from kprov.values.errors import PkiError
from kprov.values.model import PkiSettings

CONTROL_PLANE = {
    "kube-apiserver",
    "kube-apiserver-kubelet-client",
    "kube-apiserver-etcd-client",
    "front-proxy-client",
    "kube-controller-manager",
    "kube-controller-manager-serving",
    "kube-scheduler",
    "kube-scheduler-serving",
}
ETCD = {"etcd-server", "etcd-peer", "etcd-healthcheck-client"}
NODE = {"kubelet-client", "kubelet-serving", "kube-proxy"}
ALL = {"metrics-proxy"}


def specs(groups=("etcd", "control_plane", "worker"), interfaces=None, host_options=None, **options):
    one = host(groups=groups, **(host_options or {}))
    return leaf_specs(cluster(one, **options), one, told(cp1=facts(interfaces)))


def test_the_table_is_a_tree():
    assert tuple(TREE) == AUTHORITIES
    found = Counter(leaf.name for leaves in TREE.values() for leaf in leaves)
    assert set(found) >= CONTROL_PLANE | ETCD | NODE | ALL
    assert set(found.values()) == {1}, "a leaf has one CA"
    for authority, leaves in TREE.items():
        subjects = Counter((leaf.cn, leaf.usage, leaf.names) for leaf in leaves if leaf.usage == "client")
        assert set(subjects.values()) == {1}, f"two clients of {authority} could not be told apart"


@pytest.mark.parametrize("leaves", TREE.values(), ids=TREE)
def test_servers_have_names_and_clients_have_none(leaves):
    one = host()
    for leaf in leaves:
        assert bool(names(leaf, cluster(one), one, told(cp1=facts()))) == (leaf.usage != "client"), leaf.name


def test_only_etcd_members_may_both_serve_and_call():
    both = {leaf.name for leaves in TREE.values() for leaf in leaves if leaf.usage == "both"}
    assert both == {"etcd-server", "etcd-peer"}


def test_no_leaf_of_a_host_is_an_administrator():
    groups = {group for leaves in TREE.values() for leaf in leaves for group in leaf.o}
    assert groups == {"kprov:kubelet-api-admins", "system:nodes"}


@pytest.mark.parametrize(
    ("groups", "desired"),
    [
        (("etcd",), ETCD),
        (("worker",), NODE),
        (("control_plane",), CONTROL_PLANE | NODE),
        (("etcd", "control_plane", "worker"), CONTROL_PLANE | ETCD | NODE),
    ],
)
def test_a_host_has_the_certificates_of_its_groups(groups, desired):
    made = specs(groups)
    others = (CONTROL_PLANE | ETCD | NODE) - desired
    assert set(made) >= desired | ALL
    assert not set(made) & others
    assert all(spec.name == name for name, spec in made.items())


def test_subjects_follow_what_authorizers_know():
    """Of kprov's own components; one that is added says its subject in its record alone."""
    made = {name: spec for name, spec in specs().items() if name in CONTROL_PLANE | ETCD | NODE | ALL}
    subjects = {name: (spec.common_name, spec.organizations, spec.authority) for name, spec in made.items()}
    assert subjects == {
        "kube-apiserver": ("kube-apiserver", (), "kubernetes"),
        "kube-apiserver-kubelet-client": (
            "kube-apiserver-kubelet-client",
            ("kprov:kubelet-api-admins",),
            "kubernetes",
        ),
        "kube-controller-manager": ("system:kube-controller-manager", (), "kubernetes"),
        "kube-controller-manager-serving": ("kube-controller-manager", (), "kubernetes"),
        "kube-scheduler": ("system:kube-scheduler", (), "kubernetes"),
        "kube-scheduler-serving": ("kube-scheduler", (), "kubernetes"),
        "kubelet-client": ("system:node:cp1", ("system:nodes",), "kubernetes"),
        "kubelet-serving": ("system:node:cp1", ("system:nodes",), "kubernetes"),
        "kube-proxy": ("system:kube-proxy", (), "kubernetes"),
        "metrics-proxy": ("kprov-metrics-proxy", (), "kubernetes"),
        "etcd-server": ("cp1", (), "etcd"),
        "etcd-peer": ("cp1", (), "etcd"),
        "etcd-healthcheck-client": ("kube-etcd-healthcheck-client", (), "etcd"),
        "kube-apiserver-etcd-client": ("kube-apiserver-etcd-client", (), "etcd"),
        "front-proxy-client": ("front-proxy-client", (), "front-proxy"),
    }


def test_the_api_server_answers_to_every_name_it_is_called_by():
    spec = specs(
        interfaces={"lo": ("127.0.0.1/8",), "eth0": ("10.0.0.11/24",), "eth1": ("192.168.5.11/24",)},
        host_options={"address": "node-one.example.com"},
        api_endpoint="api.example.com:6443",
        api_sans=("k8s.example.com", "203.0.113.7"),
        domain="corp.internal",
    )["kube-apiserver"]
    assert spec.dns_names == (
        "api.example.com",
        "cp1",
        "k8s.example.com",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.corp.internal",
        "localhost",
        "node-one.example.com",
    )
    assert spec.ip_addresses == ("10.0.0.11", "10.96.0.1", "127.0.0.1", "192.168.5.11", "203.0.113.7", "::1")


def test_etcd_names_every_address_a_peer_may_dial_from():
    spec = specs(interfaces={"eth0": ("10.0.0.11/24", "10.0.1.11/24"), "bond0.7": ("172.20.0.3/16",)})["etcd-peer"]
    assert spec.dns_names == ("cp1", "localhost")
    assert spec.ip_addresses == ("10.0.0.11", "10.0.1.11", "127.0.0.1", "172.20.0.3", "::1")


@pytest.mark.parametrize(
    "foreign",
    ["cni0", "docker0", "veth12ab", "br-0f3c", "virbr0", "flannel.1", "cali1234", "cilium_host", "kube-ipvs0", "lxc9"],
)
def test_addresses_of_workload_interfaces_stay_out(foreign):
    spec = specs(interfaces={"eth0": ("10.0.0.11/24",), foreign: ("172.17.0.1/16",)})["etcd-server"]
    assert "172.17.0.1" not in spec.ip_addresses


def test_a_bridge_that_carries_the_hosts_own_address_counts():
    assert "10.0.0.11" in specs(interfaces={"br0": ("10.0.0.11/24",)})["etcd-server"].ip_addresses


@pytest.mark.parametrize("address", ["10.244.1.1/24", "10.96.0.10/32", "169.254.20.10/32", "127.0.0.2/8"])
def test_addresses_of_cluster_networks_and_of_the_link_stay_out(address):
    made = specs(interfaces={"eth0": ("10.0.0.11/24",), "dummy0": (address,)})
    assert address.split("/")[0] not in made["kubelet-serving"].ip_addresses


def test_a_virtual_api_address_is_the_api_servers_and_nobody_elses():
    interfaces = {"eth0": ("10.0.0.11/24", "10.0.0.100/32")}
    made = specs(interfaces=interfaces, api_endpoint="10.0.0.100:6443")
    assert "10.0.0.100" in made["kube-apiserver"].ip_addresses
    assert "10.0.0.100" not in made["etcd-peer"].ip_addresses
    assert "10.0.0.100" not in made["kubelet-serving"].ip_addresses


def test_an_endpoint_that_is_the_node_itself_stays_in():
    assert "10.0.0.11" in specs(api_endpoint="10.0.0.11:6443")["etcd-peer"].ip_addresses


def test_a_node_ip_of_the_inventory_is_in_even_when_no_interface_has_it():
    made = specs(host_options={"node_ip": IPv4Address("198.51.100.4")})
    assert "198.51.100.4" in made["kubelet-serving"].ip_addresses


def test_an_ssh_alias_that_is_no_dns_name_stays_out():
    made = specs(host_options={"address": "my_box"})
    assert "my_box" not in made["kube-apiserver"].dns_names


def test_order_of_interfaces_does_not_matter():
    one = {"eth0": ("10.0.0.11/24", "10.0.0.9/24"), "eth1": ("10.1.0.11/24",)}
    other = {"eth1": ("10.1.0.11/24",), "eth0": ("10.0.0.9/24", "10.0.0.11/24")}
    assert specs(interfaces=one) == specs(interfaces=other)


def test_settings_of_the_inventory_reach_every_leaf():
    made = specs(pki=PkiSettings(algorithm="rsa-3072", leaf_days=90, renew_before_days=30))
    assert {(spec.algorithm, spec.days, spec.renew_before_days) for spec in made.values()} == {("rsa-3072", 90, 30)}


def test_a_host_name_too_long_for_a_certificate_is_refused_before_anything_is_made():
    long = host(name="a" * 53)
    with pytest.raises(PkiError, match="too long") as caught:
        leaf_specs(cluster(long), long, told(**{long.name: facts()}))
    assert caught.value.where == long.name


def test_a_host_that_did_not_answer_is_a_key_error():
    with pytest.raises(KeyError):
        leaf_specs(cluster(host()), host(), told())


def test_operators_have_rights_by_group_and_only_break_glass_is_above_them():
    one = cluster(host())
    admin, above = admin_spec(one), super_admin_spec(one)
    assert (admin.common_name, admin.organizations, admin.days) == (
        "kubernetes-admin",
        ("kubeadm:cluster-admins",),
        365,
    )
    assert (above.common_name, above.organizations, above.days) == ("kubernetes-super-admin", ("system:masters",), 1)
    assert admin.client
    assert above.client
    assert not admin.server
    assert not above.server
    assert admin_spec(one, days=7).days == 7


def test_a_person_has_the_name_and_groups_that_were_given_and_no_others():
    spec = user_spec(cluster(host()), "anna", ("developers", "night shift"), 30)
    assert (spec.common_name, spec.organizations, spec.days) == ("anna", ("developers", "night shift"), 30)
    assert (spec.client, spec.server, spec.authority) == (True, False, "kubernetes")
    assert user_spec(cluster(host()), "anna", (), 1).organizations == ()


@pytest.mark.parametrize(
    ("user", "groups"),
    [("system:kube-scheduler", ()), ("anna", ("system:masters",)), ("", ()), (" ", ()), ("a\nb", ()), ("a" * 65, ())],
)
def test_nobody_is_given_the_name_of_a_component_or_one_that_fits_no_certificate(user, groups):
    with pytest.raises(PkiError, match="cannot be given out"):
        user_spec(cluster(host()), user, groups, 30)


@pytest.mark.parametrize(
    ("endpoint", "desired"), [("api:6443", "api"), ("[2001:db8::1]:6443", "2001:db8::1"), ("10.0.0.1:443", "10.0.0.1")]
)
def test_host_of(endpoint, desired):
    assert host_of(endpoint) == desired


def test_names_are_sorted_by_value_and_without_doubles():
    names = ("b", "10.0.0.10", "A", "10.0.0.9", "a", "::0001", "10.0.0.9")
    assert split_names(names) == (("a", "b"), ("10.0.0.9", "10.0.0.10", "::1"))
