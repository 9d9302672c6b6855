"""Upstream's manifest of an add-on with the cluster's settings in it, and the three networks that come that way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from kprov.addon.choose import by_name, chosen
from kprov.addon.describe import described
from kprov.addon.render import Surroundings, rendered
from kprov.objects.objects import Object
from kprov.values.addon import Addon
from kprov.values.errors import AddonError

CLUSTER = {"pod_cidr": "10.20.0.0/16"}


def network(name: str, **parameters: Any) -> Addon:
    """One of kprov's own pod networks with these parameters."""
    faults: list[str] = []
    (addon,) = (
        found
        for found in chosen(
            {name: parameters or True, "metrics-server": False},
            None,
            lambda path, what, **_: faults.append(f"{'.'.join(path)}: {what}"),
            lambda _path, _value: None,
        )
    )
    assert not faults
    return addon


def objects(addon: Addon, *documents: Mapping[str, Any]) -> dict[str, Object]:
    """What the add-on makes of a manifest with these objects, by kind."""
    around = Surroundings(
        cluster=CLUSTER, ca={}, images={}, secret_seed=b"k" * 32, manifest=yaml.safe_dump_all(documents)
    )
    return {str(item["kind"]): item for item in rendered(addon, around)}


def daemon_set(name: str, namespace: str, *containers: Mapping[str, Any], first: Any = ()) -> dict[str, Any]:
    pod = {"initContainers": list(first), "containers": list(containers)}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": {"template": {"spec": pod}}}


def config_map(name: str, namespace: str, data: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def container_of(item: Object, name: str) -> Any:
    pod = item["spec"]["template"]["spec"]
    return next(one for one in [*pod["initContainers"], *pod["containers"]] if one["name"] == name)


def environment(container: Any) -> dict[str, str]:
    return {row["name"]: row["value"] for row in container["env"]}


FLANNEL = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-flannel", "labels": {"k8s-app": "flannel"}}},
    config_map("kube-flannel-cfg", "kube-flannel", {"net-conf.json": '{"Network": "x", "Backend": {"Type": "vxlan"}}'}),
    daemon_set("kube-flannel-ds", "kube-flannel", {"name": "kube-flannel", "args": ["--kube-subnet-mgr"]}),
)


def test_flannel_gets_the_clusters_network_and_what_the_inventory_chose() -> None:
    made = objects(network("flannel", backend="wireguard", mtu=1400, interface="eth1"), *FLANNEL)
    settings = json.loads(made["ConfigMap"]["data"]["net-conf.json"])
    assert settings == {
        "Network": "10.20.0.0/16",
        "EnableNFTables": False,
        "Backend": {"Type": "wireguard", "MTU": 1400},
    }
    assert container_of(made["DaemonSet"], "kube-flannel")["args"] == ["--kube-subnet-mgr", "--iface=eth1"]


def test_what_is_not_chosen_stays_as_upstream_has_it() -> None:
    made = objects(network("flannel"), *FLANNEL)
    assert json.loads(made["ConfigMap"]["data"]["net-conf.json"])["Backend"] == {"Type": "vxlan"}
    assert container_of(made["DaemonSet"], "kube-flannel")["args"] == ["--kube-subnet-mgr"]


def test_the_namespace_is_made_once_and_by_kprov() -> None:
    around = Surroundings(cluster=CLUSTER, ca={}, images={}, secret_seed=b"", manifest=yaml.safe_dump_all(FLANNEL))
    namespaces = [item for item in rendered(network("flannel"), around) if item["kind"] == "Namespace"]
    assert len(namespaces) == 1
    assert namespaces[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


POOL = [{"name": "CALICO_IPV4POOL_VXLAN", "value": "CrossSubnet"}, {"name": "IP", "value": "autodetect"}]
CALICO = (
    config_map("calico-config", "kube-system", {"veth_mtu": "0"}),
    daemon_set(
        "calico-node",
        "kube-system",
        {"name": "calico-node", "env": POOL},
        first=[{"name": "install-cni", "env": [{"name": "SLEEP", "value": "false"}]}],
    ),
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "tiers.x", "creationTimestamp": None},
        "spec": {"group": "x"},
        "status": {"storedVersions": None},
    },
)


