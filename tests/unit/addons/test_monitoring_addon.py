"""The add-on `monitoring`: whom it asks and how, where it keeps data, and what its rules and dashboards consist of."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from kprov.addon.choose import by_name, why_not
from kprov.addon.render import Surroundings, rendered
from kprov.objects.objects import Object
from kprov.roles import metrics_proxy, metrics_store
from kprov.roles.stores import store_host
from kprov.values.components import METRICS_PROXY
from kprov.values.errors import AddonError
from kprov.values.model import Cluster, Connection, Host

(MONITORING,) = (addon for addon in by_name(["monitoring"]) if addon.name == "monitoring")


def host(name: str, number: int, *groups: str, runtime: str = "containerd") -> dict[str, Any]:
    address = f"192.0.2.{number}"
    return {"name": name, "address": address, "sources": [address], "groups": list(groups), "runtime": runtime}


TOKEN_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
CP1 = host("cp1", 1, "control_plane", "etcd")
W1 = host("w1", 2, "worker", runtime="crio")
E1 = host("e1", 3, "etcd")
CLUSTER = {
    "name": "c",
    "domain": "cluster.local",
    "nodes": [CP1, W1],
    "control_plane": [CP1],
    "etcd": [CP1, E1],
    "hosts": [CP1, W1, E1],
    "addons": ["monitoring"],
    "enforces_policies": True,
}


def objects(
    *, addons: tuple[str, ...] = (), nodes: list[dict[str, Any]] | None = None, **parameters: Any
) -> dict[str, Object]:
    """Kind and name → object."""
    addon = replace(MONITORING, parameters=MappingProxyType({**MONITORING.parameters, **parameters}))
    cluster = {**CLUSTER, "addons": ["monitoring", *addons], "nodes": nodes or CLUSTER["nodes"]}
    images = {image.name: f"r/{image.name}:1" for image in MONITORING.images}
    around = Surroundings(cluster=cluster, ca={}, images=images, secret_seed=b"k" * 32, token_key=TOKEN_KEY)
    return {f"{item['kind']} {item['metadata']['name']}": item for item in rendered(addon, around)}


def jobs(**given: Any) -> dict[str, dict[str, Any]]:
    text = objects(**given)["ConfigMap scrape"]["data"]["scrape.yaml"]
    return {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}


def nodes_of(job: dict[str, Any]) -> list[str]:
    return [row["labels"]["node"] for row in job["static_configs"]]


def arguments(container: str, **given: Any) -> list[str]:
    pod = objects(**given)["Deployment victoria-metrics"]["spec"]["template"]["spec"]
    return next(item["args"] for item in pod["containers"] if item["name"] == container)


def test_every_component_is_asked_where_it_runs() -> None:
    found = {name: nodes_of(job) for name, job in jobs().items() if "labels" in job.get("static_configs", [{}])[0]}
    assert found == {
        "kube-apiserver": ["cp1"],
        "kube-controller-manager": ["cp1"],
        "kube-scheduler": ["cp1"],
        "etcd": ["cp1", "e1"],
        "kubelet": ["cp1", "w1"],
        "cadvisor": ["cp1", "w1"],
        "kube-proxy": ["cp1", "w1"],
        "policies": ["cp1", "w1"],
        "containerd": ["cp1"],
        "node": ["cp1", "w1", "e1"],
        "certificates": ["cp1", "w1", "e1"],
    }
    assert "containerd" not in jobs(nodes=[W1])


def test_what_listens_on_loopback_is_asked_through_the_proxy_and_nothing_is_unverified() -> None:
    for name, job in jobs().items():
        targets = [target for row in job.get("static_configs", ()) for target in row["targets"]]
        proxied = [target for target in targets if target.endswith(f":{METRICS_PROXY.port('https')}")]
        assert proxied in ([], targets), name
        assert bool(proxied) == ("cert_file" in job.get("tls_config", {})), name
        if proxied:
            assert job["metrics_path"] == f"/{name}/metrics"
        if job.get("scheme") == "https":
            assert job["tls_config"]["ca_file"]
            assert "insecure_skip_verify" not in job["tls_config"]


def test_a_token_goes_only_to_those_that_ask_the_api_server_about_it() -> None:
    with_token = {name for name, job in jobs().items() if "authorization" in job}
    assert with_token == {"kube-apiserver", "kubelet", "cadvisor", "kube-controller-manager", "kube-scheduler"}


def test_the_proxy_knows_the_scraper_by_the_name_in_its_certificate() -> None:
    row = next(row for row in MONITORING.description.certificates if row.secret == "scraper-tls")
    assert (row.common_name, row.usage, row.organizations) == (metrics_proxy.SCRAPER, "client", ())
    assert MONITORING.name == metrics_proxy.ADDON


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("container_memory_working_set_bytes;;web", True),
        ("container_memory_working_set_bytes;;", False),  # the pod's own group, which holds those of its containers
        ("container_memory_working_set_bytes;;POD", False),
        ("container_network_receive_bytes_total;eth0;", True),
        ("container_network_receive_bytes_total;eth0;POD", True),
        ("container_network_receive_bytes_total;cni0;", False),
        ("container_tasks_state;;web", False),
    ],
)
def test_of_a_pod_and_its_containers_one_is_counted(line: str, kept: bool) -> None:
    """name;interface;container, as the first two rules of the job judge it."""
    keep, drop, *_ = jobs()["cadvisor"]["metric_relabel_configs"]
    name, _, container = line.split(";")
    assert (keep["action"], drop["action"]) == ("keep", "drop")
    found = re.fullmatch(keep["regex"], line) is not None and not re.fullmatch(drop["regex"], f"{name};{container}")
    assert found == kept


def test_histograms_stay_out_but_for_etcds_three() -> None:
    for name, job in jobs().items():
        rules = job.get("metric_relabel_configs", ())
        dropping = any(rule.get("regex") == ".+_bucket;" and rule["action"] == "drop" for rule in rules)
        assert dropping == (name not in ("cadvisor", "node", "certificates")), name
        assert ("wal_fsync" in json.dumps(rules)) == (name == "etcd")


def test_retention_reaches_the_store() -> None:
    assert "-retentionPeriod=14d" in arguments("victoria-metrics")
    assert "-retentionPeriod=2y" in arguments("victoria-metrics", retention="2y")


def test_the_first_start_of_a_container_counts_as_no_change() -> None:
    """As it would with MetricsQL's changes()."""
    data = objects()
    asked = json.dumps([data[f"ConfigMap {name}"]["data"] for name in ("rules", "dashboards")])
    assert "changes_prometheus(container_start_time_seconds" in asked
    assert "changes(container" not in asked


