"""Variables of cluster, groups and hosts put together: who wins, what adds up, what clashes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from inventory_text import cluster, loaded, only, with_hosts

from kprov.inventory import load
from kprov.values.backup_place import S3Address
from kprov.values.model import PkiSettings, Taint

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPzmKNrYJxWpMWQbnYwGPgGpRdzhPgZEUYIoVQ8NuwQE"
RECIPIENT = "age1cm9y6taene5cvxvgd86lqstfher8ym0emu5znkpdqvtqzuautf6qmq8g9x"
CONTROL_PLANE = Taint(key="node-role.kubernetes.io/control-plane", effect="NoSchedule")


def test_the_plain_inventory_has_the_documented_defaults() -> None:
    made = loaded(cluster()).cluster
    assert made.name == "test"
    assert made.versions["kubernetes"].count(".") == 2
    assert (made.pod_cidr, made.service_cidr) == (IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"))
    assert made.dns_ip == IPv4Address("10.96.0.10")
    assert made.pki == PkiSettings()
    assert dict(made.coredns) == {"replicas": 2}
    assert dict(made.etcd) == {"quota_bytes": 8 * 2**30, "heartbeat_ms": 100, "election_ms": 1000}
    plane, worker = made.hosts
    assert plane.groups == {"control_plane", "etcd"}
    assert worker.groups == {"worker"}
    assert plane.connection.become is True
    assert plane.connection.user is None


def test_every_cluster_setting_arrives() -> None:
    made = loaded(
        cluster(
            'kubernetes: "1.36"',
            'versions: {containerd: "2.3.6"}',
            "domain: k8s.example.org",
            "pod_cidr: 10.100.0.0/16",
            "pod_cidr_node_prefix: 25",
            "service_cidr: 10.200.0.0/20",
            "api_endpoint: api.example.org:6443",
            "api_sans: [api.example.org, 203.0.113.5, api.example.org]",
            "kube_proxy_mode: iptables",
            "swap: keep",
            "allow_cgroup_v1: true",
            "pki: {algorithm: rsa-2048, ca_days: 100, leaf_days: 50, renew_before_days: 10}",
            "artifacts: {delivery: push, mirror: 'https://mirror.example.org/k8s/', source: modules}",
            "coredns: {replicas: 3}",
            "etcd: {heartbeat_ms: 200, election_ms: 2000}",
            "preflight_ignore: [swap]",
            f"backup: {{to: store, recipients: [{RECIPIENT}]}}",
        )
    ).cluster
    assert made.versions["kubernetes"].startswith("1.36.")
    assert made.versions["containerd"] == "2.3.6"
    assert made.domain == "k8s.example.org"
    assert (made.pod_cidr, made.pod_cidr_node_prefix) == (IPv4Network("10.100.0.0/16"), 25)
    assert made.dns_ip == IPv4Address("10.200.0.10")
    assert made.api_endpoint == "api.example.org:6443"
    assert made.api_sans == ("api.example.org", "203.0.113.5")
    assert (made.kube_proxy_mode, made.swap, made.allow_cgroup_v1) == ("iptables", "keep", True)
    assert made.pki == PkiSettings(algorithm="rsa-2048", ca_days=100, leaf_days=50, renew_before_days=10)
    assert (made.artifacts.delivery, made.artifacts.source) == ("push", "modules")
    assert made.artifacts.mirror == "https://mirror.example.org/k8s"
    assert (made.coredns["replicas"], made.etcd["heartbeat_ms"]) == (3, 200)
    assert made.preflight_ignore == ("swap",)
    assert isinstance(made.backup.to, Path)
    assert made.backup.to.is_absolute()
    assert (made.backup.to.name, made.backup.recipients) == ("store", (RECIPIENT,))


def test_backups_may_go_to_a_store() -> None:
    made = loaded(
        cluster(
            "backup: {to: 's3://bucket/prod', s3: {endpoint: 'https://store.example.org:9000', region: eu-1, ca: ca.pem, "
            f"credentials: keys}}, sftp: {{key: id, host_key: {HOST_KEY}}}}}",
        )
    ).cluster.backup
    assert made.to == S3Address(bucket="bucket", prefix="prod/")
    assert (made.s3.endpoint, made.s3.region) == ("https://store.example.org:9000", "eu-1")
    for path, name in ((made.s3.ca, "ca.pem"), (made.s3.credentials, "keys"), (made.sftp.key, "id")):
        assert path is not None
        assert (path.is_absolute(), path.name) == (True, name)
    assert made.sftp.host_key == HOST_KEY


def test_the_nearest_to_the_host_wins_and_mappings_add_up() -> None:
    hosts = """\
groups:
  worker:
    user: group
    labels: {a: group, b: group}
    kubelet: {maxPods: 50, evictionHard: {memory.available: 200Mi}}
    extra_args: {kubelet: {v: 3}}
hosts:
  cp1: {address: 192.0.2.11, group: control_plane}
  w1: {address: 192.0.2.21, user: own, labels: {b: host}, kubelet: {evictionHard: {nodefs.available: 5%}}}
  w2: 192.0.2.22