@pytest.mark.parametrize(
    ("encapsulation", "vxlan", "ipip", "file"),
    [
        ("vxlan", "Always", "Never", "calico-vxlan"),
        ("ipip", "Never", "Always", "calico"),
        ("none", "Never", "Never", "calico"),
    ],
)
def test_calico_takes_the_manifest_and_the_pool_that_fit(encapsulation: str, vxlan: str, ipip: str, file: str) -> None:
    addon = network("calico", encapsulation=encapsulation)
    assert addon.manifest.endswith(f"/v{addon.version}/manifests/{file}.yaml")
    seen = environment(container_of(objects(addon, *CALICO)["DaemonSet"], "calico-node"))
    assert seen["CALICO_IPV4POOL_CIDR"] == "10.20.0.0/16"
    assert (seen["CALICO_IPV4POOL_VXLAN"], seen["CALICO_IPV4POOL_IPIP"]) == (vxlan, ipip)
    assert seen["IP"] == "autodetect"


def test_calico_leaves_kprovs_programs_alone_and_takes_mtu_and_interface() -> None:
    made = objects(network("calico", mtu=1400, interface="eth1"), *CALICO)
    assert environment(container_of(made["DaemonSet"], "install-cni")) == {
        "SLEEP": "false",
        "SKIP_CNI_BINARIES": "bridge,host-local,loopback,portmap",
    }
    assert made["ConfigMap"]["data"]["veth_mtu"] == "1400"
    assert environment(container_of(made["DaemonSet"], "calico-node"))["IP_AUTODETECTION_METHOD"] == "interface=eth1"


def test_what_the_api_server_keeps_for_itself_is_not_desired() -> None:
    definition = objects(network("calico"), *CALICO)["CustomResourceDefinition"]
    assert "status" not in definition
    assert set(definition["metadata"]) == {"name", "labels"}


def test_cilium_comes_by_a_manifest_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "cilium.yaml"
    file.write_text("")
    addon = network("cilium", manifest=str(file), interface="eth1")
    made = objects(addon, config_map("cilium-config", "kube-system", {"ipam": "cluster-pool"}))
    assert made["ConfigMap"]["data"] == {
        "ipam": "kubernetes",
        "kube-proxy-replacement": "false",
        "mtu": "0",
        "devices": "eth1",
    }


def test_a_manifest_of_another_shape_is_told() -> None:
    with pytest.raises(AddonError, match="no ConfigMap/kube-flannel-cfg") as caught:
        objects(network("flannel"), FLANNEL[2])
    assert "kube-flannel.yml" in caught.value.where
    with pytest.raises(AddonError, match="no container kube-flannel of DaemonSet/kube-flannel-ds"):
        objects(network("flannel", interface="eth1"), FLANNEL[1], daemon_set("kube-flannel-ds", "kube-flannel"))
    for text, found in (("no", "no JSON in data.net-conf.json"), ("{}", "no data.net-conf.json.Backend.Type")):
        settings = config_map("kube-flannel-cfg", "kube-flannel", {"net-conf.json": text})
        with pytest.raises(AddonError, match=found):
            objects(network("flannel"), settings, FLANNEL[2])


def test_a_manifest_that_is_not_yaml_is_told_with_its_line() -> None:
    around = Surroundings(cluster=CLUSTER, ca={}, images={}, secret_seed=b"", manifest="a: 1\nb: [\n")
    with pytest.raises(AddonError, match="not YAML") as caught:
        rendered(network("flannel"), around)
    assert caught.value.where.endswith("kube-flannel.yml:3")


def test_upstreams_networks_are_found_by_version() -> None:
    urls = [addon.manifest for addon in by_name(("flannel", "calico")) if addon.manifest]
    assert len(urls) == 2
    assert all(url.startswith("https://") for url in urls)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("{object: ConfigMap/a, at: [data, x]}", "not one of `value` and `parameter`"),
        ("{object: ConfigMap/a, at: [data, x], parameter: nope}", "names a parameter that there is not: nope"),
        ("{object: ConfigMap/a, value: x}", "neither `at` nor `container`"),
        ("{object: ConfigMap/a, container: c, value: x}", "neither `at` nor `container`"),
        ("{object: ConfigMap/a, container: c, env: E, argument: --x, value: x}", "neither `at` nor `container`"),
        ("{object: nokind, at: [x], value: x}", "string should match pattern"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(tmp_path: Path, row: str, wrong: str) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "addon.yaml").write_text(
        f"name: net\nsummary: s\nnamespace: net\nmanifest:\n  location: x\n  settings:\n    - {row}\n"
    )
    with pytest.raises(AddonError) as caught:
        described(folder)
    assert wrong in f"{caught.value.what} {caught.value.found}"


def test_parameters_are_never_templates() -> None:
    addon = network("flannel", manifest="https://example.org/{{7*7}}.yml")
    assert addon.manifest == "https://example.org/{{7*7}}.yml"
    assert isinstance(addon.parameters, MappingProxyType)
