"""The real cloud controller of AWS against a mock of its API: nodes, load balancers, machines that are gone.

The controllers of other clouds are not run: the API server is asked whether it would take their objects.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_mock import KEY_ID, REGION, SECRET_KEY, TYPE, ZONE, Aws, mocked
from lab_cluster import LabCluster, until

from kprov.addon.choose import chosen
from kprov.addon.describe import shelf
from kprov.addon.desired import image_references
from kprov.addon.render import Surroundings, rendered
from kprov.lab import machines
from kprov.values.secret import Secret
from kprov.values.yaml_text import dump_all

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
OWN = Path(__file__).parent / "own_cloud"
TAINT = "node.cloudprovider.kubernetes.io/uninitialized"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    name = "cld-aws"
    made = LabCluster(name, tmp_path_factory.mktemp(name), HOSTS)
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def aws(cluster: LabCluster) -> Iterator[Aws]:
    lab = cluster.lab
    addresses = {machine.name: machine.address for machine in lab.machines}
    with mocked(lab.name, str(lab.network), lab.gateway, addresses, cluster.folder / "moto.log") as made:
        yield made


def settings(aws: Aws, secret: Path) -> dict[str, Any]:
    return {
        "provider": "aws",
        "region": REGION,
        "zone": ZONE,
        "vpc": aws.vpc,
        "subnet": aws.subnet,
        "access_key_id": {"env": "TEST_ACCESS_KEY_ID"},
        "secret_access_key": {"file": str(secret)},
        "metadata": False,
        "endpoints": dict.fromkeys(("ec2", "elb", "elbv2"), aws.url),
    }


@pytest.fixture(scope="module")
def inventory(cluster: LabCluster, aws: Aws) -> Iterator[None]:
    """One half of the credentials is in the environment, the other one in a file."""
    secret = cluster.folder / "aws-secret"
    secret.touch(mode=0o600)
    secret.write_text(f"{SECRET_KEY}\n")

    def change(document: dict[str, Any]) -> None:
        document["cluster"]["cloud"] = settings(aws, secret)
        for name, host in document["hosts"].items():
            host["provider_id"] = aws.provider_id(name)

    cluster.edit(change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_ACCESS_KEY_ID", KEY_ID)
        yield


def nodes(cluster: LabCluster) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in cluster.get("nodes")["items"]}


def tainted(cluster: LabCluster) -> set[str]:
    return {
        name
        for name, node in nodes(cluster).items()
        if any(taint["key"] == TAINT for taint in node["spec"].get("taints", ()))
    }


class Watch:
    """Looks at the nodes while a run is at work, and keeps the names of those it saw with the taint."""

    def __init__(self, cluster: LabCluster) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(cluster,), daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=60)

    def _look(self, cluster: LabCluster) -> None:
        while not self._over.wait(0.2):
            try:
                self.seen |= tainted(cluster)
            except (AssertionError, OSError, ValueError):  # there are no keys and no API yet
                empty = cluster.folder / "admin.conf"
                if empty.exists() and not empty.read_text():
                    empty.unlink()


def test_nodes_start_tainted_and_are_taken_over_before_the_run_ends(
    cluster: LabCluster, aws: Aws, inventory: None
) -> None:
    with Watch(cluster) as watch:
        ran = cluster.kprov("up", "--yes")
    assert watch.seen == set(HOSTS)
    assert SECRET_KEY not in ran.text
    assert not tainted(cluster)
    for name, node in nodes(cluster).items():
        labels = node["metadata"]["labels"]
        assert node["spec"]["providerID"] == aws.provider_id(name)
        assert labels["topology.kubernetes.io/zone"] == ZONE
        assert labels["topology.kubernetes.io/region"] == REGION
        assert labels["node.kubernetes.io/instance-type"] == TYPE
        addresses = {(item["type"], item["address"]) for item in node["status"]["addresses"]}
        assert ("InternalIP", cluster.lab.machine(name).address) in addresses
        assert any(kind == "InternalDNS" for kind, _ in addresses), addresses
        flags = cluster.sh(name, "tr '\\0' ' ' < /proc/$(systemctl show -p MainPID --value kubelet)/cmdline")
        assert "--cloud-provider=external" in flags
        assert f"--provider-id={aws.provider_id(name)}" in flags
    assert cluster.kprov("plan").status == 0


def test_pods_run_and_a_node_answers_at_the_addresses_it_got(cluster: LabCluster) -> None:
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
    name = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"][0]["metadata"]["name"]
    until(lambda: "CoreDNS" in cluster.kubectl("-n", "kube-system", "logs", name), seconds=30, what="logs of a pod")


def test_a_service_gets_a_load_balancer_and_loses_it_with_its_end(cluster: LabCluster, aws: Aws) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "front",
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"},
        },
        "spec": {"type": "LoadBalancer", "selector": {"app": "front"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    assert aws.load_balancers() == []
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service))

    def name() -> str:
        ingress = cluster.get("service", "front")["status"]["loadBalancer"].get("ingress", [])
        return str(ingress[0]["hostname"]) if ingress else ""

    given = until(name, seconds=90, what="the Service has the name of a load balancer")
    assert [found["DNSName"] for found in aws.load_balancers()] == [given]
    targets = [
        target["Target"]["Id"]
        for group in aws.client("elbv2").describe_target_groups()["TargetGroups"]
        for target in aws.client("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
            "TargetHealthDescriptions"
        ]
    ]
    assert targets == [aws.instances["w1"]]  # a control plane that is no worker balances nothing
    cluster.kubectl("delete", "service", "front", "--timeout=90s")
    assert aws.load_balancers() == []


GIVEN: dict[str, dict[str, Any]] = {
    "azure": {
        "tenant_id": "0a",
        "subscription_id": "0b",
        "resource_group": "g",
        "location": "westeurope",
        "vnet": "v",
        "subnet": "s",
        "security_group": "n",
        "client_id": "0c",
        "client_secret": {},
    },
    "digitalocean": {"token": {}, "vpc": "0a"},
    "gcp": {"project": "p", "network": "n", "service_account": {}},
    "hetzner": {"token": {}, "network": "n", "location": "fsn1"},
    "openstack": {"clouds": {}, "floating_network": "0a", "settings": {"LoadBalancer": {"lb-provider": "ovn"}}},
    "vsphere": {"server": "vcenter.example.org", "user": {}, "password": {}, "datacenters": ["d"], "ca": {}},
}


def objects_of(provider: str) -> str:
    def fault(path: tuple[str, ...], what: str, **_: str) -> None:
        raise AssertionError(f"{path}: {what}")

    entries = {"metrics-server": False, f"cloud-{provider}": GIVEN[provider]}
    (addon,) = chosen(entries, None, fault, lambda _path, _value: Secret("hidden"), (1, 37))
    around = Surroundings(cluster={"name": "test"}, ca={}, images=image_references(addon, {}), secret_seed=b"k" * 32)
    return dump_all(rendered(addon, around))


def test_every_other_cloud_of_kprovs_is_among_those_asked_about() -> None:
    assert set(GIVEN) | {"aws"} == {name[6:] for name in shelf(None) if name.startswith("cloud-")}


@pytest.mark.parametrize("provider", GIVEN)
def test_the_api_server_would_take_the_objects_of_other_clouds(cluster: LabCluster, provider: str) -> None:
    flags = ("--server-side", "--dry-run=server", "--field-manager=kprov", "--validate=strict", "--force-conflicts")
    told = cluster.kubectl("apply", *flags, "-f", "-", stdin=objects_of(provider))
    assert f"daemonset.apps/cloud-{provider} serverside-applied (server dry run)" in told


def test_another_provider_id_is_refused_before_anything_is_touched(cluster: LabCluster, aws: Aws) -> None:
    def wrong(document: dict[str, Any]) -> None:
        document["hosts"]["w1"]["provider_id"] = f"aws:///{ZONE}/i-0123456789abcdef0"

    def right(document: dict[str, Any]) -> None:
        document["hosts"]["w1"]["provider_id"] = aws.provider_id("w1")

    cluster.edit(wrong)
    refused = cluster.kprov("up", "--yes", status=1)
    assert "a node's provider ID cannot be changed" in refused.text
    assert "(hosts.w1.provider_id)" in refused.text
    cluster.edit(right)


def test_the_node_of_a_terminated_instance_is_deleted(cluster: LabCluster, aws: Aws) -> None:
    aws.client("ec2").terminate_instances(InstanceIds=[aws.instances["w1"]])
    machines.stop(cluster.lab.machine("w1"))
    until(lambda: set(nodes(cluster)) == {"cp1"}, seconds=240, what="the node is gone")


def test_without_the_cloud_its_controller_is_gone_and_nodes_keep_what_they_are(cluster: LabCluster, aws: Aws) -> None:
    def leave(document: dict[str, Any]) -> None:
        del document["cluster"]["cloud"], document["hosts"]["w1"], document["hosts"]["cp1"]["provider_id"]

    cluster.edit(leave)
    cluster.kprov("up", "--yes")
    for kind in ("daemonset/cloud-aws", "secret/cloud-credentials", "configmap/cloud-config"):
        assert not cluster.kubectl("-n", "kube-system", "get", kind, "--ignore-not-found")
    assert not cluster.kubectl("get", "clusterrole/kprov:cloud-controller-manager", "--ignore-not-found")
    assert nodes(cluster)["cp1"]["spec"]["providerID"] == aws.provider_id("cp1")
    assert "--cloud-provider" not in cluster.sh("cp1", "cat /etc/systemd/system/kubelet.service")
    assert cluster.kprov("plan").status == 0


def test_a_cloud_of_the_users_own_is_a_folder_beside_the_inventory(cluster: LabCluster) -> None:
    """On the node that is left: handed over to a controller that only the test has, and waited for."""
    shutil.copytree(OWN, cluster.folder / "addons")

    def join(document: dict[str, Any]) -> None:
        document["cluster"]["cloud"] = {"provider": "mine", "zone": "mine-1"}

    cluster.edit(join)
    plan = cluster.kprov("plan", status=2).stdout
    assert "DaemonSet kube-system/cloud-mine: it is not there" in plan
    with Watch(cluster) as watch:
        cluster.kprov("up", "--yes")
    assert watch.seen == {"cp1"}
    assert not tainted(cluster)
    assert nodes(cluster)["cp1"]["metadata"]["labels"]["topology.kubernetes.io/zone"] == "mine-1"
    assert "--cloud-provider=external" in cluster.sh("cp1", "cat /etc/systemd/system/kubelet.service")
    assert cluster.kprov("plan").status == 0
