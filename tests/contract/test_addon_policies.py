"""Whom the NetworkPolicies of kprov's own add-ons let in where they are enforced, in a real kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import policy_room
import pytest
from policy_room import NODES, PLACES, answers, watch, within

from kprov.addon.choose import by_name
from kprov.addon.exposure import filled
from kprov.addon.render import Surroundings, rendered

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="namespaces and nft need root, and nft"
)

# x is the store's pod on the first node; the second node is the control plane; y, w and z are pods of anybody.
CONTROL_PLANE = {"name": "n2", "address": "192.0.2.2", "groups": ["control_plane"], "runtime": "containerd"}
PORTS = {"monitoring": (8428, 8427, 8880), "logging": (9428, 9427, 9426)}
POD = {"monitoring": "victoria-metrics", "logging": "victoria-logs"}


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[policy_room.Room]:
    with policy_room.room() as made:
        yield made


def objects(name: str, sources: list[str], **parameters: Any) -> list[Mapping[str, Any]]:
    (one,) = (each for each in by_name([name]) if each.name == name)
    if "expose" in parameters:
        parameters["expose"] = filled({"host": "page.example.org", **parameters["expose"]})
    one = replace(one, parameters=MappingProxyType({**one.parameters, **parameters}))
    host = {**CONTROL_PLANE, "sources": sources}
    around = Surroundings(
        cluster={
            "name": "c",
            "domain": "cluster.local",
            "pod_cidr": "10.244.0.0/16",
            **{key: [host] for key in ("nodes", "control_plane", "etcd", "hosts")},
            "addons": [],
            "enforces_policies": True,
        },
        ca={"kubernetes": "PEM\n"},
        images={image.name: "r/i:1" for image in one.images},
        secret_seed=b"k" * 32,
    )
    return list(rendered(one, around))


def load(name: str, found: list[Mapping[str, Any]]) -> None:
    """Put the add-on's policies into both kernels, with its pod as the Deployment makes it."""
    (workload,) = (item for item in found if item["kind"] == "Deployment" and item["metadata"]["name"] == POD[name])
    template = workload["spec"]["template"]
    store = watch.pod(
        {
            "metadata": {**template["metadata"], "namespace": name, "name": "store"},
            "spec": {**template["spec"], "nodeName": "n1"},
            "status": {"podIPs": [{"ip": PLACES["x"].address}]},
        }
    )
    pods = [store, *policy_room.pods(lambda pod: pod.name != "x")]
    policies = [watch.policy(item) for item in found if item["kind"] == "NetworkPolicy"]
    assert policies
    for node in NODES:
        text = policy_room.rendered(node, pods, {**policy_room.SPACES, name: {}}, policies)
        within(node, "nft", "-f", "-", stdin=text)


def open_ports(name: str, source: str) -> set[int]:
    found = answers([(source, "x", "TCP", port) for port in PORTS[name]])
    return {port for port, opened in zip(PORTS[name], found, strict=True) if opened}


# Add-on, parameters → what each of them reaches of the store's pod: its page, its gate, what is its own affair.
EXPOSED = {"expose": {"type": "NodePort", "node_port": 30428}}
CASES: list[tuple[str, dict[str, Any], dict[str, set[int]]]] = [
    ("monitoring", {}, {"n2": {8428, 8427}, "y": set(), "w": set(), "out": set()}),
    ("monitoring", EXPOSED, {"n2": {8428, 8427}, "y": {8428, 8427}, "out": {8428, 8427}}),
    ("logging", {}, {"n2": {9428, 9427}, "y": {9427}, "w": {9427}, "out": {9428, 9427}}),
    ("logging", EXPOSED, {"n2": {9428, 9427}, "y": {9428, 9427}, "out": {9428, 9427}}),
]


@pytest.mark.parametrize(("name", "parameters", "desired"), CASES)
def test_who_reaches_a_store(name: str, parameters: dict[str, Any], desired: dict[str, set[int]]) -> None:
    with ExitStack() as servers:
        for port in PORTS[name]:
            servers.enter_context(policy_room.server(PLACES["x"], "TCP", port))
        load(name, objects(name, ["192.0.2.2"], **parameters))
        assert {source: open_ports(name, source) for source in desired} == desired
        assert open_ports(name, "n1") == set(PORTS[name]), "kubelet's probes come from the node itself"


@pytest.mark.parametrize("name", PORTS)
def test_a_control_plane_that_comes_through_the_tunnel_is_let_in(name: str) -> None:
    """There its packets have the first address of its own pod network; here a pod of the second node stands for it."""
    with ExitStack() as servers:
        for port in PORTS[name]:
            servers.enter_context(policy_room.server(PLACES["x"], "TCP", port))
        load(name, objects(name, ["192.0.2.2", PLACES["w"].address]))
        assert open_ports(name, "w") == set(PORTS[name][:2])
        assert PORTS[name][0] not in open_ports(name, "z")
