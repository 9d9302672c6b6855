"""The plan of a whole cluster, with the real roles: first run, settled run, growth."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from observed import FACTS, in_order, record

sys.path.append(str(Path(__file__).parents[2] / "roles"))
from given import context

from kprov.addon.choose import by_name
from kprov.objects.listing import list_object
from kprov.objects.objects import identity, stamped
from kprov.observe.observation import EtcdMember, EtcdView, Observation, Record
from kprov.pki.authority import CertificateAuthority
from kprov.plan.cluster import Inputs, desired_of_hosts, plan_cluster
from kprov.plan.stages import STAGES
from kprov.values.certificate import AUTHORITIES
from kprov.values.components import COMPONENTS
from kprov.values.context import Trust
from kprov.values.model import Interface
from kprov.values.paths import CPU_STATE, KUBELET_CONFIG, POD_CIDRS
from kprov.values.resources import File

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOSTS = {"cp1": {"groups": ["etcd", "control_plane"]}, "w1": {"groups": ["worker"]}}


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    given = context({"hosts": HOSTS})
    ca = {name: CertificateAuthority.generate(name, "ecdsa-p256", 3650, NOW).cert_pem for name in AUTHORITIES}
    trust = Trust(
        bundle=ca,
        issuer=ca,
        service_account_key=given.trust.service_account_key,
        service_account_public=given.trust.service_account_public,
        encryption_key=given.trust.encryption_key,
    )
    artifacts = {
        key: replace(artifact, reference=f"kprov.local/{artifact.name}:1") if key[0].startswith("image-") else artifact
        for key, artifact in given.artifacts.items()
    }
    return Inputs(cluster=given.cluster, trust=trust, artifacts=artifacts, now=NOW)


def fresh(inputs: Inputs) -> dict[str, Observation]:
    found = {}
    for number, host in enumerate(inputs.cluster.hosts, start=1):
        interface = Interface(name="eth0", mtu=1500, addresses=(f"192.0.2.{number}/24",))
        facts = replace(FACTS, hostname=host.name, interfaces=(interface,), default_address=f"192.0.2.{number}")
        found[host.name] = Observation(facts=facts)
    return found


def test_a_first_plan_founds_etcd_and_creates_everything(inputs: Inputs) -> None:
    plan = plan_cluster(inputs, fresh(inputs))
    assert plan.membership.bootstrap == ("cp1",)
    assert not plan.objects_known
    assert not plan.empty
    assert {change.identity[1] for change in plan.objects} >= {"Node", "Deployment", "ClusterRoleBinding"}
    units = {restart.unit.name for restart in plan.hosts["w1"].restarts}
    assert "kubelet.service" in units
    assert "kube-apiserver.service" not in units
    stages = [stage.name for stage in STAGES]
    order = [stages.index(change.stage) for change in plan.hosts["cp1"].changes]
    assert order == sorted(order)


def test_a_settled_cluster_has_an_empty_plan(inputs: Inputs) -> None:
    seen = fresh(inputs)
    first = plan_cluster(inputs, seen)
    desired = desired_of_hosts(inputs, seen)
    member = EtcdMember(id="1", name="cp1", peer_urls=(first.peers[0].peer_url,), learner=False)
    settled = {
        name: replace(in_order(desired[name], first.hosts[name]), facts=observation.facts)
        for name, observation in seen.items()
    }
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    listing = stamped(list_object(map(identity, first.desired_objects)))
    live = (listing, *({**item, "status": ready} for item in first.desired_objects))
    settled["cp1"] = replace(settled["cp1"], etcd=EtcdView(has_data=True, members=(member,)), objects=live)
    plan = plan_cluster(inputs, settled)
    assert plan.membership.empty
    assert plan.objects == ()
    assert plan.not_ready == ()
    # Certificates and images are compared by what a host holds, which this picture of one leaves out.
    kinds = {change.key[0] for host in plan.hosts.values() for change in host.changes}
    assert kinds <= {"certificate", "image", "module", "package", "user", "swap"}
    certificates = {leaf.paths[0] for component in COMPONENTS for leaf in component.leaves}
    restarts = [restart.unit for host in plan.hosts.values() for restart in host.restarts]
    assert [unit.name for unit in restarts if not unit.reads & certificates] == []


THREE = {name: {"groups": ["etcd", "control_plane"]} for name in ("cp1", "cp2", "cp3")} | {"w1": {"groups": ["worker"]}}


def members(*addresses: str) -> tuple[EtcdMember, ...]:
    return tuple(
        EtcdMember(id=str(number), name=f"cp{number}", peer_urls=(f"https://{address}:2380",), learner=False)
        for number, address in enumerate(addresses, start=1)
    )


def without_cp2(inputs: Inputs, reached_at: str) -> tuple[Inputs, dict[str, Observation]]:
    """Three control planes of which the second does not answer; how the operator reaches it is its own affair."""
    hosts = context({"hosts": {**THREE, "cp2": {**THREE["cp2"], "connection": {"address": reached_at}}}}).cluster.hosts
    three = replace(inputs, cluster=replace(inputs.cluster, hosts=hosts))
    seen = fresh(three)
    del seen["cp2"]
    return three, seen


def unit(inputs: Inputs, seen: dict[str, Observation], host: str, name: str) -> str:
    desired = desired_of_hosts(inputs, seen)
    return next(
        item.content.decode() for items in desired[host].values() for item in items if item.key == ("unit", name)
    )


@pytest.mark.parametrize("reached_at", ["192.0.2.2", "203.0.113.7", "cp2.example.org"])
def test_a_control_plane_that_does_not_answer_keeps_its_place(inputs: Inputs, reached_at: str) -> None:
    """Beside --limit: what its peers know of it counts, and not the way the operator takes to it."""
    three, seen = without_cp2(inputs, reached_at)
    view = EtcdView(has_data=True, members=members("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    for name in ("cp1", "cp3"):
        seen[name] = replace(seen[name], etcd=view)
    plan = plan_cluster(three, seen)
    assert plan.membership.empty
    assert [peer.peer_url for peer in plan.peers] == [f"https://192.0.2.{number}:2380" for number in (1, 2, 3)]
    servers = ",".join(f"https://192.0.2.{number}:2379" for number in (1, 2, 3))
    assert f"--etcd-servers={servers}" in unit(three, seen, "cp1", "kube-apiserver.service")


def test_a_nodes_address_is_what_the_cluster_says_when_it_does_not_answer(inputs: Inputs) -> None:
    three, seen = without_cp2(inputs, "cp2.example.org")
    address = {"type": "InternalIP", "address": "192.0.2.2"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp2"}, "status": {"addresses": [address]}}
    stopped = {name: replace(one, etcd=EtcdView(has_data=True)) for name, one in seen.items()}
    seen |= {**stopped, "cp1": replace(stopped["cp1"], objects=(node,))}
    assert plan_cluster(three, seen).peers[1].client_url == "https://192.0.2.2:2379"


def test_a_folder_with_data_that_goes_is_known_to_the_whole_cluster(inputs: Inputs) -> None:
    seen = fresh(inputs)
    key = ("directory", "/var/lib/volumes")
    record = Record(kind="directory", name="/var/lib/volumes", value="data", stat="", before="absent")
    seen["w1"] = replace(seen["w1"], records={key: record})
    assert plan_cluster(inputs, seen).leaving_data == ()
    assert plan_cluster(replace(inputs, delete_data=True), seen).leaving_data == ("/var/lib/volumes",)


def test_a_host_that_no_run_has_seen_well_is_waited_for_and_only_of_those_asked_for(inputs: Inputs) -> None:
    observations = {
        name: replace(seen, records=dict([record("file", "/etc/x")]), generation="g")
        for name, seen in fresh(inputs).items()
    }
    observations["cp1"] = replace(observations["cp1"], well=dict.fromkeys(observations, "g") | {"w1": "older"})
    plan = plan_cluster(inputs, observations)
    assert plan.unproven == ("w1",)
    assert not plan.settled
    assert plan.limited(frozenset({"w1"})).unproven == ("w1",)
    assert plan.limited(frozenset({"cp1"})).unproven == ()


def test_a_node_that_is_not_ready_is_told(inputs: Inputs) -> None:
    seen = fresh(inputs)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1"}, "status": {"conditions": []}}
    seen["cp1"] = replace(seen["cp1"], objects=(node,))
    assert plan_cluster(inputs, seen).not_ready == ("cp1", "w1")


def test_an_add_on_that_is_not_ready_is_told_and_waited_for(inputs: Inputs) -> None:
    seen = fresh(inputs)
    with_metrics = replace(inputs, cluster=replace(inputs.cluster, addons=by_name(["metrics-server"])))
    assert plan_cluster(with_metrics, seen).unready == ()  # nobody could be asked: all of it is applied and waited for
    seen["cp1"] = replace(seen["cp1"], objects=())
    assert plan_cluster(with_metrics, seen).unready == ()  # it is made, and waited for because of that
    (front,) = (one for one in plan_cluster(with_metrics, seen).addons[0].objects if one["kind"] == "APIService")
    seen["cp1"] = replace(seen["cp1"], objects=({**front, "status": {}},))
    plan = plan_cluster(with_metrics, seen)
    assert [row.row for row in plan.unready] == ["apiservice/v1beta1.metrics.k8s.io"]
    assert not plan.settled


def test_a_kubelet_with_another_cpu_policy_begins_anew_on_an_empty_node(inputs: Inputs) -> None:
    """The policy is new; the state file of the old one goes while kubelet stands still, when the pods have left."""
    seen = fresh(inputs)
    desired = desired_of_hosts(inputs, seen)
    first = plan_cluster(inputs, seen)
    lived = in_order(desired["w1"], first.hosts["w1"])
    config = next(item for item in desired["w1"]["node"] if isinstance(item, File) and item.path == KUBELET_CONFIG)
    texts = {KUBELET_CONFIG: config.content, CPU_STATE: b'{"policyName": "none", "defaultCpuSet": ""}'}
    seen["w1"] = replace(lived, facts=seen["w1"].facts, texts=texts, versions={"kubelet": "Kubernetes v1.37.2"})
    seen["cp1"] = replace(seen["cp1"], etcd=EtcdView(has_data=True))
    hosts = [
        replace(host, kubelet={"cpuManagerPolicy": "static", "kubeReserved": {"cpu": "100m"}})
        for host in inputs.cluster.hosts
    ]
    plan = plan_cluster(replace(inputs, cluster=replace(inputs.cluster, hosts=tuple(hosts))), seen)
    assert plan.upgrades.drain == ("w1",)
    (restart,) = [item for item in plan.hosts["w1"].restarts if item.unit.name == "kubelet.service"]
    assert (restart.stage, restart.clears) == ("upgrade", (CPU_STATE,))


def test_a_joining_host_gets_no_network_that_a_node_has(inputs: Inputs) -> None:
    """Whatever hosts have on record: what a Node has counts."""
    seen = fresh(inputs)
    desired = plan_cluster(inputs, seen).desired_objects
    nodes = tuple(item for item in desired if item["kind"] == "Node" and item["metadata"]["name"] == "w1")
    moved = tuple({**item, "spec": {**item["spec"], "podCIDR": "10.244.0.0/23"}} for item in nodes)
    seen["cp1"] = replace(seen["cp1"], objects=moved)
    seen["w1"] = replace(
        seen["w1"], records=dict([record("file", POD_CIDRS)]), texts={POD_CIDRS: b"w1 10.244.9.0/24\n"}
    )
    found = plan_cluster(inputs, seen).desired_objects
    networks = {item["metadata"]["name"]: item["spec"]["podCIDR"] for item in found if item["kind"] == "Node"}
    assert networks == {"cp1": "10.244.2.0/24", "w1": "10.244.0.0/23"}


@pytest.mark.parametrize(
    ("runs", "steps"),
    [
        ({}, ()),
        ({"kube-apiserver": "Kubernetes v1.37.1", "etcd": "etcd Version: 3.7.1"}, ()),
        (
            {"kube-apiserver": "Kubernetes v1.36.3", "etcd": "etcd Version: 3.6.14"},
            ("Kubernetes 1.36 → 1.37", "etcd 3.6 → 3.7"),
        ),
    ],
)
def test_a_step_to_another_minor_version_is_known(inputs: Inputs, runs: dict[str, str], steps: tuple[str, ...]) -> None:
    seen = fresh(inputs)
    plan = plan_cluster(inputs, {**seen, "cp1": replace(seen["cp1"], versions=runs)})
    assert (plan.steps, plan.servers) == (steps, {"cp1": "https://192.0.2.1:6443"})