def volume(**given: Any) -> dict[str, Any]:
    pod = objects(**given)["Deployment victoria-metrics"]["spec"]["template"]["spec"]
    return next(item for item in pod["volumes"] if item["name"] == "data")


def test_a_class_gives_the_volume() -> None:
    for given, of_class in (({"addons": ("storage",)}, None), ({"storage_class": "fast"}, "fast")):
        whole = objects(**given, storage_size="20Gi")
        assert volume(**given)["persistentVolumeClaim"] == {"claimName": "victoria-metrics"}
        claim = whole["PersistentVolumeClaim victoria-metrics"]["spec"]
        assert claim.get("storageClassName") == of_class
        assert claim["resources"]["requests"]["storage"] == "20Gi"
        assert not any(name.startswith("PersistentVolume ") for name in whole)


@pytest.mark.parametrize("parameters", [{}, {"node": "cp1"}])
def test_else_it_is_the_folder_that_the_role_makes(parameters: dict[str, str]) -> None:
    """Named by its node: another node is another volume, and the old one stays."""
    cluster = Cluster(name="c", versions={}, hosts=tuple(map(inventory_host, CLUSTER["hosts"])))
    addon = replace(MONITORING, parameters={**MONITORING.parameters, **parameters})
    node = store_host(cluster, addon)
    assert node == (parameters.get("node") or "w1")
    made = objects(**parameters)[f"PersistentVolume monitoring-{node}"]["spec"]
    assert made["local"]["path"] == metrics_store.FOLDER
    assert node in json.dumps(made["nodeAffinity"])
    assert volume(**parameters)["persistentVolumeClaim"]["claimName"] == made["claimRef"]["name"]
    pod = objects(**parameters)["Deployment victoria-metrics"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsGroup"] == 0
    assert "fsGroup" not in pod["securityContext"], "kubelet would take the folder for another group"


def test_a_store_on_a_host_that_is_no_node_is_refused() -> None:
    cluster = Cluster(name="c", versions={}, hosts=tuple(map(inventory_host, CLUSTER["hosts"])))
    with pytest.raises(AddonError) as caught:
        store_host(cluster, replace(MONITORING, parameters={**MONITORING.parameters, "node": "e1"}))
    assert "cluster.addons.monitoring.node" in str(caught.value)
    assert "one of cp1, w1" in str(caught.value)


def inventory_host(values: dict[str, Any]) -> Host:
    return Host(name=values["name"], groups=frozenset(values["groups"]), connection=Connection(address="192.0.2.9"))


def test_alerts_go_nowhere_until_there_is_an_alertmanager() -> None:
    assert "-notifier.blackhole" in arguments("vmalert")
    given = {"alertmanager": "http://alertmanager.example:9093"}
    assert "-notifier.url=http://alertmanager.example:9093" in arguments("vmalert", **given)
    assert "-notifier.blackhole" not in arguments("vmalert", **given)
    assert "watchdog.yaml" in objects(**given)["ConfigMap rules"]["data"]
    assert "watchdog.yaml" not in objects()["ConfigMap rules"]["data"]


def test_the_password_stands_in_the_secret_alone() -> None:
    whole = objects()
    secret = whole.pop("Secret login")["data"]
    assert len(secret["password"]) == 44  # 32 characters in base64
    for name in ("password", "store"):
        assert secret[name] not in json.dumps(whole, default=dict)
    assert base64.b64decode(secret["store"]).decode().startswith("Basic ")


def test_people_come_in_with_a_token_that_the_cluster_made_out_to_the_store() -> None:
    found, opening = objects(), MONITORING.description.opening
    assert opening is not None
    (people,) = yaml.safe_load(found["ConfigMap gate"]["data"]["auth.yaml"])["users"]
    assert people["jwt"]["public_keys"] == [TOKEN_KEY]
    claims = people["jwt"]["match_claims"]
    assert re.search(claims["aud"], opening.audience)
    assert not re.search(claims["aud"], opening.audience.replace(".", "-"))
    assert re.search(claims["sub"], f"system:serviceaccount:monitoring:{opening.service_account}")
    assert f"ServiceAccount {opening.service_account}" in found
    assert opening.port in [row["port"] for row in found[f"Service {opening.service}"]["spec"]["ports"]]


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("retention", "30d", True),
        ("retention", "12h", False),  # the store takes a day at least
        ("scrape_interval", "15s", True),
        ("scrape_interval", "1d", False),
        ("alertmanager", "https://a.example:9093/path", True),
        ("alertmanager", "a.example:9093", False),
        ("alertmanager", "http://a,http://b", False),
        ("storage_class", "Fast", False),
    ],
)
def test_parameters(name: str, value: str, fits: bool) -> None:
    assert (why_not(MONITORING.description.parameters[name], value) is None) == fits


