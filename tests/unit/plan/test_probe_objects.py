"""What the probe makes in a cluster fits into a namespace that is restricted, and is all its own."""

from __future__ import annotations

from ipaddress import IPv4Address

from kprov.plan import probe_objects as made
from kprov.values.model import Cluster

CLUSTER = Cluster(name="c", versions={}, hosts=(), dns_ip=IPv4Address("10.96.0.10"))


def test_everything_is_in_the_probes_namespace_or_named_like_it() -> None:
    for item in made.objects(CLUSTER, "coredns:1"):
        name = item["metadata"]["name"]
        assert item["metadata"].get("namespace", name) == made.SPACE


def test_two_pods_have_a_budget_and_no_rights_but_to_look_at_services() -> None:
    items = {item["kind"]: item for item in made.objects(CLUSTER, "coredns:1")}
    assert items["Deployment"]["spec"]["replicas"] == 2
    assert items["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert items["ClusterRoleBinding"]["roleRef"]["name"] == "system:coredns"
    pod = items["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert pod["containers"][0]["image"] == "coredns:1"


def test_names_go_to_the_clusters_dns_and_only_the_probes_own_zone_to_the_api() -> None:
    corefile = next(item for item in made.objects(CLUSTER, "x") if item["kind"] == "ConfigMap")["data"]["Corefile"]
    assert "forward . 10.96.0.10" in corefile
    assert f"kubernetes {made.ZONE}" in corefile
    assert made.told(7)["spec"]["externalName"] == "n7.probe.invalid"
    assert made.told_name() == "told.kprov-probe.svc.probe.invalid"