"""
    made = loaded(
        cluster(
            "user: all",
            "port: 2222",
            "labels: {a: all, c: all}",
            "extra_args: {kubelet: {v: 1, pod-manifest-path: x}}",
            hosts=hosts,
        )
    ).cluster
    plane, own, plain = made.hosts
    assert [host.connection.user for host in made.hosts] == ["all", "own", "group"]
    assert {host.connection.port for host in made.hosts} == {2222}
    role = {"node-role.kubernetes.io/worker": ""}
    assert own.labels == {**role, "a": "group", "b": "host", "c": "all"}
    assert plain.labels == {**role, "a": "group", "b": "group", "c": "all"}
    assert plane.labels == {"node-role.kubernetes.io/control-plane": "", "a": "all", "c": "all"}
    assert own.kubelet == {"maxPods": 50, "evictionHard": {"memory.available": "200Mi", "nodefs.available": "5%"}}
    assert own.extra_args["kubelet"] == {"v": "3", "pod-manifest-path": "x"}
    assert plane.extra_args["kubelet"] == {"v": "1", "pod-manifest-path": "x"}


def test_switches_can_be_turned_off_nearer_to_the_host() -> None:
    text = with_hosts("w1: {address: 192.0.2.21, become: false}")
    assert [host.connection.become for host in loaded(text).cluster.hosts] == [True, False]


def test_taints_add_up_by_key_and_effect() -> None:
    hosts = """\
groups:
  worker: {taints: ["a=group:NoSchedule", "b:NoExecute"]}
hosts:
  cp1: {address: 192.0.2.11, group: control_plane}
  both: {address: 192.0.2.12, groups: [control_plane, worker]}
  w1: {address: 192.0.2.21, taints: ["a=own:NoSchedule", "a:NoExecute"]}
"""
    plane, both, worker = loaded(cluster('taints: ["x.example.org/y=z:PreferNoSchedule"]', hosts=hosts)).cluster.hosts
    common = Taint(key="x.example.org/y", value="z", effect="PreferNoSchedule")
    assert plane.taints == (CONTROL_PLANE, common)
    assert CONTROL_PLANE not in both.taints
    assert worker.taints == (
        common,
        Taint(key="a", value="own", effect="NoSchedule"),
        Taint(key="b", effect="NoExecute"),
        Taint(key="a", effect="NoExecute"),
    )


GROUPS = """\
groups:
  control_plane: {{user: one, labels: {{a: b}}, taints: ["t=1:NoSchedule"]}}
  worker: {worker}
hosts:
  both: {{address: 192.0.2.11, groups: [control_plane, worker]{own}}}
"""


@pytest.mark.parametrize(
    ("worker", "column", "path"),
    [
        ("{user: two}", 18, "user"),
        ("{labels: {a: c}}", 24, "labels.a"),
        ("{taints: ['t=2:NoSchedule']}", 20, "taints.t:NoSchedule"),
    ],
)
def test_two_groups_of_a_host_that_disagree(worker: str, column: int, path: str) -> None:
    mistake = only(cluster(hosts=GROUPS.format(worker=worker, own="")))
    assert mistake.where == f"i.yaml:5:{column}"
    assert mistake.what == f"groups.worker.{path}: group control_plane says otherwise, and host both is in both"


def test_a_host_may_settle_what_its_groups_disagree_on() -> None:
    host = loaded(cluster(hosts=GROUPS.format(worker="{user: two}", own=", user: own"))).cluster.hosts[0]
    assert host.connection.user == "own"


def test_groups_that_agree_do_not_clash() -> None:
    host = loaded(cluster(hosts=GROUPS.format(worker="{user: one, labels: {a: b}}", own=""))).cluster.hosts[0]
    assert host.connection.user == "one"


def test_stacked_control_planes_get_the_variables_of_etcd() -> None:
    hosts = "groups:\n  etcd: {labels: {disk: fast}}\nhosts:\n  cp1: {address: 192.0.2.11, group: control_plane}\n"
    assert loaded(cluster(hosts=hosts)).cluster.hosts[0].labels["disk"] == "fast"


def test_control_planes_are_no_members_when_etcd_has_hosts() -> None:
    made = loaded(with_hosts("e1: {address: 192.0.2.31, group: etcd}", "w1: 192.0.2.21")).cluster
    assert [host.name for host in made.group("etcd")] == ["e1"]
    assert not made.host("e1").is_node


def test_paths_start_at_the_folder_of_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    path = tmp_path / "i.yaml"
    path.write_text(cluster())
    assert load(path).cluster.templates_dir == tmp_path / "templates"
    (tmp_path / "templates").rmdir()
    path.write_text(cluster("key: keys/id", "jump: me@bastion.example.org:2222"))
    made = load(path).cluster
    assert made.templates_dir is None
    assert made.hosts[0].connection.key == tmp_path / "keys" / "id"
    assert made.hosts[0].connection.jump == "me@bastion.example.org:2222"
    for several in ("jump: [me@a, 'b:2222']", "jump: me@a, b:2222", "jump: 'me@a,b:2222'"):
        path.write_text(cluster(several))
        assert load(path).cluster.hosts[0].connection.jump == "me@a,b:2222"
    path.write_text(cluster("key: ~/.ssh/id"))
    assert load(path).cluster.hosts[0].connection.key == Path("~/.ssh/id").expanduser()


def test_values_cannot_be_written_to() -> None:
    host = loaded(cluster("kubelet: {maxPods: 3}")).cluster.hosts[0]
    with pytest.raises(TypeError):
        host.kubelet["maxPods"] = 4  # type: ignore[index]
    with pytest.raises(AttributeError):
        host.name = "x"  # type: ignore[misc]
