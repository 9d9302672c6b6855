"""Each mistake an inventory can have: its place, the key path, what was found, what is accepted and what to do."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import get_args

import pytest
from inventory_text import FILE, HOSTS, cluster, loaded, mistakes, only, with_hosts

from kprov.inventory import parse, schema
from kprov.values.components import COMPONENTS
from kprov.values.errors import ArtifactError, InventoryError
from kprov.values.model import NetworkSettings

LINES = [  # one line under `cluster` at line 3, column, key path, what, found, needed, todo
    ("name2: x", 3, "name2", "unknown key", "", "one of user, port", "did you mean 'name'?"),
    ("pod-cidr: 10.0.0.0/16", 3, "pod-cidr", "unknown key", "", "pod_cidr", "did you mean 'pod_cidr'?"),
    ("kubernetes: 1.30", 15, "kubernetes", "wrong kind", "1.30", "text", '"1.30"'),
    ("kubernetes: 1.37", 15, "kubernetes", "wrong kind", "1.37", "text", '"1.37"'),
    ('kubernetes: "1.99"', 15, "kubernetes", "catalog", "'1.99'", "1.37", "write 1.37"),
    ('kubernetes: "v1.37"', 15, "kubernetes", "not a version", "'v1.37'", "numbers", "write '1.37'"),
    ('versions: {etcd: "2.0.0"}', 20, "versions.etcd", "cannot be used", "'2.0.0'", "or later", "leave etcd out"),
    ('versions: {etcdd: "3.7.3"}', 14, "versions.etcdd", "not one of", "'etcdd'", "etcd, containerd", "mean 'etcd'?"),
    ("kube_proxy_mode: ipvs", 20, "kube_proxy_mode", "not one of", "'ipvs'", "auto, nftables, iptables", ""),
    ("kube_proxy_mode: nftable", 20, "kube_proxy_mode", "not one of", "'nftable'", "nftables", "mean 'nftables'?"),
    ("domain: Cluster.Local", 11, "domain", "RFC 1123", "'Cluster.Local'", "lower case", "'cluster.local'"),
    ("domain: a..b", 11, "domain", "RFC 1123", "'a..b'", "labels", ""),
    ("user: 5", 9, "user", "wrong kind", "5", "text", '"5"'),
    ("user: a b", 9, "user", "not a user name", "'a b'", "letters", ""),
    ("user: -oProxyCommand=x", 9, "user", "begins with '-'", "'-oProxyCommand=x'", "otherwise", ""),
    ('user: "a\\nb"', 9, "user", "U+000A", "'a\\nb'", "one line", "line break"),
    ('user: "a\\u202eb"', 9, "user", "U+202E", "", "visible", ""),
    ("user:", 3, "user", "nothing stands after this key", "", "", "remove the key"),
    ("key: ~other/id", 8, "key", "not a path", "'~other/id'", "'~/'", ""),
    ('key: ""', 8, "key", "not a path", "''", "", ""),
    ("port: 0", 9, "port", "out of range", "0", "at least 1", ""),
    ("port: 65536", 9, "port", "out of range", "65536", "at most 65535", ""),
    ('port: "22"', 9, "port", "wrong kind", "'22'", "a whole number", "without quotes"),
    ("become: 1", 11, "become", "wrong kind", "1", "true or false", ""),
    ('become: "true"', 11, "become", "wrong kind", "'true'", "true or false", "write true without quotes"),
    ("jump: user@host:0", 9, "jump", "not a port", "'user@host:0'", "HOST:PORT", ""),
    ("jump: [a, user@host:0]", 9, "jump", "not a port", "", "HOST:PORT", ""),
    ("jump: a,,b", 9, "jump", "a jump host is empty", "'a,,b'", "HOST", ""),
    ("jump: []", 9, "jump", "not jump hosts", "", "a list of them", ""),
    ("jump: 7", 9, "jump", "not jump hosts", "7", "a list of them", ""),
    ("pod_cidr: 10.244.0.1/16", 13, "pod_cidr", "first address", "'10.244.0.1/16'", "", "write '10.244.0.0/16'"),
    ("pod_cidr: 10.244.0.0", 13, "pod_cidr", "not a network", "'10.244.0.0'", "prefix", ""),
    ("pod_cidr: 10.244.0.0/33", 13, "pod_cidr", "not an IPv4 network", "", "10.244.0.0/16", ""),
    ("pod_cidr: fd00::/64", 13, "pod_cidr", "IPv6 is not supported yet", "'fd00::/64'", "IPv4", ""),
    ("pod_cidr: 127.0.0.0/8", 13, "pod_cidr", "cannot be routed", "", "private", ""),
    ("pod_cidr: 10.96.0.0/16", 13, "pod_cidr", "overlap", "10.96.0.0/16 for pods", "without a common", ""),
    ("service_cidr: 10.244.3.0/24", 17, "service_cidr", "overlap", "10.244.3.0/24 for services", "", ""),
    ("service_cidr: 10.0.0.0/11", 17, "service_cidr", "size", "'10.0.0.0/11'", "/12", ""),
    ("service_cidr: 10.0.0.0/29", 17, "service_cidr", "size", "'10.0.0.0/29'", "/28", ""),
    ("dns_ip: 10.97.0.10", 11, "dns_ip", "not a service address", "'10.97.0.10'", "10.96.0.0/16", "write 10.96.0.10"),
    ("dns_ip: 10.96.0.0", 11, "dns_ip", "not a service address", "'10.96.0.0'", "", ""),
    ("dns_ip: 10.96.0.1", 11, "dns_ip", "API server's own", "'10.96.0.1'", "another", "write 10.96.0.10"),
    ("dns_ip: 10.96", 11, "dns_ip", "not an address", "10.96", "IPv4", ""),
    ("pod_cidr_node_prefix: 8", 25, "pod_cidr_node_prefix", "out of range", "8", "at least 9", ""),
    ("pod_cidr_node_prefix: 15", 25, "pod_cidr_node_prefix", "do not fit", "/15 for each node", "/16 to /28", ""),
    ("pod_cidr_node_prefix: 16", 25, "pod_cidr_node_prefix", "too small", "2 nodes", "/15", ""),
    ("pod_cidr: 10.244.0.0/24", 13, "pod_cidr", "too small", "holds 1 networks of /24", "/23", ""),
    ("api_endpoint: api.example.org", 17, "api_endpoint", "port is missing", "", "", "'api.example.org:6443'"),
    ("api_endpoint: api.example.org:99999", 17, "api_endpoint", "not a port", "", "65535", ""),
    ("api_endpoint: 'fd00::1:6443'", 17, "api_endpoint", "IPv6", "", "HOST:PORT", ""),
    ("api_endpoint: 10.96.1.1:6443", 17, "api_endpoint", "service_cidr", "10.96.1.1", "no host uses", ""),
    ("api_sans: [10.0.0.999]", 14, "api_sans[0]", "not an IPv4", "'10.0.0.999'", "0 to 255", ""),
    ("api_sans: api.example.org", 13, "api_sans", "wrong kind", "", "a list", "write [api.example.org]"),
    ("pki: {algorithm: rsa}", 20, "pki.algorithm", "not one of", "'rsa'", "rsa-2048", ""),
    ("pki: {algoritm: rsa-2048}", 9, "pki.algoritm", "unknown key", "", "algorithm, ca_days", "'algorithm'?"),
    ("pki: {leaf_days: 4000}", 20, "pki.leaf_days", "outlive", "leaf_days 4000", "at most ca_days", ""),
    ("pki: {renew_before_days: 365}", 28, "pki.renew_before_days", "every run", "365", "less than", ""),
    ("pki: 3", 8, "pki", "wrong kind", "3", "a mapping", ""),
    ("backup: {recipients: [age1nobody]}", 25, "backup.recipients[0]", "not a public key", "'age1nobody'", "ssh-", ""),
    ("backup: {to: 'ftp://store/x'}", 16, "backup.to", "not a place for backups", "'ftp://store/x'", "sftp://", ""),
    (
        "backup: {s3: {endpoint: store}}",
        27,
        "backup.s3.endpoint",
        "not an address of a store",
        "'store'",
        "https://",
        "",
    ),
    ("etcd: {heartbeat_ms: 500}", 24, "etcd.heartbeat_ms", "elect", "500", "five times", ""),
    ("etcd: {quota_bytes: 1}", 23, "etcd.quota_bytes", "out of range", "1", "at least 67108864", ""),
    ("coredns: {replicas: two}", 23, "coredns.replicas", "wrong kind", "'two'", "a whole number", ""),
    ("artifacts: {mirror: ftp://x}", 23, "artifacts.mirror", "base URL", "", "https://", ""),
    ("preflight_ignore: [Swap!]", 22, "preflight_ignore[0]", "check's name", "'Swap!'", "", ""),
    ("labels: {a b: c}", 12, "labels.a b", "not a label key", "'a b'", "63", ""),
    ("labels: {a: b c}", 15, "labels.a", "not a label value", "'b c'", "63", ""),
    ("labels: {a: 1}", 15, "labels.a", "wrong kind", "1", "text", '"1"'),
    ("labels: {kubernetes.io/os: linux}", 12, "labels.kubernetes.io/os", "kubelet sets", "", "", "remove it"),
    ("taints: [a]", 12, "taints[0]", "without an effect", "'a'", "NoSchedule", ""),
    ("taints: ['a=b:noschedule']", 12, "taints[0]", "unknown effect", "", "NoExecute", "write 'a=b:NoSchedule'"),
    (
        "taints: ['node.kubernetes.io/unreachable:NoExecute']",
        12,
        "taints[0]",
        "Kubernetes itself puts",
        "",
        "a key of your",
        "kubectl cordon",
    ),
    ("taints: [{key: a}]", 12, "taints[0]", "not a taint", "a mapping (key)", "KEY:EFFECT", "as text"),
    ("extra_args: {kube-apisrver: {v: 2}}", 16, "extra_args.kube-apisrver", "not one of", "", "", "'kube-apiserver'?"),
    (
        "extra_args: {kubelet: {v: [--v]}}",
        30,
        "extra_args.kubelet.v[0]",
        "begins with '-'",
        "'--v'",
        "",
        "leading '--'",
    ),
    ("extra_args: {kubelet: {--v: 2}}", 26, "extra_args.kubelet.--v", "begins with '-'", "'--v'", "", "leading '--'"),
    ("extra_args: {kubelet: {Max_pods: 2}}", 26, "extra_args.kubelet.Max_pods", "flag's name", "", "", "'max-pods'"),
    ("extra_args: {kubelet: {v: 0.5}}", 29, "extra_args.kubelet.v", "fraction", "0.5", "quotes", "quotes"),
    ("extra_args: {kubelet: {v: [a]}}", 29, "extra_args.kubelet.v", "takes one value", "a list of 1", "number", ""),
    (
        "extra_args: {etcd: {data-dir: /x}}",
        33,
        "extra_args.etcd.data-dir",
        "--data-dir of etcd cannot be set here",
        "'/x'",
        "",
        "remove",
    ),
    ("api_endpoint: localhost:6443", 17, "api_endpoint", "every host to itself", "'localhost:6443'", "", "remove it"),
    ("api_endpoint: 127.0.0.1:6444", 17, "api_endpoint", "every host to itself", "", "load balancer", "proxy"),
    ("kubelet: {kind: KubeletConfiguration}", 13, "kubelet.kind", "kprov writes this", "", "", "remove it"),
    ('kubelet: {a: {b: ["x\\ty"]}}', 21, "kubelet.a.b[0]", "U+0009", "'x\\ty'", "one line", ""),
]


@pytest.mark.parametrize(
    ("line", "column", "path", "what", "found", "needed", "todo"), LINES, ids=lambda value: str(value)[:40]
)
def test_a_slip_under_cluster(line: str, column: int, path: str, what: str, found: str, needed: str, todo: str) -> None:
    mistake = only(cluster(line))
    assert mistake.where == f"i.yaml:3:{column}"
    assert mistake.what.startswith(f"cluster.{path}: ")
    assert what in mistake.what
    assert found in mistake.found
    assert needed in mistake.needed
    assert todo in mistake.todo


@pytest.mark.parametrize("key", ["pod_cidr", "service_cidr"])
def test_hosts_inside_the_cluster_networks(key: str) -> None:
    first, second = mistakes(cluster(f"{key}: 192.0.2.0/24", "pod_cidr_node_prefix: 28"))
    assert (first.where, second.where) == ("i.yaml:6:18", "i.yaml:7:7")
    assert first.what == f"hosts.cp1.address: an address of hosts lies in the cluster's {key}"
    assert first.found == f"192.0.2.11, and {key} is 192.0.2.0/24"


def test_mirror_credentials_are_refused_without_showing_them() -> None:
    mistake = only(cluster("artifacts: {mirror: 'https://me:hunter2@example.org'}"))
    assert "without credentials" in mistake.needed
    assert "hunter2" not in str(mistake)


HOST_LINES = [  # one host at line 5, column, key path, what, found, needed, todo
    ("W1: 192.0.2.21", 3, "W1", "RFC 1123", "'W1'", "lower case", "write 'w1'"),
    ("w_1: 192.0.2.21", 3, "w_1", "RFC 1123", "'w_1'", "lower case", ""),
    ("192.0.2.21: 192.0.2.22", 3, "192.0.2.21", "host's name", "", "NAME: ADDRESS", "write 'w1: 192.0.2.21'"),
    (f"{'a' * 64}: 192.0.2.21", 3, "a" * 64, "too long", "", "at most 63", ""),
    ("w1:", 3, "w1", "nothing stands after this key", "", "", "write a value"),
    ("w1: {}", 3, "w1.address", "this key is missing", "", "IPv4 address or DNS name", "add it"),
    ("w1: [192.0.2.21]", 7, "w1", "wrong kind", "a list of 1", "a mapping", ""),
    ("w1: 192.0.2.300", 7, "w1.address", "not an IPv4 address", "'192.0.2.300'", "0 to 255", ""),
    ("w1: 192.0.2.021", 7, "w1.address", "not an IPv4 address", "'192.0.2.021'", "0 to 255", ""),
    ("w1: 0.0.0.0", 7, "w1.address", "no host can have", "", "unicast", ""),
    ("w1: Host.example.org", 7, "w1.address", "RFC 1123", "", "", "write 'host.example.org'"),
    ("w1: root@192.0.2.21", 7, "w1.address", "user or port", "", "DNS name", "`user: NAME`"),
    ("w1: '192.0.2.21:22'", 7, "w1.address", "user or port", "", "", "`port: NUMBER`"),
    ("w1: 'fe80::1'", 7, "w1.address", "IPv6 is not supported yet", "'fe80::1'", "IPv4", ""),
    ("w1: 192.0.2.11", 7, "w1.address", "same address and port as host cp1", "192.0.2.11 port 22", "", ""),
    ("w1: {address: 192.0.2.21, group: workers}", 36, "w1.group", "not one of", "'workers'", "worker", "'worker'?"),
    (
        "w1: {address: 192.0.2.21, groups: [control-plane]}",
        38,
        "w1.groups[0]",
        "not one of",
        "",
        "",
        "'control_plane'?",
    ),
    ("w1: {address: 192.0.2.21, groups: worker}", 37, "w1.groups", "wrong kind", "", "a list", "write [worker]"),
    ("w1: {address: 192.0.2.21, groups: []}", 37, "w1.groups", "empty list", "", "at least one", ""),
    ("w1: {address: 192.0.2.21, groups: [worker, worker]}", 37, "w1.groups", "named twice", "", "once", ""),
    ("w1: {address: 192.0.2.21, groups: [worker], group: etcd}", 37, "w1.groups", "both", "", "one of them", ""),
    ("w1: {addres: 192.0.2.21, address: 192.0.2.21}", 8, "w1.addres", "unknown key", "", "", "mean 'address'?"),
    ("w1: {address: 192.0.2.21, node_ip: 127.0.0.1}", 38, "w1.node_ip", "cannot reach", "", "network", ""),
    ("w1: {address: a.example.org, node_ip: 10.244.1.1}", 41, "w1.node_ip", "pod_cidr", "10.244.1.1", "", ""),
    ("w1: {address: 192.0.2.21, pod_cidr: 10.0.0.0/24}", 39, "w1.pod_cidr", "outside", "", "10.244.0.0/16", ""),
    (
        "w1: {address: 192.0.2.21, host_key: ssh-dss AAAA}",
        39,
        "w1.host_key",
        "host key",
        "",
        "ssh-ed25519",
        "ssh-keyscan",
    ),
    ("w1: {address: 192.0.2.21, host_key: ssh-ed25519 A*}", 39, "w1.host_key", "base64", "", "", ""),
    ("w1: {address: 192.0.2.21, host_key: ssh-ed25519 AAAA}", 39, "w1.host_key", "does not fit", "", "", ""),
    ("w1: {address: 192.0.2.21, 1: 2}", 29, "w1.1", "unknown key", "", "", ""),
]


@pytest.mark.parametrize(
    ("line", "column", "path", "what", "found", "needed", "todo"), HOST_LINES, ids=lambda value: str(value)[:40]
)
def test_a_slip_at_a_host(line: str, column: int, path: str, what: str, found: str, needed: str, todo: str) -> None:
    mistake = only(with_hosts(line))
    assert mistake.where == f"i.yaml:5:{column}"
    assert mistake.what.startswith(f"hosts.{path}: ")
    assert what in mistake.what
    assert found in mistake.found
    assert needed in mistake.needed
    assert todo in mistake.todo


def test_the_same_address_with_another_port_is_another_machine() -> None:
    text = with_hosts("w1: {address: 192.0.2.11, port: 2222}", "w2: {address: 192.0.2.11, port: 2223}")
    assert [host.connection.port for host in loaded(text).cluster.hosts] == [None, 2222, 2223]


def test_ports_of_a_group_count_when_machines_are_told_apart() -> None:
    hosts = "groups:\n  worker: {port: 2222}\n" + HOSTS.replace("192.0.2.21", "192.0.2.11")
    assert loaded(cluster(hosts=hosts)).cluster.host("w1").connection.port == 2222


def test_equal_node_ips_and_overlapping_pod_networks() -> None:
    first, second = mistakes(
        with_hosts(
            "w1: {address: a.example.org, node_ip: 192.0.2.50, pod_cidr: 10.244.0.0/23}",
            "w2: {address: b.example.org, node_ip: 192.0.2.50, pod_cidr: 10.244.1.0/24}",
        )
    )
    assert (first.where, second.where) == ("i.yaml:6:41", "i.yaml:6:63")
    assert first.what == "hosts.w2.node_ip: the same node_ip as host w1"
    assert second.what == "hosts.w2.pod_cidr: overlaps the pod_cidr of host w1"


def test_a_pod_network_for_a_host_without_pods() -> None:
    mistake = only(with_hosts("e1: {address: 192.0.2.31, group: etcd, pod_cidr: 10.244.9.0/24}"))
    assert mistake.where == "i.yaml:5:52"
    assert "runs no pods" in mistake.what


def test_missing_sections_and_hosts() -> None:
    assert [(m.where, m.what) for m in mistakes("x: 1\n")] == [
        ("i.yaml:1:1", "cluster: this key is missing"),
        ("i.yaml:1:1", "hosts: this key is missing"),
        ("i.yaml:1:1", "x: unknown key"),
    ]
    assert only("cluster: {name: a}\nhosts: {}\n").what == "hosts: there are no hosts"
    assert only("cluster: {user: a}\n" + HOSTS).what == "cluster.name: this key is missing"
    assert "nothing stands" in only("cluster: {name: a}\nhosts:\n").what
    nobody = only("cluster: {name: a}\nhosts:\n  w1: 192.0.2.21\n")
    assert (nobody.where, nobody.what) == ("i.yaml:3:3", "hosts: no host is in the group control_plane")


OTHER_MODE = "remove it, or choose another mode"


@pytest.mark.parametrize(
    ("line", "column", "what", "todo"),
    [
        ("network: vxlann", 12, "cluster.network: not one of the accepted words", "did you mean 'vxlan'?"),
        ("network: 5", 12, "cluster.network: the wrong kind of value", ""),
        ("network: {mode: route}", 19, "cluster.network.mode: not one of the accepted words", "did you mean 'routed'?"),
        ("network: {mode: vxlan, prt: 1}", 26, "cluster.network.prt: unknown key", "did you mean 'port'?"),
        ("network: {mode: vxlan, vni: 0}", 31, "cluster.network.vni: out of range", ""),
        ("network: {vni: 7}", 18, "cluster.network.vni: means nothing for mode routed", OTHER_MODE),
        ("network: {mode: none, mtu: 1400}", 30, "cluster.network.mtu: means nothing for mode none", OTHER_MODE),
    ],
)  # fmt: skip
def test_a_slip_at_the_pod_network(line: str, column: int, what: str, todo: str) -> None:
    mistake = only(cluster(line))
    assert (mistake.where, mistake.what, mistake.todo) == (f"i.yaml:3:{column}", what, todo)


def test_a_pod_network_is_a_word_or_a_mapping() -> None:
    assert loaded(cluster()).cluster.network == NetworkSettings()
    assert loaded(cluster("network: none")).cluster.network == NetworkSettings(mode="none")
    whole = loaded(cluster("network: {mode: vxlan, vni: 7, port: 30800, mtu: 1370}"))
    assert whole.cluster.network == NetworkSettings(mode="vxlan", vni=7, port=30800, mtu=1370)
    assert [warning.what for warning in whole.warnings] == [
        "cluster.network.port: 30800 lies among the ports that Services of type NodePort are given"
    ]


def test_groups_are_checked_like_hosts() -> None:
    first, second = mistakes(cluster(hosts="groups:\n  workers: {}\n  worker: {labels: {a: 1}}\n" + HOSTS))
    assert (first.where, first.todo) == ("i.yaml:4:3", "did you mean 'worker'?")
    assert (second.where, second.what) == ("i.yaml:5:24", "groups.worker.labels.a: the wrong kind of value")


def test_all_mistakes_are_told_at_once_in_file_order() -> None:
    text = cluster(
        "kubernetes: 1.30", "dns_ip: 10.1.0.1", "extra_args: {etcd: {name: x}}", hosts="hosts:\n  W1: 1.2.3\n"
    )
    found = mistakes(text)
    assert [m.where for m in found] == ["i.yaml:3:15", "i.yaml:4:11", "i.yaml:5:29", "i.yaml:7:3", "i.yaml:7:7"]
    with pytest.raises(InventoryError) as caught:
        loaded(text)
    assert str(caught.value).startswith("i.yaml: the inventory has 5 mistakes\ni.yaml:3:15: cluster.kubernetes: ")


def test_one_slip_is_told_once() -> None:
    """A wrong network does not drag the checks that need it along."""
    assert only(cluster("pod_cidr: 10.244.0.0", "pod_cidr_node_prefix: 24")).where == "i.yaml:3:13"
    assert only(cluster("service_cidr: x", "dns_ip: 10.1.1.1")).where == "i.yaml:3:17"


def test_versions_come_from_the_given_resolver() -> None:
    def resolve(kubernetes: str, overrides: object) -> dict[str, str]:
        if kubernetes != "1.36":
            raise ArtifactError("unknown", needed="1.36", todo="write 1.36")
        return {"kubernetes": "1.36.9"}

    assert parse(cluster('kubernetes: "1.36"'), path=FILE, resolve=resolve).cluster.versions["kubernetes"] == "1.36.9"
    with pytest.raises(InventoryError) as caught:
        parse(cluster('kubernetes: "1.35"'), path=FILE, resolve=resolve)
    assert [(m.where, m.todo) for m in caught.value.mistakes] == [("i.yaml:3:15", "write 1.36")]


def test_a_proper_host_key_is_kept() -> None:
    blob = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x20" + bytes(32)).decode()
    host = loaded(with_hosts(f"w1: {{address: 192.0.2.21, host_key: ssh-ed25519 {blob} root@w1}}")).cluster.host("w1")
    assert host.connection.host_key == f"ssh-ed25519 {blob}"


def test_extra_args_take_every_component_that_takes_flags() -> None:
    """A component whose record has `flags` must be named in schema.Component, or nobody can write any."""
    assert set(get_args(schema.Component)) == {one.name for one in COMPONENTS if one.flags is not None}


def test_warnings_stand_beside_the_cluster() -> None:
    even = loaded(cluster(hosts=HOSTS + "  cp2: {address: 192.0.2.12, group: control_plane}\n")).warnings
    assert [str(w).splitlines()[0] for w in even] == [
        "i.yaml:3:1: hosts: 2 etcd members survive the loss of 0, no more than 1 would"
    ]
    lonely = loaded("cluster: {name: a}\nhosts:\n  cp1: {address: 192.0.2.11, group: control_plane}\n").warnings
    assert [w.where for w in lonely] == ["i.yaml:2:1"]
    assert "no host is a worker" in lonely[0].what
    tight = loaded(cluster("pod_cidr_node_prefix: 26")).warnings
    assert [w.where for w in tight] == ["i.yaml:3:3"]
    assert "61 pods" in tight[0].what
    assert not loaded(cluster("pod_cidr_node_prefix: 26", "kubelet: {maxPods: 50}")).warnings
    assert not loaded(cluster()).warnings


def test_lines_of_settings_and_hosts() -> None:
    lines = loaded(cluster("user: root")).source_lines
    assert lines["cluster.user"] == 3
    assert lines["hosts.w1"] == 6


def test_nothing_of_ssh_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "i.yaml"
    path.write_text(cluster())
    program = (
        "import sys; from pathlib import Path; from kprov.inventory import load; load(Path(sys.argv[1])); "
        "print(sorted({'paramiko', 'fabric', 'cryptography', 'jinja2', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
