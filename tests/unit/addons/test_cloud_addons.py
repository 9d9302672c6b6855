"""The controllers of clouds as objects: where they run, what they may, and where their credentials are."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cloud_values import GIVEN

from kprov.addon.choose import chosen
from kprov.addon.describe import shelf
from kprov.addon.desired import image_references
from kprov.addon.render import Surroundings, rendered
from kprov.objects.objects import Object
from kprov.roles.cloud_nodes import UNINITIALIZED
from kprov.values.addon import Addon
from kprov.values.secret import Secret

CLOUDS = sorted(name for name in shelf(None) if name.startswith("cloud-"))


def addon(name: str, word: str = "s3cret", **more: Any) -> Addon:
    def fault(path: tuple[str, ...], what: str, **_: str) -> None:
        raise AssertionError(f"{path}: {what}")

    entries = {"metrics-server": False, name: {**GIVEN[name], **more}}
    (found,) = chosen(entries, None, fault, lambda path, _: Secret(f"{word} of {path[-1]}"), (1, 37))
    return found


def objects(name: str, word: str = "s3cret", **more: Any) -> tuple[Object, ...]:
    found = addon(name, word, **more)
    around = Surroundings(cluster={"name": "c"}, ca={}, images=image_references(found, {}), secret_seed=b"k" * 32)
    return rendered(found, around)


def controllers(found: tuple[Object, ...]) -> list[Object]:
    return [item for item in found if item["kind"] == "DaemonSet"]


def config(found: tuple[Object, ...], kind: str, key: str) -> str:
    (item,) = [item for item in found if item["kind"] == kind]
    text = str(item["data"][key])
    return base64.b64decode(text).decode() if kind == "Secret" else text


def test_every_cloud_is_looked_at() -> None:
    assert set(CLOUDS) == set(GIVEN)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_controller_runs_before_nodes_are_taken_over_and_without_rights_on_its_host(name: str) -> None:
    for item in controllers(objects(name)):
        pod = item["spec"]["template"]["spec"]
        tolerated = {row.get("key") for row in pod["tolerations"] if row["operator"] == "Exists"}
        assert tolerated & {UNINITIALIZED, None}
        assert pod["dnsPolicy"] == "Default"
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert container["resources"]["requests"]
    assert set(addon(name).description.ready) == {
        f"daemonset/{one['metadata']['name']}" for one in controllers(objects(name))
    }


@pytest.mark.parametrize("name", CLOUDS)
def test_no_controller_may_read_secrets_or_change_rights(name: str) -> None:
    rules = [rule for item in objects(name) if item["kind"] in ("ClusterRole", "Role") for rule in item["rules"]]
    assert rules
    assert not [rule for rule in rules if "*" in rule["verbs"] or "*" in rule["resources"]]
    assert not [rule for rule in rules if {"secrets", "serviceaccounts/token", "clusterroles"} & set(rule["resources"])]


@pytest.mark.parametrize("name", CLOUDS)
def test_credentials_are_in_the_secret_alone_and_a_new_one_restarts_the_controller(name: str) -> None:
    found = objects(name)
    secrets = [item for item in found if item["kind"] == "Secret"]
    assert "s3cret" in str([base64.b64decode(text) for item in secrets for text in item["data"].values()])
    rest = [item for item in found if item["kind"] != "Secret"]
    assert "s3cret" not in str(rest)
    assert "***" not in str(found)
    assert controllers(objects(name, word="another")) != controllers(found)
    assert controllers(objects(name)) == controllers(found)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_provider_id_looks_like_its_example(name: str) -> None:
    ids = addon(name).description.cloud_ids
    assert ids is not None
    assert re.fullmatch(ids.pattern, ids.example.replace("INSTANCE", "i").replace("PROJECT", "p"))


def test_what_aws_is_told() -> None:
    found = objects("cloud-aws", vpc="vpc-1", endpoints={"ec2": "http://e"}, settings={"NodeIPFamilies": "ipv4"})
    assert config(found, "ConfigMap", "cloud.conf").splitlines() == [
        *(
            "[Global]",
            'Region = "eu-central-1"',
            'VPC = "vpc-1"',
            'KubernetesClusterID = "c"',
            'NodeIPFamilies = "ipv4"',
        ),
        *('[ServiceOverride "ec2"]', 'Service = "EC2"', 'Region = "eu-central-1"', 'URL = "http://e"'),
        'SigningRegion = "eu-central-1"',
    ]


def test_aws_without_keys_uses_the_profile_of_its_machine() -> None:
    entries = {"metrics-server": False, "cloud-aws": {"region": "eu-central-1"}}
    (found,) = chosen(entries, None, lambda *_, **__: None, lambda *_: None, (1, 37))
    around = Surroundings(cluster={"name": "c"}, ca={}, images=image_references(found, {}), secret_seed=b"k" * 32)
    made = rendered(found, around)
    assert not [item for item in made if item["kind"] == "Secret"]
    assert "AWS_ACCESS_KEY_ID" not in str(made)


def test_what_openstack_is_told() -> None:
    found = objects(
        "cloud-openstack", subnet="0a", settings={"LoadBalancer": {"lb-provider": "ovn"}, "Route": {"a": 1}}
    )
    assert config(found, "ConfigMap", "cloud.conf").splitlines() == [
        *("[Global]", "use-clouds = true", 'clouds-file = "/etc/cloud/clouds.yaml"', 'cloud = "openstack"'),
        *("[LoadBalancer]", 'subnet-id = "0a"', 'lb-provider = "ovn"', "[Route]", "a = 1"),
    ]
    assert config(found, "Secret", "clouds.yaml") == "s3cret of clouds"


def test_what_azure_is_told() -> None:
    told = json.loads(config(objects("cloud-azure", settings={"loadBalancerSku": "basic"}), "Secret", "azure.json"))
    assert told["aadClientSecret"] == "s3cret of client_secret"
    assert told["useManagedIdentityExtension"] is False
    assert told["loadBalancerSku"] == "basic"


def test_what_vsphere_is_told() -> None:
    told = json.loads(config(objects("cloud-vsphere"), "Secret", "vsphere.yaml"))
    assert told["vcenter"]["v"] == {
        "server": "v", "user": "s3cret of user", "password": "s3cret of password", "datacenters": ["d"],
    }  # fmt: skip
    assert told["global"] == {"port": 443, "insecureFlag": False, "caFile": "/etc/cloud/ca.crt"}


def test_what_google_is_told() -> None:
    assert config(objects("cloud-gcp"), "ConfigMap", "gce.conf").splitlines() == [
        *("[global]", 'project-id = "p"', 'network-name = "n"', "multizone = true", "token-url = nil"),
    ]
