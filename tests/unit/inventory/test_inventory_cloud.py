"""`cloud:` of an inventory: its controller is an add-on, its keys are that one's parameters, mistakes have their places."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventory_text import cluster, loaded, only

from kprov.values.model import CloudSettings

TOKEN = {"TOKEN": "s3cret-token"}
HETZNER = "cloud: {provider: hetzner, token: {env: TOKEN}}"


def hosts(*ids: str) -> str:
    rows = [
        f"  h{number}: {{address: 192.0.2.{number + 1}, provider_id: '{given}'}}\n" for number, given in enumerate(ids)
    ]
    return "hosts:\n  cp1: {address: 192.0.2.99, groups: [control_plane]}\n" + "".join(rows)


def test_a_cloud_switches_its_controller_on_and_names_its_machines() -> None:
    found = loaded(cluster(HETZNER, hosts=hosts("hcloud://1", "hrobot://2")), TOKEN).cluster
    assert found.cloud == CloudSettings(provider="hetzner")
    controller = found.addon("cloud-hetzner")
    assert controller is not None
    assert controller.parameters["token"].reveal() == "s3cret-token"
    assert [host.provider_id for host in found.hosts] == ["", "hcloud://1", "hrobot://2"]
    assert "s3cret" not in repr(found)


def test_without_a_cloud_there_is_none() -> None:
    found = loaded(cluster()).cluster
    assert found.cloud is None
    assert not [addon for addon in found.addons if addon.name.startswith("cloud-")]


def test_a_cloud_of_the_users_own_is_an_add_on_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "addons" / "cloud-mine").mkdir(parents=True)
    found = loaded(cluster("cloud: {provider: mine}", hosts=hosts("mine://x")), path=tmp_path / "i.yaml").cluster
    assert found.addon("cloud-mine") is not None


@pytest.mark.parametrize(
    ("lines", "place", "what", "needed", "todo"),
    [
        ("cloud: {provider: hetzer}", "3:21", "there is no controller for this cloud", "hetzner", "'hetzner'"),
        ("cloud: {provider: zzz}", "3:21", "there is no controller for this cloud", "aws", "addons/cloud-zzz"),
        ("cloud: {token: {env: TOKEN}}", "3:3", "this key is missing", "aws, azure", "add it"),
        ("cloud: {provider: hetzner}", "3:10", "the parameter token is missing", "API token", ""),
        ("cloud: {provider: hetzner, token: plain}", "3:37", "a secret may not stand", "{env: NAME}", ""),
        ("cloud: {provider: hetzner, token: {env: NOT}}", "3:37", "NOT is not set", "{env: NAME}", ""),
        ("cloud: {provider: hetzner, token: {env: TOKEN}, locaton: x}", "3:60", "no such parameter", "", "'location'"),
        ("cloud: {provider: hetzner, token: {env: TOKEN}, private_ip: x}", "3:63", "wrong kind of value", "true", ""),
        ('cloud: {provider: aws, version: "9.9.9"}', "3:35", "this version is not in the catalog", "1.37.1", ""),
        ("addons: {cloud-aws: true}", "3:23", "is switched on by `cloud:`", "", "provider: aws"),
        (
            "extra_args: {kubelet: {cloud-provider: external}}",
            "3:42",
            "--cloud-provider of kubelet cannot be set",
            "",
            "",
        ),
        ("extra_args: {kubelet: {provider-id: x}}", "3:39", "--provider-id of kubelet cannot be set here", "", ""),
    ],
)
def test_a_mistake_is_told_at_its_place(lines: str, place: str, what: str, needed: str, todo: str) -> None:
    found = only(cluster(lines), TOKEN)
    assert found.where == f"i.yaml:{place}"
    assert what in found.what
    assert needed in found.needed
    assert todo in found.todo
    assert "plain" not in str(found)


@pytest.mark.parametrize(
    ("ids", "place", "what", "needed"),
    [
        (("hcloud://1", "hcloud://1"), "7:41", "host h0 has the same one", "one of its own"),
        (("aws:///z/i-1",), "6:41", "not how hetzner names a machine", "hcloud://123456"),
        (("123",), "6:41", "not a provider ID", "hcloud://123456"),
        (("hcloud://1 --v=9",), "6:41", "not a provider ID", "hcloud://123456"),
    ],
)
def test_what_hosts_are_called_is_checked(ids: tuple[str, ...], place: str, what: str, needed: str) -> None:
    found = only(cluster(HETZNER, hosts=hosts(*ids)), TOKEN)
    assert found.where == f"i.yaml:{place}"
    assert what in found.what
    assert needed in found.needed


def test_a_provider_id_without_a_cloud_is_a_mistake() -> None:
    assert "a provider ID without a cloud" in only(cluster(hosts=hosts("hcloud://1"))).what