def alerts(**given: Any) -> Iterator[dict[str, Any]]:
    for text in objects(**given)["ConfigMap rules"]["data"].values():
        for group in yaml.safe_load(text)["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    found = list(alerts(alert_delay="7m", alertmanager="http://a"))
    assert len({rule["alert"] for rule in found}) == len(found)
    assert "7m" in {rule.get("for") for rule in found}
    assert "ALERT_DELAY" not in json.dumps(found)
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning", "none")
        assert rule["annotations"].keys() == {"summary", "todo"}


def test_every_alert_is_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in alerts(alertmanager="http://a") if f"`{rule['alert']}`" not in page] == []


def test_dashboards_have_what_vmui_reads() -> None:
    data = objects()["ConfigMap dashboards"]["data"]
    boards = {name: json.loads(text) for name, text in data.items()}
    assert [board["title"] for _, board in sorted(boards.items())] == [
        "Cluster",
        "Nodes",
        "Namespaces",
        "Pods",
        "etcd",
        "API server",
    ]
    for board in boards.values():
        (row,) = board["rows"]  # vmui opens the first one only
        for panel in row["panels"]:
            assert panel.keys() <= {"title", "description", "unit", "width", "expr", "alias", "showLegend"}
            assert len(panel.get("alias", panel["expr"])) == len(panel["expr"])
