"""flannel, Calico and Cilium by the manifests that upstream publishes, had from pinned Go modules.

The API server is asked whether it would take what kprov makes of them, and whether a second run would find nothing to do.
Nothing of them is run here.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import upstream_modules
from conftest import Make
from lab_cluster import PLAIN, LabCluster

from kprov.addon.choose import chosen
from kprov.addon.render import Surroundings, rendered
from kprov.artifacts import build
from kprov.artifacts.cache import default_root
from kprov.artifacts.catalog import resolve_versions
from kprov.artifacts.manifests import manifests
from kprov.artifacts.progress import Silent
from kprov.objects.objects import Object, compare, identity
from kprov.values.addon import Addon
from kprov.values.model import ArtifactSettings, Cluster
from kprov.values.yaml_text import dump_all

pytestmark = pytest.mark.lab

PODS = "10.250.0.0/16"


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    """Its nodes wait for a network: what is asked of it needs none."""
    made = make_cluster("fl-own", {"one": ["control_plane", "worker"]}, keys={**PLAIN, "network": "none"})
    made.kprov("up", "--yes")
    return made


def network(name: str, **parameters: Any) -> Addon:
    def fault(path: tuple[str, ...], what: str, **_: str) -> None:
        raise AssertionError(f"{path}: {what}")

    (addon,) = chosen({"metrics-server": False, name: parameters or True}, None, fault, lambda _path, _value: None)
    return addon


def desired(addon: Addon) -> tuple[Object, ...]:
    """What kprov would apply, the manifest had as a cluster that is built from modules has it."""
    settings = ArtifactSettings(source="modules")
    around = Cluster(name="c", versions=resolve_versions(), hosts=(), addons=(addon,), artifacts=settings)
    manifest = manifests(around, default_root(), Silent(), lock=None)[addon.name]
    values = {"pod_cidr": PODS}
    return rendered(addon, Surroundings(cluster=values, ca={}, images={}, secret_seed=b"", manifest=manifest))


def would_take(cluster: LabCluster, objects: tuple[Object, ...]) -> list[Object]:
    """What the API server would make of them; kubectl fails the test when it would not take one."""
    flags = ("--server-side", "--dry-run=server", "--field-manager=kprov", "--validate=strict", "-o", "json")
    answer = json.loads(cluster.kubectl("apply", *flags, "-f", "-", stdin=dump_all(objects)))
    return list(answer["items"])


def accepted(cluster: LabCluster, objects: tuple[Object, ...]) -> None:
    """All are, and a second run would find nothing that differs."""
    taken = would_take(cluster, objects)
    assert {identity(item) for item in taken} == {identity(item) for item in objects}
    assert compare(objects, taken) == ()


@pytest.mark.parametrize(
    ("encapsulation", "file", "backend"),
    [("vxlan", "calico-vxlan.yaml", "vxlan"), ("ipip", "calico.yaml", "bird"), ("none", "calico.yaml", "bird")],
)
def test_the_api_server_would_take_calico(cluster: LabCluster, encapsulation: str, file: str, backend: str) -> None:
    """A snapshot of August 2025: the version that kprov's add-on names is in no module."""
    source = upstream_modules.folder("published", "github.com/projectcalico/calico") / "manifests" / file
    settings = {"encapsulation": encapsulation, "interface": "host0", "mtu": 1400}
    objects = desired(network("calico", manifest=str(source), **settings))
    assert len(objects) == 31
    by_name = {f"{item['kind']}/{item['metadata']['name']}": item for item in objects}
    assert by_name["ConfigMap/calico-config"]["data"]["calico_backend"] == backend
    accepted(cluster, objects)


def test_the_api_server_would_take_cilium(cluster: LabCluster, tmp_path: Path) -> None:
    """Its chart, rendered with helm's own engine."""
    chart = upstream_modules.folder("published", "github.com/cilium/cilium") / "install" / "kubernetes" / "cilium"
    helm = upstream_modules.program("chart", ".", tmp_path / "chart")
    manifest = tmp_path / "cilium.yaml"
    with manifest.open("w") as out:
        subprocess.run([helm, "cilium", chart, "kube-system"], stdout=out, check=True)
    objects = desired(network("cilium", manifest=str(manifest), interface="host0", mtu=1400))
    settings = next(item["data"] for item in objects if item["metadata"]["name"] == "cilium-config")
    assert (settings["ipam"], settings["kube-proxy-replacement"]) == ("kubernetes", "false")
    cluster.kubectl("create", "namespace", "cilium-secrets")  # a dry run makes none for what is in it
    try:
        accepted(cluster, objects)
    finally:
        cluster.kubectl("delete", "namespace", "cilium-secrets")


@pytest.mark.parametrize("version", ["0.28.10", "0.28.9"])
def test_the_api_server_would_take_flannel(cluster: LabCluster, version: str) -> None:
    upstream_modules.folder(build.module_folder("flannel", version), "github.com/flannel-io/flannel")
    cluster.kubectl("create", "namespace", "kube-flannel", check=False)
    accepted(cluster, desired(network("flannel", version=version, mtu=1400, interface="host0")))
