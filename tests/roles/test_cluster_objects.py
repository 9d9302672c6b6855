"""The objects that make a cluster: order, labels, and the form the API server gives them back in."""

from __future__ import annotations

from typing import Any

from given import context

from kprov.roles.cloud_nodes import PROVIDER, UNINITIALIZED
from kprov.roles.cluster_objects import objects

_GIVEN = {
    "cluster": {"coredns": {"replicas": 3}, "domain": "corp.example", "dns_ip": "10.96.0.53"},
    "hosts": {
        "e": {"groups": ["etcd"]},
        "c": {
            "groups": ["control_plane"],
            "taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
        },
        "w": {"groups": ["worker"], "labels": {"zone": "a"}},
    },
}


def _objects() -> tuple[dict[str, Any], ...]:
    given = context(_GIVEN)
    return objects(given.cluster, given.facts, given.pod_cidrs, "example.org/coredns:v1")


def _one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [item for item in _objects() if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def test_all_are_labelled_and_none_is_there_twice() -> None:
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in _objects()]
    assert len(keys) == len(set(keys))
    assert all(item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kprov" for item in _objects())


def test_rights_come_first_and_accounts_before_their_pods() -> None:
    kinds = [(item["kind"], item["metadata"]["name"]) for item in _objects()]
    assert kinds[:2] == [
        ("ClusterRoleBinding", "kubeadm:cluster-admins"),
        ("ClusterRoleBinding", "kprov:kubelet-api-admins"),
    ]
    assert kinds.index(("ServiceAccount", "coredns")) < kinds.index(("Deployment", "coredns"))
    assert kinds.index(("ConfigMap", "coredns")) < kinds.index(("Deployment", "coredns"))


def test_nodes() -> None:
    assert [item["metadata"]["name"] for item in _objects() if item["kind"] == "Node"] == ["c", "w"]
    control_plane = _one("Node", "c")
    assert control_plane["spec"]["taints"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    assert "node-role.kubernetes.io/control-plane" in control_plane["metadata"]["labels"]
    worker = _one("Node", "w")
    assert worker["metadata"]["labels"]["zone"] == "a"
    assert "node-role.kubernetes.io/control-plane" not in worker["metadata"]["labels"]
    assert worker["spec"] == {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}


def test_nodes_of_a_cloud() -> None:
    hosts = {
        "c": {"groups": ["control_plane"], "provider_id": "hcloud://1"},
        "w": {"groups": ["worker", "control_plane"]},
    }
    given = context({"cluster": {"cloud": {"provider": "hetzner"}}, "hosts": hosts})
    listed = objects(given.cluster, given.facts, given.pod_cidrs, "x")
    first, second = (item for item in listed if item["kind"] == "Node")
    assert first["spec"]["providerID"] == "hcloud://1"
    assert "providerID" not in second["spec"]
    assert first["metadata"]["annotations"] == second["metadata"]["annotations"] == {PROVIDER: "hetzner"}
    balanced = "node.kubernetes.io/exclude-from-external-load-balancers"
    assert [balanced in node["metadata"]["labels"] for node in (first, second)] == [True, False]
    (dns,) = [item for item in listed if item["kind"] == "Deployment"]
    assert {"key": UNINITIALIZED, "operator": "Exists", "effect": "NoSchedule"} in dns["spec"]["template"]["spec"][
        "tolerations"
    ]
    assert UNINITIALIZED not in str(_objects())


def test_a_node_without_a_pod_network_is_left_out() -> None:
    given = context(_GIVEN)
    listed = objects(given.cluster, given.facts, {"w": given.pod_cidrs["w"]}, "x")
    assert [item["metadata"]["name"] for item in listed if item["kind"] == "Node"] == ["w"]


def test_cluster_dns() -> None:
    deployment = _one("Deployment", "coredns")
    assert deployment["spec"]["replicas"] == 3
    pod = deployment["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"] == "example.org/coredns:v1"
    assert _one("Service", "kube-dns")["spec"]["clusterIP"] == "10.96.0.53"
    assert "kubernetes corp.example in-addr.arpa" in _one("ConfigMap", "coredns")["data"]["Corefile"]
    labels = pod["metadata"]["labels"].items()
    for kind, name in (("Service", "kube-dns"), ("Deployment", "coredns"), ("PodDisruptionBudget", "coredns")):
        selector = _one(kind, name)["spec"]["selector"]
        assert selector.get("matchLabels", selector).items() <= labels


def test_cluster_dns_runs_with_no_rights() -> None:
    security = _one("Deployment", "coredns")["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True


def test_a_handler_of_some_nodes_is_a_class_that_leads_to_them() -> None:
    some = {"groups": ["worker"], "handlers": {"youki": {"path": "/usr/local/bin/youki"}}}
    given = context({"hosts": {"c": {"groups": ["control_plane"]}, "w": some}})
    listed = objects(given.cluster, given.facts, given.pod_cidrs, "x")
    (youki,) = [item for item in listed if item["kind"] == "RuntimeClass"]
    assert youki["handler"] == youki["metadata"]["name"] == "youki"
    selector = youki["scheduling"]["nodeSelector"]
    labels = {item["metadata"]["name"]: item["metadata"]["labels"] for item in listed if item["kind"] == "Node"}
    assert selector.items() <= labels["w"].items()
    assert not selector.items() & labels["c"].items()


def test_a_handler_of_all_nodes_needs_no_label() -> None:
    everywhere = {"groups": ["control_plane", "worker"], "handlers": {"youki": {"path": "/usr/local/bin/youki"}}}
    given = context({"hosts": {"a": everywhere}})
    listed = objects(given.cluster, given.facts, given.pod_cidrs, "x")
    (youki,) = [item for item in listed if item["kind"] == "RuntimeClass"]
    assert "scheduling" not in youki
    (node,) = [item for item in listed if item["kind"] == "Node"]
    assert not [label for label in node["metadata"]["labels"] if "handler" in label]


def test_the_clusters_dns_is_asked_every_second_until_it_is_ready_and_every_other_second_then() -> None:
    (container,) = _one("Deployment", "coredns")["spec"]["template"]["spec"]["containers"]
    startup, ready = container["startupProbe"], container["readinessProbe"]
    assert (startup["periodSeconds"], startup["httpGet"]) == (1, ready["httpGet"])
    assert startup["failureThreshold"] >= 300, "while the API is away a restart does not help"
    assert ready["periodSeconds"] == 2, "a kubelet younger than this waits for a random part of it"
    assert ready["failureThreshold"] == 8
