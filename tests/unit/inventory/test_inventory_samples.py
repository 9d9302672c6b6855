"""The samples of inventory/, the starter, the schema and its page, and the Vagrantfile that belongs to a sample."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from call_count import calls_of

from kprov.inventory import load, parse
from kprov.inventory.reference import render
from kprov.inventory.schema import Inventory, json_schema
from kprov.inventory.starter import starter
from kprov.values.errors import InventoryError

ROOT = Path(__file__).parents[3]
SAMPLES = {  # control planes, etcd members, workers
    "single.yaml": (1, 1, 1),
    "ha.yaml": (3, 3, 2),
    "external-etcd.yaml": (2, 3, 1),
    "vagrant.yaml": (1, 1, 2),
    "single-sign-on.yaml": (1, 1, 1),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_loads_without_a_warning(name: str) -> None:
    made = load(ROOT / "inventory" / name)
    counts = tuple(len(made.cluster.group(group)) for group in ("control_plane", "etcd", "worker"))
    assert counts == SAMPLES[name]
    assert made.warnings == ()


def test_every_sample_is_tested() -> None:
    names = {path.name for path in (ROOT / "inventory").glob("*.yaml")} - {"lab.yaml", "artifacts.lock.yaml"}
    assert names == set(SAMPLES)


def test_a_highly_available_cluster_takes_25_lines() -> None:
    assert len((ROOT / "inventory/ha.yaml").read_text().splitlines()) <= 25


def test_vagrantfile_and_inventory_name_the_same_user_and_key() -> None:
    text = (ROOT / "Vagrantfile").read_text()
    assert 'ENV.fetch("KPROV_INVENTORY", "inventory/vagrant.yaml")' in text
    made = load(ROOT / "inventory/vagrant.yaml").cluster
    assert {host.connection.user for host in made.hosts} == {"vagrant"}
    key = re.search(r'KEY = File.expand_path\("([^"]+)", __dir__\)', text)
    assert key
    assert {host.connection.key for host in made.hosts} == {ROOT / key[1]}


@pytest.mark.parametrize(
    ("count", "planes", "workers"), [(1, 1, 1), (2, 1, 1), (3, 1, 2), (4, 1, 3), (5, 3, 2), (7, 3, 4)]
)
def test_a_starter_loads_without_a_mistake(count: int, planes: int, workers: int) -> None:
    text = starter([f"192.0.2.{n}" for n in range(11, 11 + count)], "prod")
    made = parse(text, path=Path("i.yaml"))
    assert made.cluster.name == "prod"
    assert len(made.cluster.hosts) == count
    assert (len(made.cluster.group("control_plane")), len(made.cluster.group("worker"))) == (planes, workers)
    assert made.warnings == ()


def test_what_a_starter_offers_in_comments_loads_too() -> None:
    text = starter(["192.0.2.11", "192.0.2.12"])
    offered = re.sub(
        r"^( *)# (kubernetes|user|key|pod_cidr|service_cidr|api_endpoint|groups|  worker|    \w+):",
        r"\1\2:",
        text,
        flags=re.M,
    )
    made = parse(offered, path=Path("i.yaml")).cluster
    assert made.api_endpoint == "api.example.org:6443"
    assert made.host("w1").labels["tier"] == "work"


def test_host_arguments_of_a_starter() -> None:
    made = parse(
        starter(["db1=root@192.0.2.11:2222", "root@b.example.org", "no=root@192.0.2.13"]), path=Path("i.yaml")
    ).cluster
    assert [(h.name, h.connection.address, h.connection.user, h.connection.port) for h in made.hosts] == [
        ("db1", "192.0.2.11", "root", 2222),
        ("w1", "b.example.org", "root", None),
        ("no", "192.0.2.13", "root", None),
    ]
    mixed = parse(starter(["a@192.0.2.11", "192.0.2.12"], "no"), path=Path("i.yaml")).cluster
    assert [h.connection.user for h in mixed.hosts] == ["a", None]
    assert mixed.name == "no"


@pytest.mark.parametrize(
    ("hosts", "what"),
    [
        ([], "no hosts are named"),
        (["a:b:c"], "not a host: 'a:b:c'"),
        (["192.0.2.1:99999"], "not a host"),
        (["192.0.2.300"], "'192.0.2.300': not an IPv4 address"),
        (["W1=192.0.2.1"], "'W1=192.0.2.1': not a DNS name"),
        (["-x@192.0.2.1"], "not a user name"),
        (["w1=192.0.2.1", "w1=192.0.2.2"], "two hosts are named w1"),
    ],
)
def test_host_arguments_that_are_none(hosts: list[str], what: str) -> None:
    with pytest.raises(InventoryError) as caught:
        starter(hosts)
    assert what in caught.value.what
    assert caught.value.todo


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, model in {"Inventory": schema, **schema["$defs"]}.items():
        for key, field in model["properties"].items():
            yield name, key, field


def test_every_key_has_a_description_and_none_may_be_null() -> None:
    schema = json_schema()
    assert [(model, key) for model, key, field in _fields(schema) if not field.get("description")] == []
    assert '"null"' not in json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert sum(1 for _ in _fields(schema)) > 60


def test_the_schema_takes_both_forms_of_a_host() -> None:
    forms = json_schema()["properties"]["hosts"]["additionalProperties"]["anyOf"]
    assert forms == [{"type": "string"}, {"$ref": "#/$defs/HostKeys"}]


def test_the_reference_page_is_up_to_date() -> None:
    page = ROOT / "docs/reference/inventory.md"
    assert page.read_text() == render(), f"run: python -m kprov.inventory.reference {page.relative_to(ROOT)}"


def test_the_reference_page_names_every_key() -> None:
    page = render()
    for model, key, field in _fields(json_schema()):
        assert f"| `{key}` |" in page, model
        assert field["description"] in page
    assert set(Inventory.model_fields) == {"cluster", "groups", "hosts"}


def many_hosts(count: int) -> Any:
    lines = ["cluster: {name: big, pod_cidr: 10.0.0.0/8, service_cidr: 172.30.0.0/16}", "hosts:"]
    lines += ["  cp1: {address: 192.0.2.11, groups: [control_plane]}"]
    lines += [
        f"  w{n}: {{address: 172.16.{n // 250}.{n % 250 + 1}, group: worker, pod_cidr: 10.{n // 256}.{n % 256}.0/24}}"
        for n in range(count)
    ]
    return parse("\n".join(lines), path=Path("i.yaml"))


def test_the_work_for_an_inventory_grows_with_its_hosts_and_not_with_their_square() -> None:
    many_hosts(10)
    few, many = calls_of(lambda: many_hosts(100)), calls_of(lambda: many_hosts(800))
    assert many < 8.5 * few
    assert len(many_hosts(800).cluster.hosts) == 801
