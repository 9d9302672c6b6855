"""Nodes as the API sees them: exactly the inventory's, ready, of the right version, with labels, taints and networks."""

from __future__ import annotations

import time
from ipaddress import IPv4Network
from typing import Any

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import expected
from kprov.testinfra.fleet import Fleet
from kprov.values.model import Cluster, Host

DEADLINE = 60.0  # seconds that a node may need to tell what changed
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


def node_of(fleet: Fleet, host: Machine) -> Any:
    name = host.backend.hostname
    assert name in fleet.nodes, f"the API knows no node {name}, only {', '.join(fleet.nodes)}"
    return fleet.nodes[name]


def test_nodes_are_those_of_the_inventory(cluster: Cluster, fleet: Fleet) -> None:
    assert set(fleet.nodes) == {host.name for host in cluster.nodes}


@pytest.mark.on("node")
def test_node_is_ready(host: Machine, fleet: Fleet) -> None:
    conditions = {item["type"]: item for item in node_of(fleet, host)["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "True", conditions["Ready"].get("message")
    assert [name for name in PRESSURES if conditions[name]["status"] != "False"] == []


@pytest.mark.on("node")
def test_node_runs_what_the_inventory_says(host: Machine, fleet: Fleet, cluster: Cluster, spec: Host) -> None:
    info = node_of(fleet, host)["status"]["nodeInfo"]
    assert info["kubeletVersion"] == f"v{cluster.versions['kubernetes']}"
    scheme, component = expected.RUNTIME_VERSION[spec.runtime]
    told, _, version = info["containerRuntimeVersion"].partition("://")
    assert (told, version.removeprefix("v")) == (scheme, cluster.versions[component])


def test_every_oci_handler_has_its_runtime_class(cluster: Cluster, fleet: Fleet) -> None:
    desired = {name for node in cluster.nodes for name in node.handlers}
    listed = fleet.objects("/apis/node.k8s.io/v1/runtimeclasses")["items"]
    found = {item["metadata"]["name"]: item["handler"] for item in listed}
    assert {name: found.get(name) for name in desired} == {name: name for name in desired}


@pytest.mark.on("node")
def test_node_offers_its_oci_handlers(host: Machine, fleet: Fleet, spec: Host) -> None:
    """What the runtime itself told kubelet, which tells the API a little later; Docker tells nothing."""
    ends = time.monotonic() + DEADLINE
    while True:
        fresh = spec.handlers and spec.runtime != "docker"
        status = fleet.objects(f"/api/v1/nodes/{spec.name}", fresh=bool(fresh))["status"]
        told = {item.get("name", "") for item in status.get("runtimeHandlers", ())}
        if not fresh or set(spec.handlers) <= told:
            return
        assert time.monotonic() < ends, f"desired {', '.join(spec.handlers)}, told {', '.join(sorted(told))}"
        time.sleep(1)


@pytest.mark.on("node")
def test_node_has_its_address(host: Machine, fleet: Fleet) -> None:
    addresses = {item["type"]: item["address"] for item in node_of(fleet, host)["status"]["addresses"]}
    assert addresses["InternalIP"] == fleet.node_ip(host.backend.hostname)


@pytest.mark.on("node")
def test_node_has_its_labels_and_taints(host: Machine, fleet: Fleet, spec: Host) -> None:
    node = node_of(fleet, host)
    labels = node["metadata"]["labels"]
    roles = {f"node-role.kubernetes.io/{group.replace('_', '-')}" for group in spec.groups - {"etcd"}}
    assert {label for label in labels if label.startswith("node-role.kubernetes.io/")} == roles
    assert {name: labels.get(name) for name in spec.labels} == dict(spec.labels)
    taints = {(taint["key"], taint.get("value", ""), taint["effect"]) for taint in node["spec"].get("taints", ())}
    assert {(taint.key, taint.value, taint.effect) for taint in spec.taints} <= taints


@pytest.mark.on("node")
def test_pod_network_of_node(host: Machine, fleet: Fleet, cluster: Cluster, spec: Host) -> None:
    own = IPv4Network(node_of(fleet, host)["spec"]["podCIDR"])
    assert own.subnet_of(cluster.pod_cidr)
    assert spec.pod_cidr in (None, own)
    others = [IPv4Network(node["spec"]["podCIDR"]) for name, node in fleet.nodes.items() if name != spec.name]
    assert not [other for other in others if other.overlaps(own)]
