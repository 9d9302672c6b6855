"""Whole runs on a cluster that lives: an edit that cannot be is refused with nothing sent; taken back, all is in sync."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from inventory_text import loaded
from obedient import Machine, Obedient
from test_cost import content as content  # the fixture: what binaries and images consist of

from kprov.artifacts.progress import Silent
from kprov.observe.probe import PROBE_COMMAND
from kprov.roles.api_server import ENCRYPTION
from kprov.run.status import look
from kprov.run.up import Prepared, apply, prepare
from kprov.run.workspace import Options, Workspace
from kprov.state.store import Store
from kprov.transport.fake import FakeTransport
from kprov.values.api_settings import ApiSettings, EncryptionSettings
from kprov.values.errors import PreflightError
from kprov.values.model import Cluster
from kprov.values.secret import Secret

HOSTS = {"cp1": "control_plane", "cp2": "control_plane", "cp3": "control_plane", "w1": "worker"}
Edit = Callable[[Cluster], Cluster]


@dataclass(frozen=True, kw_only=True)
class Site:
    folder: Path
    hosts: Obedient
    cluster: Cluster

    def run(
        self, cluster: Cluster, limit: frozenset[str] | None = None, recreate: frozenset[str] = frozenset()
    ) -> tuple[Prepared, FakeTransport]:
        """`up`, which ends well."""
        transport = FakeTransport(handler=self.hosts.answer)
        workspace = self.workspace(cluster, transport, Options(limit=limit, recreate=recreate))
        with prepare(workspace, draft=False) as prepared:
            assert apply(workspace, prepared).failures == ()
        return prepared, transport

    def workspace(self, cluster: Cluster, transport: FakeTransport, options: Options) -> Workspace:
        return Workspace(
            cluster=cluster,
            store=Store.open(self.folder / "state", cluster.name),
            transport=transport,
            cache=self.folder,
            lock_file=None,
            emit=lambda _: None,
            progress=Silent(),
            options=options,
            places={"cluster": "i.yaml:1", "cluster.domain": "i.yaml:7"},
        )


def written(folder: Path, groups: Mapping[str, str] = HOSTS, **addons: Any) -> Cluster:
    hosts = {
        name: {"address": f"192.0.2.{number}", "groups": [group]}
        for number, (name, group) in enumerate(groups.items(), 11)
    }
    keys = {"name": "lives", "addons": {"metrics-server": False, **addons}}
    return loaded(yaml.safe_dump({"cluster": keys, "hosts": hosts}), path=folder / "inventory.yaml").cluster


@pytest.fixture
def site(content: Path, tmp_path: Path) -> Site:
    made = Site(folder=tmp_path, hosts=Obedient(), cluster=written(tmp_path))
    made.run(made.cluster)
    return made


def host(name: str, **values: Any) -> Edit:
    return lambda cluster: replace(
        cluster, hosts=tuple(replace(one, **values) if one.name == name else one for one in cluster.hosts)
    )


EDITS: Mapping[str, Edit] = {
    "cluster.domain": lambda cluster: replace(cluster, domain="example.org"),
    "cluster.pod_cidr": lambda cluster: replace(cluster, pod_cidr=IPv4Network("10.64.0.0/16")),
    "cluster.service_cidr": lambda cluster: replace(
        cluster, service_cidr=IPv4Network("10.97.0.0/16"), dns_ip=IPv4Address("10.97.0.10")
    ),
    "cluster.dns_ip": lambda cluster: replace(cluster, dns_ip=IPv4Address("10.96.0.53")),
    "hosts.w1.pod_cidr": host("w1", pod_cidr=IPv4Network("10.244.99.0/24")),
    "hosts.cp1.node_ip": host("cp1", node_ip=IPv4Address("192.0.2.99")),
}


@pytest.mark.parametrize("limit", [None, frozenset({"w1"})])
def test_what_cannot_change_ends_a_run_with_nothing_sent(site: Site, limit: frozenset[str] | None) -> None:
    for key, edit in EDITS.items():
        sent: list[str] = []
        answer = site.hosts.answer

        def counted(*call: Any, sent: list[str] = sent, answer: Any = answer) -> Any:
            sent.append(call[1])
            return answer(*call)

        watched = replace(site, hosts=site.hosts)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(site.hosts, "answer", counted)
            with pytest.raises(PreflightError, match="nothing was touched") as caught:
                watched.run(edit(site.cluster), limit)
        assert f"at:     i.yaml:{7 if key == 'cluster.domain' else 1} ({key}" in str(caught.value) or "hosts." in key
        assert key in str(caught.value)
        assert set(sent) == {PROBE_COMMAND}
    prepared, transport = site.run(site.cluster)
    assert prepared.plan.settled
    assert {call.command for call in transport.calls} == {PROBE_COMMAND}


def test_another_control_plane_is_asked_before_the_checks_when_the_first_cannot_list_objects(site: Site) -> None:
    site.hosts.machines["cp1"].units.pop("kube-apiserver.service")
    with pytest.raises(PreflightError) as caught:
        site.run(EDITS["hosts.w1.pod_cidr"](site.cluster))
    assert "(Node object)" in str(caught.value)
    prepared, transport = site.run(site.cluster, frozenset({"w1"}))
    assert prepared.plan.objects_known
    assert {name: transport.counters[name].execs for name in HOSTS} == {"cp1": 1, "cp2": 2, "cp3": 1, "w1": 1}


def test_a_record_that_is_wrong_everywhere_does_not_win_over_the_nodes(site: Site) -> None:
    """As a run that wrote it, and was refused by the API server, left it behind."""
    for machine in site.hosts.machines.values():
        machine.contents["/etc/kprov/pod-cidrs"] = b"w1 10.244.99.0/24\n"
        machine.sums["/etc/kprov/pod-cidrs"] = "0" * 64
    prepared, _ = site.run(site.cluster)
    assert not prepared.plan.settled
    assert b"w1 10.244.3.0/24" in site.hosts.machines["cp1"].contents["/etc/kprov/pod-cidrs"]
    assert site.run(site.cluster)[0].plan.settled


def test_when_another_run_ended_in_between_the_objects_are_asked_for_again(site: Site) -> None:
    transport = FakeTransport(handler=site.hosts.answer)
    workspace = Workspace(
        cluster=replace(site.cluster, coredns={"replicas": 3}),
        store=Store.open(site.folder / "state", site.cluster.name),
        transport=transport,
        cache=site.folder,
        lock_file=None,
        emit=lambda _: None,
        progress=Silent(),
    )
    with prepare(workspace, draft=False) as prepared:
        for machine in site.hosts.machines.values():
            machine.generation = "another run's"
        outcome = apply(workspace, prepared)
    assert outcome.failures == ()
    assert outcome.plan is not prepared.plan
    assert outcome.plan.objects_known


def test_a_firewall_before_a_new_host_is_told_with_nothing_sent(content: Path, tmp_path: Path) -> None:
    hosts = Obedient()
    for number, name in enumerate(HOSTS, 1):
        hosts.machines[name] = Machine(number=number)
    hosts.machines["cp1"].says = ("knock\t192.0.2.14 10250\tno answer", "knock\t192.0.2.12 2380\topen")
    site = Site(folder=tmp_path, hosts=hosts, cluster=written(tmp_path))
    with pytest.raises(PreflightError, match=r"port 10250 \(kubelet\) from cp1: no answer"):
        site.run(site.cluster)
    assert not any(machine.records for machine in hosts.machines.values())
    hosts.machines["cp1"].says = ()
    site.run(site.cluster)


def test_a_field_of_an_add_on_that_nobody_can_change_is_refused_before_anything_is_sent(site: Site) -> None:
    site.run(written(site.folder, storage={"reclaim": "Delete"}))
    objects = dict(site.hosts.objects)
    other = written(site.folder, storage={"reclaim": "Retain"})
    with pytest.raises(
        PreflightError, match="StorageClass local-path of the add-on storage cannot be changed in place"
    ):
        site.run(other)
    assert site.hosts.objects == objects
    assert not site.run(other, recreate=frozenset({"storage"}))[0].plan.empty


def with_key(folder: Path, name: str) -> Edit:
    secret = {"name": name, "secret": Secret("S0VZ")}
    settings = EncryptionSettings(resources=("secrets",), providers=({"aesgcm": {"keys": [secret]}},))
    return lambda cluster: replace(cluster, api=ApiSettings(encryption=settings))


def providers(site: Site, host: str) -> list[str]:
    text = site.hosts.machines[host].contents[ENCRYPTION]
    rows = yaml.safe_load(text)["resources"][0]["providers"]
    return [row["aesgcm"]["keys"][0]["name"] if "aesgcm" in row else next(iter(row)) for row in rows]


def encrypted_by(site: Site) -> str:
    return Store.open(site.folder / "state", site.cluster.name).trust().encrypted_by


def test_another_key_is_kept_in_the_folder_when_every_object_is_written_by_it(site: Site) -> None:
    assert encrypted_by(site) == ""
    first = with_key(site.folder, "one")(site.cluster)
    site.run(first)
    assert providers(site, "cp1") == providers(site, "cp3") == ["one", "secretbox", "identity"]
    assert '"one"' in encrypted_by(site)
    prepared, _ = site.run(first)
    assert prepared.plan.settled
    site.run(with_key(site.folder, "two")(site.cluster))
    assert providers(site, "cp2") == ["two", "secretbox", "identity"]
    assert '"one"' not in encrypted_by(site)


def test_a_run_for_some_hosts_lets_them_read_the_new_key_and_keeps_the_old_one(site: Site) -> None:
    changed = with_key(site.folder, "one")(site.cluster)
    site.run(changed, limit=frozenset({"cp1"}))
    assert providers(site, "cp1") == ["secretbox", "one", "identity"]
    assert providers(site, "cp2") == ["secretbox", "identity"]
    assert encrypted_by(site) == ""
    site.run(changed)
    assert providers(site, "cp1") == providers(site, "cp2") == ["one", "secretbox", "identity"]


def with_kms(cluster: Cluster, *resources: str) -> Cluster:
    kms = {"kms": {"apiVersion": "v2", "name": "own", "endpoint": "unix:///run/kms/own.sock"}}
    settings = EncryptionSettings(resources=resources, providers=(kms,))
    return replace(cluster, api=ApiSettings(encryption=settings))


def test_a_kms_that_is_away_is_told_of_each_api_server_in_one_exec_a_host(site: Site) -> None:
    cluster = with_kms(site.cluster, "secrets", "configmaps")
    site.run(cluster)
    away = base64.b64encode(b"kms-provider-0: rpc error: code = Unavailable").decode()
    for name in ("cp1", "cp3"):
        site.hosts.machines[name].says = (f"kms\tfailing\t{away}",)
    prepared, transport = site.run(cluster)
    assert {(finding.name, finding.host) for finding in prepared.plan.findings} >= {
        ("KmsPlugin", "cp1"),
        ("KmsPlugin", "cp3"),
    }
    assert {transport.counters[name].execs for name in HOSTS} == {1}
    assert about_kms(transport) == {"cp1", "cp2", "cp3"}
    transport = FakeTransport(handler=site.hosts.answer)
    seen = look(site.workspace(cluster, transport, Options())).observations
    assert {name for name in HOSTS if seen[name].kms} == {"cp1", "cp3"}
    assert about_kms(transport) == {"cp1", "cp2", "cp3"}
    assert {transport.counters[name].execs for name in HOSTS} == {1}
    _, transport = site.run(site.cluster)  # objects are read by it still
    assert about_kms(transport) == {"cp1", "cp2", "cp3"}
    assert about_kms(site.run(site.cluster)[1]) == set()


def about_kms(transport: FakeTransport) -> set[str]:
    """Who was asked about a KMS."""
    probes = (call for call in transport.calls if call.command == PROBE_COMMAND)
    return {call.host for call in probes if b"\nkms\t" in gzip.decompress(call.stdin)}


def test_a_new_cluster_begins_with_the_key_that_is_given(content: Path, tmp_path: Path) -> None:
    made = Site(folder=tmp_path, hosts=Obedient(), cluster=with_key(tmp_path, "one")(written(tmp_path)))
    made.run(made.cluster)
    assert providers(made, "cp1") == ["one", "secretbox", "identity"]
    assert '"one"' in encrypted_by(made)
