"""Fields that are handed through: judged by the types of the version that reads them, and by what kprov relies on."""

from __future__ import annotations

import pytest
from inventory_text import cluster, loaded, mistakes, only

from kprov.artifacts.options.fields import types_of
from kprov.inventory.taken_fields import TAKEN_FIELDS, taken_field

SLIPS = [  # a line of `cluster`, column, path, what, needed, todo
    ("kubelet: {maxPodz: 5}", 13, "kubelet.maxPodz", "unknown field", "", "did you mean 'maxPods'?"),
    ("kubelet: {maxPods: many}", 22, "kubelet.maxPods", "the wrong kind of value", "a whole number", ""),
    ("kubelet: {authentication: {anonymos: {}}}", 30, "authentication.anonymos", "unknown field", "", "'anonymous'?"),
    ("kubelet: {authentication: {anonymous: true}}", 41, "authentication.anonymous", "wrong kind", "with enabled", ""),
    ("kubelet: {cpuManagerPolicy: statc}", 31, "cpuManagerPolicy", "the wrong kind of value", "none, static", "'static'?"),
    ("kubelet: {imageGCHighThresholdPercent: '85'}", 42, "Percent", "the wrong kind of value", "a whole number", ""),
    ("kubelet: {shutdownGracePeriod: 60}", 34, "shutdownGracePeriod", "the wrong kind", "a duration", ""),
    ("kubelet: {featureGates: {NoGate: true}}", 28, "featureGates.NoGate", "unknown field", "a feature gate", ""),
    ("kubelet: {featureGates: {CPUManagerPolicyOptions: false}}", 53, "featureGates.CPUManagerPolicyOptions", "wrong kind",
     "always on", ""),
    ("kubelet: {featureGates: {AllAlpha: 1}}", 38, "featureGates.AllAlpha", "the wrong kind", "true or false", ""),
    ("kubelet: {tlsCipherSuites: [TLS_NOPE]}", 31, "tlsCipherSuites[0]", "the wrong kind", "TLS_AES", ""),
    ("kubelet: {reservedMemory: [{numaNode: 0, limit: {}}]}", 44, "reservedMemory[0].limit", "unknown", "", "'limits'?"),
    ("kubelet: {evictionHard: [a]}", 27, "evictionHard", "the wrong kind of value", "a mapping", ""),
    ("kube_proxy: {conntrack: {maxPerCor: 1}}", 28, "conntrack.maxPerCor", "unknown field", "", "'maxPerCore'?"),
    ("kube_proxy: {mode: ipvs}", 16, "kube_proxy.mode", "key of its own", "", "kube_proxy_mode"),
    ("kube_scheduler: {parallelisms: 3}", 20, "parallelisms", "unknown field", "", "'parallelism'?"),
    ("kube_scheduler: {profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {ignored: []}}]}]}", 79,
     "profiles[0].pluginConfig[0].args.ignored", "unknown field", "", "'ignoredResources'?"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "column", "path", "what", "needed", "todo"), SLIPS)
def test_what_the_component_would_refuse(line: str, column: int, path: str, what: str, needed: str, todo: str) -> None:
    mistake = only(cluster(line))
    assert mistake.where == f"i.yaml:3:{column}"
    assert path in mistake.what
    assert what in mistake.what
    assert needed in mistake.needed
    assert todo in mistake.todo


def test_proper_fields_of_any_depth_are_taken() -> None:
    text = cluster(
        "kubelet: {maxPods: 200, evictionHard: {memory.available: 5%}, featureGates: {AllBeta: false}, failCgroupV1: false,",
        "  shutdownGracePeriod: 1m30s, cpuManagerPolicy: static, systemReserved: {cpu: 500m}, resolvConf: null,",
        "  logging: {format: json, flushFrequency: 5s, verbosity: 2}, enforceNodeAllocatable: [pods]}",
        "kube_proxy: {conntrack: {maxPerCore: 0}, nftables: {syncPeriod: 30s}, detectLocalMode: ClusterCIDR}",
        "kube_scheduler: {profiles: [{schedulerName: packing, pluginConfig: [{name: NodeResourcesFit, args:",
        "  {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}},",
        "  {name: TheirOwn, args: {anything: [1]}}]}, {schedulerName: default-scheduler}]}",
    )
    host = loaded(text).cluster.host("cp1")
    assert host.kubelet["maxPods"] == 200
    assert host.kube_scheduler["profiles"][0]["schedulerName"] == "packing"


@pytest.mark.parametrize("document", ["kubelet", "kube_proxy", "kube_scheduler"])
def test_what_kprovs_own_parts_rely_on_is_refused_with_a_reason(document: str) -> None:
    for entry in TAKEN_FIELDS[document]:
        for path in entry.fields:
            text = "".join(f"{{{step}: " for step in path) + "x" + "}" * len(path)
            assert taken_field(document, path) is entry
            told = [m for m in mistakes(cluster(f"{document}: {text}")) if "cannot be set here" in m.what]
            assert [m.what.partition("here: ")[2] for m in told] == [entry.why]
            assert told[0].todo


@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_what_kprov_refuses_is_a_field_of_the_version(version: str) -> None:
    types = types_of(version)
    assert types is not None
    roots = {"kubelet": "v1beta1.Kubelet", "kube_proxy": "v1alpha1.KubeProxy", "kube_scheduler": "v1.KubeScheduler"}
    for document, root in roots.items():
        for entry in TAKEN_FIELDS[document]:
            for path in entry.fields:
                kind = f"{root}Configuration"
                for step in path:
                    fields = types[kind]
                    assert not isinstance(fields, tuple)
                    kind = fields[step]


def test_more_pods_than_addresses_are_refused_where_they_are_written() -> None:
    assert "at most 253: its network is a /24" in only(cluster("kubelet: {maxPods: 254}")).needed
    assert loaded(cluster("kubelet: {maxPods: 253}")).cluster
    assert loaded(cluster("network: none", "kubelet: {maxPods: 500}")).cluster
    own = "hosts:\n  cp1: {address: 192.0.2.1, group: control_plane}\n  w1: {address: 192.0.2.2, pod_cidr: 10.244.9.0/26}\n"
    mistake = only(cluster("kubelet: {maxPods: 100}", hosts=own))
    assert (mistake.where, "host w1" in mistake.what) == ("i.yaml:3:22", True)
    assert "at most 61" in mistake.needed
    hosts = "hosts:\n  cp1: {address: 192.0.2.1, group: control_plane}\n  w1: 192.0.2.2\n"
    group = f"groups:\n  worker: {{kubelet: {{maxPods: 900}}}}\n{hosts}"
    assert only(cluster("kubelet: {maxPods: 100}", hosts=group)).where == "i.yaml:5:31"


def test_a_version_that_kprov_does_not_know_is_said() -> None:
    def resolve(kubernetes: str, overrides: object) -> dict[str, str]:
        return {"kubernetes": "1.99.0"}

    from inventory_text import FILE

    from kprov.inventory import parse

    found = parse(cluster("kubelet: {brandNew: 1}"), path=FILE, resolve=resolve).warnings
    assert [c.what for c in found] == [
        "cluster.kubelet: kprov does not know the fields of Kubernetes 1.99, so they are not checked"
    ]
