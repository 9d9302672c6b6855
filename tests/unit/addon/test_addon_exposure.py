"""How add-ons are reached from outside: off as they come, by one shape of parameters, and never without TLS and a login."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kprov.addon.certificates import secret_certificates
from kprov.addon.choose import by_name
from kprov.addon.describe import described
from kprov.addon.exposure import filled
from kprov.addon.render import Surroundings, password, rendered
from kprov.inventory import load
from kprov.objects.objects import Object
from kprov.values.addon import Addon
from kprov.values.context import Trust
from kprov.values.errors import AddonError, InventoryError
from kprov.values.model import Cluster

SEED = b"k" * 32
HOST = {
    "name": "a",
    "address": "192.0.2.1",
    "sources": ["192.0.2.1", "10.244.0.1"],
    "groups": ["control_plane", "etcd"],
    "runtime": "containerd",
}
CLUSTER = {
    "name": "c",
    "domain": "cluster.local",
    "pod_cidr": "10.244.0.0/16",
    **{key: [HOST] for key in ("nodes", "control_plane", "etcd", "hosts")},
    "addons": [],
    "enforces_policies": True,
}
INVENTORY = "cluster:\n  name: c\n  addons:\n    {}\nhosts:\n  a: {{address: 192.0.2.1, group: control_plane}}\n"
# Add-on → its Service and the port of it, the port of its pods, and the Secret that they serve.
PAGES = {
    "headlamp": ("headlamp", 80, "http", ""),
    "logging": ("logs", 9428, "https", "logs-tls"),
    "monitoring": ("victoria-metrics", 8428, "https", "victoria-metrics-tls"),
}
NAME = "page.example.org"


def addon(name: str, **parameters: Any) -> Addon:
    (found,) = (one for one in by_name([name]) if one.name == name)
    if "expose" in parameters:
        parameters["expose"] = filled({"host": NAME, **parameters["expose"]})
    return replace(found, parameters=MappingProxyType({**found.parameters, **parameters}))


def objects(name: str, **parameters: Any) -> dict[str, Object]:
    """Kind and name → object."""
    one = addon(name, **parameters)
    images = {image.name: "r/i:1" for image in one.images}
    around = Surroundings(cluster=CLUSTER, ca={"kubernetes": "PEM\n"}, images=images, secret_seed=SEED)
    return {f"{item['kind']} {item['metadata']['name']}": item for item in rendered(one, around)}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_reachable_from_outside_as_it_comes(name: str) -> None:
    found = objects(name)
    assert {item["spec"].get("type", "ClusterIP") for key, item in found.items() if key.startswith("Service ")} == {
        "ClusterIP"
    }
    assert not [key for key in found if key.startswith("Ingress ") or key.endswith("-outside")]


@pytest.mark.parametrize("name", PAGES)
def test_an_ingress_has_tls_and_goes_to_the_service_that_asks_for_a_login(name: str) -> None:
    service, port, _, certificate = PAGES[name]
    notes = {"example.org/says": "HTTPS"}
    given = {"type": "Ingress", "class": "nginx", "tls_secret": "theirs", "annotations": notes}
    made = objects(name, expose=given)[f"Ingress {service}-outside"]
    assert made["metadata"]["annotations"] == notes
    assert made["spec"]["ingressClassName"] == "nginx"
    assert made["spec"]["tls"] == [{"hosts": [NAME], "secretName": "theirs"}]
    (rule,) = made["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == (NAME, "/", "Prefix")
    assert path["backend"] == {"service": {"name": service, "port": {"number": port}}}
    assert f"Service {service}" in objects(name)
    if certificate:
        bare = objects(name, expose={"type": "Ingress"})[f"Ingress {service}-outside"]
        assert bare["spec"]["tls"] == [{"hosts": [NAME], "secretName": certificate}]
        assert "ingressClassName" not in bare["spec"]
        assert "annotations" not in bare["metadata"]


@pytest.mark.parametrize("name", [name for name, row in PAGES.items() if row[3]])
def test_a_service_for_outside_leads_to_the_port_with_tls(name: str) -> None:
    service, _, target, _ = PAGES[name]
    found = objects(name, expose={"type": "LoadBalancer", "class": "c", "annotations": {"a": "b"}})
    made, inside = found[f"Service {service}-outside"], found[f"Service {service}"]
    assert (made["spec"]["type"], made["spec"]["loadBalancerClass"]) == ("LoadBalancer", "c")
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert made["spec"]["ports"] == [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": target}]
    assert made["spec"]["selector"] == inside["spec"]["selector"]
    assert inside["spec"].get("type", "ClusterIP") == "ClusterIP"
    one = objects(name, expose={"type": "NodePort", "node_port": 30443})[f"Service {service}-outside"]["spec"]
    assert (one["type"], one["ports"][0]["nodePort"]) == ("NodePort", 30443)
    assert "nodePort" not in json.dumps(objects(name, expose={"type": "NodePort"}), default=dict)


@pytest.mark.parametrize("name", [name for name, row in PAGES.items() if row[3]])
def test_whom_it_is_exposed_to_is_let_in_where_policies_are_enforced(name: str) -> None:
    def sources(**parameters: Any) -> list[Any]:
        policies = [item for key, item in objects(name, **parameters).items() if key.startswith("NetworkPolicy vic")]
        rules = [rule for policy in policies for rule in policy["spec"]["ingress"]]
        return [rule.get("from") for rule in rules if rule["ports"][0]["port"] in (9428, "https")]

    assert all(sources())
    assert sources(expose={"type": "Ingress"}) == [None]


def names(one: Addon) -> dict[str, tuple[str, ...]]:
    """Secret → DNS names of its certificate."""
    where = Cluster(name="c", versions={}, hosts=(), addons=(one,))
    cas: dict[Any, bytes] = dict.fromkeys(("kubernetes", "etcd", "front-proxy"), b"")
    trust = Trust(bundle=cas, issuer=cas, service_account_key=b"", service_account_public=b"", encryption_key=b"")
    rows = secret_certificates(where, one, {}, CLUSTER, trust, datetime(2026, 1, 1, tzinfo=UTC))
    return {row.identity[3]: row.spec.dns_names for row in rows}


@pytest.mark.parametrize("name", [name for name, row in PAGES.items() if row[3]])
def test_the_certificate_names_the_host(name: str) -> None:
    before, after = names(addon(name)), names(addon(name, expose={"type": "NodePort"}))
    served = PAGES[name][3]
    assert after == {**before, served: (*before[served], NAME)}


@pytest.mark.parametrize(
    ("line", "place", "told", "needed"),
    [
        ("monitoring: {expose: {type: Ingres, host: a.b}}", "4:33", "not one of the accepted words", "Ingress"),
        ("monitoring: {expose: {host: a.b}}", "4:26", "type is missing", "NodePort"),
        ("monitoring: {expose: {type: Ingress}}", "4:26", "host is missing", "DNS name"),
        ("monitoring: {expose: {type: Ingress, host: https://a.b}}", "4:48", "not of the right form", "DNS name"),
        ("monitoring: {expose: {type: Ingress, host: 192.0.2.7}}", "4:48", "not of the right form", "DNS name"),
        ("monitoring: {expose: {type: Ingress, hots: a.b}}", "4:", "there is no such key", "did you mean 'host'?"),
        ("monitoring: {expose: {type: NodePort, host: a.b, class: x}}", "4:", "no meaning with type NodePort", "Ingr"),
        ("logging: {expose: {type: LoadBalancer, host: a.b, tls_secret: x}}", "4:", "no meaning with", "Ingress"),
        ("logging: {expose: {type: Ingress, host: a.b, node_port: 30443}}", "4:", "no meaning with", "NodePort"),
        ("logging: {expose: {type: NodePort, host: a.b, node_port: 443}}", "4:", "not a node port", "30000 to 32767"),
        ("logging: {expose: {type: Ingress, host: a.b, annotations: {a: true}}}", "4:", "wrong kind", "into quotes"),
        ("logging: {expose: {type: Ingress, host: a.b, annotations: [a]}}", "4:", "wrong kind", "a mapping"),
        ("logging: {expose: true}", "4:23", "the wrong kind of value", "`type` and `host`"),
        ("headlamp: {expose: {type: NodePort, host: a.b}}", "4:31", "this add-on speaks plain HTTP", "type Ingress"),
        ("headlamp: {expose: {type: LoadBalancer, host: a.b}}", "4:31", "this add-on speaks plain HTTP", "tls_secret"),
        (
            "headlamp: {expose: {type: Ingress, host: a.b}}",
            "4:24",
            "tls_secret is missing",
            "a certificate for the host",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, line: str, place: str, told: str, needed: str) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(INVENTORY.format(line))
    with pytest.raises(InventoryError) as caught:
        load(path)
    text = str(caught.value)
    assert f"inventory.yaml:{place}" in text
    assert told in text
    assert needed in text


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    given = "{type: Ingress, host: logs.example.org, class: nginx, tls_secret: a.b, annotations: {x.io/y: 'true'}}"
    path.write_text(INVENTORY.format(f"logging: {{expose: {given}}}"))
    found = {one.name: one for one in load(path).cluster.addons}["logging"].parameters["expose"]
    assert (found["host"], found["class"], found["node_port"]) == ("logs.example.org", "nginx", None)


def test_an_exposure_names_a_certificate_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "addon.yaml").write_text(
        "name: mine\nsummary: Mine\nnamespace: mine\n"
        "parameters: {expose: {type: exposure, certificate: mine-tls, description: How.}}\n"
    )
    with pytest.raises(AddonError, match="certificate of parameter expose is not below"):
        described(tmp_path / "mine")


@pytest.mark.parametrize("name", ["logging", "monitoring"])
def test_another_generation_is_another_password_and_starts_the_pods_that_read_it_anew(name: str) -> None:
    first, again, second = (objects(name, password_generation=number) for number in (1, 1, 2))
    assert first == again
    changed = {key for key, item in first.items() if item != second[key]}
    secrets = {"logging": {"Secret logs-login", "Secret vlagent-login"}, "monitoring": {"Secret login"}}[name]
    readers = {
        "logging": {"Deployment victoria-logs", "DaemonSet vlagent"},
        "monitoring": {"Deployment victoria-metrics"},
    }
    assert changed == secrets | readers[name]
    one, other = (password(SEED, name, "admin", number).reveal() for number in (1, 2))
    assert one != other
    assert one == password(SEED, name, "admin").reveal()
