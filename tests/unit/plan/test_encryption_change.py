"""What encrypts objects in etcd becomes another: both read before one writes, and the old one goes last."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from observed import bare, record

from kprov.observe.observation import FileState, Observation
from kprov.plan import encryption_change
from kprov.plan.encryption_change import EncryptionChange
from kprov.plan.host import Change, HostPlan, Restart
from kprov.roles import encryption
from kprov.roles.api_server import ENCRYPTION
from kprov.roles.documents import dump
from kprov.values.api_settings import ApiSettings, EncryptionSettings
from kprov.values.context import Trust
from kprov.values.errors import KprovError
from kprov.values.model import Cluster, Connection, Host
from kprov.values.resources import File, Unit
from kprov.values.secret import Secret

NOW = datetime(2026, 11, 30, tzinfo=UTC)
TRUST = Trust(bundle={}, issuer={}, service_account_key=b"", service_account_public=b"", encryption_key=b"k" * 32)
OWN = {"secretbox": {"keys": [{"name": "key1", "secret": b64encode(b"k" * 32).decode()}]}}
NONE: dict[str, Any] = {"identity": {}}


def aesgcm(name: str) -> dict[str, Any]:
    return {"aesgcm": {"keys": [{"name": name, "secret": Secret("S0VZ")}]}}


def shown(name: str) -> dict[str, Any]:
    return {"aesgcm": {"keys": [{"name": name, "secret": "S0VZ"}]}}


def cluster(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> Cluster:
    hosts = tuple(
        Host(name=name, groups=frozenset({"control_plane"}), connection=Connection(address="192.0.2.1"))
        for name in "ab"
    )
    settings = EncryptionSettings(resources=resources, providers=providers)
    return Cluster(name="c", versions={}, hosts=hosts, api=ApiSettings(encryption=settings))


def living() -> dict[str, Observation]:
    return {name: replace(bare(), records=dict([record("file", ENCRYPTION)])) for name in "ab"}


def change(made: Cluster, trust: Trust = TRUST) -> EncryptionChange:
    found = encryption_change.between(made, trust, living(), NOW)
    assert found is not None
    return found


def rows(file: File) -> dict[str, list[dict[str, Any]]]:
    document = yaml.safe_load(file.content)
    return {name: row["providers"] for row in document["resources"] for name in row["resources"]}


def test_kprovs_own_key_and_identity_read_whatever_is_given() -> None:
    assert encryption.settled(EncryptionSettings(), [("key1", b"k" * 32)])["resources"][0]["providers"] == [OWN, NONE]
    given = EncryptionSettings(providers=({"secretbox": {}}, aesgcm("a")))
    assert encryption.settled(given, [("key1", b"k" * 32)])["resources"][0]["providers"] == [OWN, shown("a"), NONE]


def test_both_read_before_the_new_one_writes() -> None:
    found = change(cluster(aesgcm("a")))
    assert rows(found.reads) == {"secrets": [OWN, shown("a"), NONE]}
    assert rows(found.writes) == {"secrets": [shown("a"), OWN, NONE]}
    assert found.resources == ("secrets",)
    assert "S0VZ" not in repr(found)


def test_the_key_before_is_kept_although_the_inventory_does_not_name_it_any_more() -> None:
    first = encryption_change.settled(cluster(aesgcm("a")), TRUST)
    found = change(cluster(aesgcm("b")), replace(TRUST, encrypted_by=first))
    assert rows(found.reads) == {"secrets": [shown("a"), OWN, shown("b"), NONE]}
    assert rows(found.writes) == {"secrets": [shown("b"), OWN, shown("a"), NONE]}
    assert json.loads(found.settled)["resources"][0]["providers"] == [shown("b"), OWN, NONE]


def test_a_resource_that_comes_or_goes_is_read_both_ways() -> None:
    before = encryption_change.settled(cluster(resources=("secrets", "configmaps")), TRUST)
    found = change(cluster(resources=("secrets", "*.apps")), replace(TRUST, encrypted_by=before))
    assert rows(found.writes) == {"secrets": [OWN, NONE], "configmaps": [NONE, OWN], "*.apps": [OWN, NONE]}
    assert rows(found.reads)["*.apps"] == [NONE, OWN]
    assert set(found.resources) == {"secrets", "configmaps", "*.apps"}


def test_wildcards_come_last_and_cover() -> None:
    found = change(cluster(aesgcm("a"), resources=("*.*",)))
    assert list(rows(found.writes)) == ["secrets", "*.*"]
    assert rows(found.writes)["secrets"] == [shown("a"), OWN, NONE]


def kms(name: str = "own") -> dict[str, Any]:
    return {"kms": {"apiVersion": "v2", "name": name, "endpoint": f"unix:///run/{name}.sock"}}


def read_as(file: File) -> dict[str, list[dict[str, Any]]]:
    """What API servers make of it: of a resource in several rows the providers of all of them, in order, each once."""
    found: dict[str, list[dict[str, Any]]] = {}
    named = []
    for row in yaml.safe_load(file.content)["resources"]:
        named += [one["kms"]["name"] for one in row["providers"] if "kms" in one]
        assert not [name for name in row["resources"] if "*" in name and name in found], "masked by an earlier row"
        assert not ("*.*" in row["resources"] and len(row["resources"]) > 1), "overlapping resources"
        for name in row["resources"]:
            known = found.setdefault(name, [])
            known += [one for one in row["providers"] if one not in known]
    assert len(named) == len(set(named)), "a KMS stands in a file once"
    return found


def firsts(file: File) -> dict[str, Any]:
    return {name: providers[0] for name, providers in read_as(file).items()}


def test_a_kms_of_several_resources_stands_in_each_file_once() -> None:
    """API servers refuse a file in which two rows have it, and go on with the one before."""
    found = change(cluster(kms(), resources=("secrets", "configmaps")))
    assert firsts(found.reads) == {"secrets": OWN, "configmaps": NONE}
    assert firsts(found.writes) == {"secrets": kms(), "configmaps": kms()}
    for file in (found.reads, found.writes):
        assert all(each in providers for providers in read_as(file).values() for each in (kms(), OWN, NONE))
    both = encryption_change.settled(cluster(kms(), resources=("secrets", "configmaps")), TRUST)
    back = change(cluster(), replace(TRUST, encrypted_by=both))
    assert firsts(back.reads) == {"secrets": kms(), "configmaps": kms()}
    assert firsts(back.writes) == {"secrets": OWN, "configmaps": NONE}
    assert all(each in providers for providers in read_as(back.writes).values() for each in (kms(), OWN, NONE))
    fewer = change(cluster(kms()), replace(TRUST, encrypted_by=both))
    assert firsts(fewer.writes) == {"secrets": kms(), "configmaps": NONE}
    assert kms() in read_as(fewer.writes)["configmaps"]
    another = change(cluster(kms("two"), resources=("secrets", "configmaps")), replace(TRUST, encrypted_by=both))
    assert firsts(another.reads)["configmaps"] == kms()
    assert read_as(another.writes)["configmaps"][:1] == [kms("two")]
    assert kms() in read_as(another.writes)["configmaps"]


def test_another_socket_of_a_kms_is_no_other_kms() -> None:
    """Its name is what stands before each object; nothing has to be written again, and no file has the name twice."""
    trust = replace(TRUST, encrypted_by=encryption_change.settled(cluster(kms()), TRUST))
    moved = {"kms": {**kms()["kms"], "endpoint": "unix:///run/elsewhere.sock", "timeout": "5s"}}
    assert encryption_change.between(cluster(moved), trust, living(), NOW) is None
    found = change(cluster(aesgcm("a"), moved), trust)
    assert read_as(found.reads)["secrets"] == [moved, OWN, shown("a"), NONE]


def test_a_kms_of_wildcards_changes_in_two_runs() -> None:
    with pytest.raises(KprovError, match="cannot change in one run") as caught:
        change(cluster(kms(), resources=("*.*",)))
    assert "change `providers` first" in caught.value.todo
    wide = encryption_change.settled(cluster(resources=("*.*",)), TRUST)
    found = change(cluster(kms(), resources=("*.*",)), replace(TRUST, encrypted_by=wide))
    assert (firsts(found.reads), firsts(found.writes)) == ({"*.*": OWN}, {"*.*": kms()})
    wide = encryption_change.settled(cluster(resources=("*.", "*.apps")), TRUST)
    found = change(cluster(kms(), resources=("*.", "*.apps")), replace(TRUST, encrypted_by=wide))
    assert firsts(found.writes) == {"*.": kms(), "*.apps": kms()}


def test_nothing_changes_in_a_new_cluster_or_where_it_is_so_already() -> None:
    assert encryption_change.between(cluster(aesgcm("a")), TRUST, {"a": bare()}, NOW) is None
    assert encryption_change.between(cluster(), TRUST, living(), NOW) is None


def plan(*, action: Any = "update", restart: bool = False) -> HostPlan:
    final = File(path=ENCRYPTION, content=b"final", secret=True)
    unit = Unit(name="kube-apiserver.service", content=b"")
    restarts = (Restart(stage="api-server", unit=unit, reason="x", running=True),) if restart else ()
    return HostPlan(
        host="a",
        changes=(Change(stage="api-server", key=final.key, action=action, reasons=("x",), resource=final),),
        restarts=restarts,
        stamps={},
        unstamps={},
    )


def test_a_file_goes_through_three_stages() -> None:
    found = change(cluster(aesgcm("a")))
    stages = [(item.stage, item.resource) for item in encryption_change.by_steps(plan(), found).changes]
    assert stages == [
        ("api-server", found.reads),
        ("new-key", found.writes),
        ("old-key", File(path=ENCRYPTION, content=b"final", secret=True)),
    ]
    assert encryption_change.by_steps(plan(action="permissions"), found) == plan(action="permissions")


def test_with_a_limit_no_new_key_writes_before_all_read_it() -> None:
    found = change(cluster(aesgcm("a")))
    plans = {name: encryption_change.by_steps(plan(), found) for name in "ab"}
    chosen, left = encryption_change.limited({"a": plans["a"]}, plans, found)
    assert left is None
    assert [item.stage for item in chosen["a"].changes] == ["api-server"]
    assert encryption_change.limited(plans, plans, found) == (plans, found)


@pytest.mark.parametrize(("restart", "learning"), [(False, 1), (True, 0)])
def test_a_server_that_restarts_with_the_file_is_not_waited_for(restart: bool, learning: int) -> None:
    class Facts:
        def node_ip(self, host: Host) -> str:
            return "192.0.2.1"

    plans = {"a": plan(restart=restart)}
    facts: Any = Facts()
    assert len(encryption_change.learning(cluster(), facts, plans)) == learning
    assert encryption_change.servers(cluster(), facts, plans) == ("https://192.0.2.1:6443",)


def test_while_kprovs_own_key_is_replaced_the_other_one_is_read() -> None:
    both = replace(TRUST, encryption_name="key2", encryption_key=b"n" * 32, encryption_other=("key1", b"k" * 32))
    names = [
        provider["secretbox"]["keys"][0]["name"]
        for provider in encryption.settled(EncryptionSettings(), both.encryption_keys)["resources"][0]["providers"][:-1]
    ]
    assert names == ["key2", "key1"]
    before = replace(both, encrypted_by=encryption_change.settled(cluster(), TRUST))
    assert encryption.written_by(before)["resources"][0]["providers"] == [OWN, NONE]


def test_a_key_that_neither_folder_nor_inventory_knows_is_seen() -> None:
    own, other = encryption.settled(EncryptionSettings(), [("key1", b"k" * 32)]), Secret("b3RoZXI=")
    strange = {"aesgcm": {"keys": [{"name": "x", "secret": other}]}}
    for made in (cluster(), cluster(aesgcm("a"))):
        assert not encryption_change.has_unknown_keys(made, TRUST, dump(own))
        assert not encryption_change.has_unknown_keys(made, TRUST, b"]")
        text = dump(encryption.settled(EncryptionSettings(providers=(strange,)), [("key1", b"k" * 32)]))
        assert encryption_change.has_unknown_keys(made, TRUST, text)
        assert not encryption_change.has_unknown_keys(cluster(strange), TRUST, text), "the inventory knows it"
        by = replace(TRUST, encrypted_by=json.dumps(yaml.safe_load(text)))
        assert not encryption_change.has_unknown_keys(made, by, text), "the folder knows it"


def test_only_files_of_kprovs_that_differ_are_looked_into() -> None:
    wanted = {"a": {"api-server": (File(path=ENCRYPTION, content=b"new"),)}}
    state = FileState(mode=0o600, owner="", group="", kind="regular file", stat="-", sha256="old")
    there = replace(living()["a"], files={ENCRYPTION: state})
    assert encryption_change.differing(wanted, {"a": there}) == ("a",)
    same = replace(state, sha256=wanted["a"]["api-server"][0].sha256)
    for other in (bare(), replace(there, records={}), replace(there, files={ENCRYPTION: same})):
        assert encryption_change.differing(wanted, {"a": other}) == ()
