"""Settings that each component takes and a cluster does not live with, and doors that are open."""

from __future__ import annotations

import pytest
from inventory_text import cluster, loaded, only

PROFILES = "profiles: [{schedulerName: packing}]"
FAULTS = [
    (
        "extra_args: {kube-controller-manager: {node-monitor-grace-period: 10s}}",
        "10s",
        "taken for dead",
        "at least 20s",
    ),
    ("kubelet: {nodeLeaseDurationSeconds: 120}", "120", "taken for dead", "at most 100"),
    (
        "extra_args: {kube-scheduler: {leader-elect-lease-duration: 5s}}",
        "5s",
        "lose its lease",
        "longer than its renewal",
    ),
    ("extra_args: {kube-controller-manager: {leader-elect-retry-period: 9s}}", "9s", "lose its lease", "1.2 times"),
    ("kube_scheduler: {leaderElection: {leaseDuration: 8s}}", "8s", "lose its lease", "a lease longer"),
    ("scheduler: {leaderElection: {renewDeadline: 20s}}", "20s", "lose its lease", "a lease longer"),
    (
        "extra_args: {kube-controller-manager: {controllers: deployment}}",
        "deployment",
        "would be off",
        "'*' among them",
    ),
    (
        "extra_args: {kube-controller-manager: {controllers: '*,-endpointslice-controller'}}",
        "'*",
        "endpointslice-controller would be off",
        "nothing of the cluster's own",
    ),
    (
        "extra_args: {kube-apiserver: {kubelet-preferred-address-types: ExternalIP}}",
        "ExternalIP",
        "would not find the kubelets",
        "InternalIP among them",
    ),
    ("extra_args: {kube-apiserver: {service-node-port-range: 32767-30000}}", "32767", "no range", "30000-32767"),
    ("extra_args: {kube-apiserver: {service-node-port-range: 30000-70000}}", "30000", "no range", "65535"),
    ("extra_args: {kube-apiserver: {service-node-port-range: many}}", "many", "no range", "30000-32767"),
    (f"kube_scheduler: {{{PROFILES}}}", "[", "stay Pending", "default-scheduler"),
    (f"scheduler: {{{PROFILES}}}", "[", "stay Pending", "default-scheduler"),
]


@pytest.mark.parametrize(("line", "pointed", "what", "needed"), FAULTS)
def test_what_a_cluster_does_not_live_with_is_refused(line: str, pointed: str, what: str, needed: str) -> None:
    mistake = only(cluster(line))
    assert mistake.where == f"i.yaml:3:{line.index(pointed) + 3}"
    assert what in mistake.what
    assert needed in mistake.needed


@pytest.mark.parametrize(
    "line",
    [
        "extra_args: {kube-apiserver: {kubelet-preferred-address-types: 'Hostname,ExternalIP'}}",
        "extra_args: {kube-controller-manager: {controllers: '*,-ttl-controller'}}",
        "extra_args: {kube-controller-manager: {controllers: ['*', -ttl-controller]}}",
        "extra_args: {kube-controller-manager: {node-monitor-grace-period: 20s}}",
        "kubelet: {nodeLeaseDurationSeconds: 100}",
        "extra_args: {kube-scheduler: {leader-elect-lease-duration: 30s, leader-elect-renew-deadline: 20s}}",
        "extra_args: {kube-controller-manager: {controllers: '*,-bootstrap-signer-controller'}}",
        "extra_args: {kube-apiserver: {service-node-port-range: 20000-22767}}",
        "extra_args: {kube-apiserver: {service-node-port-range: 30000+2767}}",
        "kube_scheduler: {profiles: [{schedulerName: packing}, {schedulerName: default-scheduler}]}",
        "scheduler: {profiles: [{percentageOfNodesToScore: 50}]}",
    ],
)
def test_what_it_lives_with_is_taken(line: str) -> None:
    assert not loaded(cluster(line)).warnings


def test_a_longer_lease_goes_with_a_longer_grace() -> None:
    both = "extra_args: {{kube-controller-manager: {{node-monitor-grace-period: {}}}}}"
    lease = "kubelet: {nodeLeaseDurationSeconds: 200}"
    assert loaded(cluster(both.format("100s"), lease)).cluster
    assert "at least 100s" in only(cluster(both.format("99s"), lease)).needed


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("kubelet: {authentication: {anonymous: {enabled: true}}}", "asked for no name"),
        ("kubelet: {authorization: {mode: AlwaysAllow}}", "programs in every pod"),
        ("kubelet: {authentication: {webhook: {enabled: false}}}", "metrics-server"),
        ("kubelet: {readOnlyPort: 10255}", "reads what runs"),
        ("extra_args: {kube-apiserver: {service-node-port-range: 2000-32767}}", "10250"),
    ],
)
def test_open_doors_are_a_caution(line: str, told: str) -> None:
    (caution,) = loaded(cluster(line)).warnings
    assert told in str(caution)
    assert "i.yaml:3:" in str(caution)
