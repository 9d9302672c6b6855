"""What holds for the pods and rights of every add-on that ships: confined, bounded, and with no more than they use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cloud_values import GIVEN

from kprov.addon.choose import chosen
from kprov.addon.describe import shelf
from kprov.addon.desired import image_references
from kprov.addon.render import Surroundings, rendered
from kprov.objects.objects import Object
from kprov.values.addon import Addon
from kprov.values.model import NETWORK_ADDONS
from kprov.values.secret import Secret

# Their objects are upstream's own, fetched by location; kprov sets values in them and ships none of them.
UPSTREAMS = set(NETWORK_ADDONS)
SHIPPED = sorted(set(shelf(None)) - UPSTREAMS)
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
    "dns_ip": "10.96.0.10",
    "kubernetes": "1.37.1",
    "pod_cidr": "10.244.0.0/16",
    "service_cidr": "10.96.0.0/16",
    "addons": [],
    "enforces_policies": True,
    **{key: [HOST] for key in ("nodes", "control_plane", "etcd", "hosts")},
}
# Volumes that Pod Security's `restricted` has; hostPath is none of them.
CONFINED = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# Workloads whose pods have the token of their service account, and for what.
WITH_TOKEN = {
    "headlamp/headlamp": "it finds the API server by it; the account has no rights",
    "logging/vlagent": "it asks the API for the pods of its node",
    "metrics-server/metrics-server": "it asks kubelets, and the API who may ask it",
    "storage/local-path-provisioner": "it makes volumes for claims",
}
# Workloads that run as root, or write where their image is, and why.
ROOT = {"node-local-dns/node-local-dns": "port 53 of its node: no other user gets the capability for it"}
WRITABLE: Mapping[str, str] = {
    "headlamp/headlamp": "it copies its pages into /tmp at each start: a volume would keep the copies of all of them"
}
# Rights that include Secrets, and why.
SECRETS: Mapping[str, str] = {}


def addon(name: str) -> Addon:
    def fault(path: tuple[str, ...], what: str, **_: str) -> None:
        raise AssertionError(f"{path}: {what}")

    entries = {"metrics-server": False, name: GIVEN.get(name, True)}
    found = chosen(entries, None, fault, lambda path, _: Secret(path[-1]), kubernetes=(1, 37))
    return next(one for one in found if one.name == name)


def objects(one: Addon) -> tuple[Object, ...]:
    images = {"coredns": "r/coredns:1", **image_references(one, {})}
    ca = dict.fromkeys(("kubernetes", "etcd", "front_proxy"), "PEM\n")
    return rendered(one, Surroundings(cluster=CLUSTER, ca=ca, images=images, secret_seed=b"k" * 32))


def pods(one: Addon) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Add-on and workload, and the specification of its pods."""
    for item in objects(one):
        template = (item.get("spec") or {}).get("template")
        if template and item["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job"):
            yield f"{one.name}/{item['metadata']['name']}", template["spec"]


def containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod["containers"], *pod.get("initContainers", ())]


@pytest.mark.parametrize("name", SHIPPED)
def test_pods_keep_to_restricted_or_the_add_on_says_why_not(name: str) -> None:
    """Also those in kube-system, where the API server enforces nothing."""
    one = addon(name)
    if one.description.level != "restricted":
        assert len(one.description.reason) > 20
        return
    for workload, pod in pods(one):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), workload
        assert {key for volume in pod.get("volumes", ()) for key in volume} <= {"name", *CONFINED}, workload
        for container in containers(pod):
            security = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert security["runAsNonRoot"] is True, workload
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, workload
            assert set(container["securityContext"]["capabilities"].get("add", ())) <= {"NET_BIND_SERVICE"}, workload
            assert not [port for port in container.get("ports", ()) if "hostPort" in port], workload


@pytest.mark.parametrize("name", SHIPPED)
def test_pods_are_confined_and_bounded(name: str) -> None:
    for workload, pod in pods(addon(name)):
        for container in containers(pod):
            security, resources = container["securityContext"], container["resources"]
            merged = {**pod.get("securityContext", {}), **security}
            assert security["allowPrivilegeEscalation"] is False, workload
            assert security["capabilities"]["drop"] == ["ALL"], workload
            assert not security.get("privileged"), workload
            assert (merged.get("runAsNonRoot") is True) != (workload in ROOT), workload
            assert (security.get("readOnlyRootFilesystem") is True) != (workload in WRITABLE), workload
            own = {"ephemeral-storage"} if workload in WRITABLE else set()  # what can be written to is bounded
            assert set(resources["requests"]) == {"cpu", "memory", *own}, workload
            # None of the processor: docs/decisions.md says why.
            assert set(resources["limits"]) == {"memory", *own}, workload


@pytest.mark.parametrize("name", SHIPPED)
def test_pods_are_asked_every_second_until_they_are_ready_and_every_other_second_then(name: str) -> None:
    for workload, pod in pods(addon(name)):
        for container in containers(pod):
            if ready := container.get("readinessProbe"):
                startup = container["startupProbe"]
                assert (startup["periodSeconds"], startup["httpGet"]) == (1, ready["httpGet"]), workload
                assert startup["failureThreshold"] >= 300, f"{workload}: a restart does not make it quicker"
                # A kubelet younger than this waits for a random part of it.
                assert ready["periodSeconds"] == 2, workload
                assert ready["failureThreshold"] == 8, workload
            assert "initialDelaySeconds" not in container.get("readinessProbe", {}), workload


@pytest.mark.parametrize("name", SHIPPED)
def test_a_token_is_in_pods_only_where_it_is_used(name: str) -> None:
    cloud = "its controller works by the API"
    for workload, pod in pods(addon(name)):
        known = WITH_TOKEN.get(workload, cloud if name.startswith("cloud-") else "")
        assert pod["automountServiceAccountToken"] is bool(known), workload
    for item in objects(addon(name)):
        if item["kind"] == "ServiceAccount":
            assert item.get("automountServiceAccountToken") is False, item["metadata"]["name"]


@pytest.mark.parametrize("name", SHIPPED)
def test_rights_are_named_one_by_one_and_leave_out_secrets(name: str) -> None:
    for item in objects(addon(name)):
        if item["kind"] not in ("Role", "ClusterRole"):
            continue
        for rule in item["rules"]:
            for key in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
                assert "*" not in rule.get(key, ()), item["metadata"]["name"]
            named = {resource.partition("/")[0] for resource in rule.get("resources", ())}
            assert ("secrets" in named) == (item["metadata"]["name"] in SECRETS), item["metadata"]["name"]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), item["metadata"]["name"]


def test_every_reason_is_still_needed() -> None:
    there = {workload for name in SHIPPED for workload, _ in pods(addon(name))}
    assert {*WITH_TOKEN, *ROOT, *WRITABLE} <= there


def test_whose_pods_read_kubelets_is_told_by_labels_that_those_pods_have() -> None:
    told = {name: addon(name).description.reads_kubelets for name in SHIPPED}
    workloads = {"metrics-server": "metrics-server", "monitoring": "victoria-metrics"}
    assert {name for name, labels in told.items() if labels} == set(workloads)
    for name, workload in workloads.items():
        made = [item for item in objects(addon(name)) if (item.get("spec") or {}).get("template")]
        labelled = {item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"] for item in made}
        assert [each for each, labels in labelled.items() if told[name].items() <= labels.items()] == [workload]
