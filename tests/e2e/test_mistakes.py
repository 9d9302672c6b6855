"""A mistake meets one host, which takes it back by itself, on three real machines: two control planes and a worker."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from conftest import Make, Say
from held_run import kill, start
from lab_cluster import LabCluster, until

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane", "etcd"], "cp2": ["control_plane"], "w1": ["worker"]}
CONFIG = "/etc/containerd/config.toml"
# containerd takes this file, and ends at its start: the address is nobody's here.
UNFIT = {"metrics": {"address": "192.0.2.77:1338"}}


@pytest.fixture(scope="module")
def living(make_cluster: Make) -> LabCluster:
    cluster = make_cluster("e2e-back", HOSTS)
    cluster.kprov("up", "--yes")
    return cluster


@pytest.fixture
def cluster(living: LabCluster) -> Iterator[LabCluster]:
    """The cluster, with nothing to do before and after each test."""
    assert living.kprov("plan").status == 0
    yield living
    living.edit(
        lambda document: [document["cluster"].pop(key, None) for key in ("containerd", "extra_args", "kubelet")]
    )
    living.kprov("up", "--yes")
    await_nodes(living)


def starts(cluster: LabCluster, unit: str) -> dict[str, float]:
    """Host → when the unit's main process started, in seconds of the one kernel that all machines share."""
    asked = f"systemctl show -p ExecMainStartTimestamp --value --timestamp=us+utc {unit} | xargs -I @ date -d @ +%s.%N"
    having = [name for name in HOSTS if cluster.sh(name, f"systemctl cat {unit} > /dev/null && echo yes", check=False)]
    return {name: float(cluster.sh(name, asked)) for name in having}


def await_nodes(cluster: LabCluster) -> None:
    until(lambda: set(cluster.nodes().values()) == {True}, seconds=60, what="all nodes are Ready")


def sums(cluster: LabCluster) -> dict[str, str]:
    return {
        name: cluster.sh(name, f"sha256sum {CONFIG}; cat /var/lib/kprov/stamps/containerd.service") for name in HOSTS
    }


def settings(cluster: LabCluster, **values: object) -> None:
    cluster.edit(lambda document: document["cluster"].update(values))


def test_one_host_restarts_alone_and_through_its_gate_before_the_others(cluster: LabCluster) -> None:
    settings(cluster, containerd={"max_container_log_line_size": 32768})
    cluster.kprov("up", "--yes")
    began = starts(cluster, "containerd.service")
    (first, when), *rest = sorted(began.items(), key=lambda item: item[1])
    assert first == "w1", "the host that has least to lose"
    assert all(later - when > 2 for _, later in rest), f"RestartSec, which the gate waits for: {began}"


def test_a_containerd_that_cannot_start_is_taken_back_on_the_one_host_that_got_it(
    cluster: LabCluster, say: Say
) -> None:
    before, began = sums(cluster), starts(cluster, "containerd.service")
    settings(cluster, containerd=UNFIT)
    ran = cluster.kprov("up", "--yes", status=3)
    say(ran.text)
    assert "w1, runtime: unit containerd.service" in ran.text
    assert "192.0.2.77:1338" in ran.text, "containerd's own words"
    assert "1 previous file put back; containerd.service runs again as before, and answered" in ran.text
    after = starts(cluster, "containerd.service")
    assert {name for name in HOSTS if began[name] != after[name]} == {"w1"}
    assert sums(cluster) == before
    assert cluster.sh("w1", "ls /var/lib/kprov").split().count("previous") == 0
    await_nodes(cluster)


def test_a_host_whose_run_was_killed_between_change_and_gate_goes_back_by_itself(cluster: LabCluster) -> None:
    before = sums(cluster)
    settings(cluster, containerd=UNFIT)
    run = start(cluster)
    try:
        changed = f"! sha256sum {CONFIG} | grep -q {before['w1'].split()[0]} && systemctl is-active containerd; true"
        until(lambda: "a" in cluster.sh("w1", changed), seconds=120, what="containerd restarts with the new file")
    finally:
        kill(run)
        assert run.wait() == -signal.SIGKILL
    until(lambda: sums(cluster) == before, seconds=120, what="the host is as it was, with nobody there")
    assert cluster.sh("w1", "systemctl is-active containerd").strip() == "active"


@pytest.mark.long
def test_an_api_server_that_cannot_start_is_taken_back_while_the_other_one_serves(cluster: LabCluster) -> None:
    settings(
        cluster, extra_args={"kube-apiserver": {"etcd-readycheck-timeout": "1ns"}}
    )  # it starts, and is never ready
    before = starts(cluster, "kube-apiserver.service")
    ran = cluster.kprov("up", "--yes", status=3)
    assert "kube-apiserver.service runs again as before, and answered" in ran.text
    after = starts(cluster, "kube-apiserver.service")
    assert len([name for name in ("cp1", "cp2") if before[name] != after[name]]) == 1
    cluster.kubectl("get", "--raw=/readyz")


@pytest.mark.parametrize(
    ("key", "value", "unit", "words"),
    [
        ("extra_args", {"kube-apiserver": {"goaway-chance": "2"}}, "kube-apiserver", "can not be less than 0"),
        ("extra_args", {"etcd": {"auto-compaction-retention": "abc"}}, "etcd", "invalid"),
        ("kubelet", {"resolvConf": "/nowhere"}, "kubelet", "there is no file /nowhere"),
    ],
    ids=["kube-apiserver", "etcd", "kubelet"],
)
def test_what_the_program_itself_refuses_restarts_nothing(
    cluster: LabCluster, key: str, value: object, unit: str, words: str
) -> None:
    before = starts(cluster, f"{unit}.service")
    settings(cluster, **{key: value})
    ran = cluster.kprov("up", "--yes", status=3)
    assert words in ran.text
    assert "which was not put in place" in " ".join(ran.text.split())
    assert starts(cluster, f"{unit}.service") == before


@pytest.mark.long
def test_no_api_server_is_stopped_without_another_one_that_is_ready(cluster: LabCluster) -> None:
    settings(cluster, extra_args={"kube-apiserver": {"v": "3"}})
    before = starts(cluster, "kube-apiserver.service")["cp1"]
    cluster.sh("cp2", "systemctl stop kube-apiserver")
    ran = cluster.kprov("up", "--yes", "--limit", "cp1", status=1)
    assert "nobody would reach the API while kube-apiserver of cp1 restarts" in " ".join(ran.text.split())
    assert starts(cluster, "kube-apiserver.service")["cp1"] == before
    cluster.kprov("up", "--yes")  # it starts the other one first, and then this one may restart
    assert starts(cluster, "kube-apiserver.service")["cp1"] != before


@pytest.mark.long
def test_a_kubelet_that_cannot_start_is_taken_back(cluster: LabCluster) -> None:
    nowhere = {f"image-credential-provider-{name}": "/nowhere" for name in ("bin-dir", "config")}
    settings(cluster, extra_args={"kubelet": nowhere})
    ran = cluster.kprov("up", "--yes", status=3)
    assert "kubelet.service runs again as before, and answered" in ran.text
    await_nodes(cluster)


@pytest.mark.long
def test_nodes_are_repaired_while_a_webhook_refuses_objects_and_its_name_leads_out(cluster: LabCluster) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["nodes"], "scope": "*"}
    service = {"name": "gate", "namespace": "default", "path": "/"}
    webhook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "theirs"},
        "webhooks": [
            {
                "name": "gate.example.org", "failurePolicy": "Fail", "rules": [rule], "timeoutSeconds": 2,
                "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"service": service},
            }
        ],
    }  # fmt: skip
    cluster.edit(lambda document: document["hosts"]["w1"].update(labels={"tier": "work"}))
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(webhook))
    cluster.sh("w1", "systemctl stop kubelet; rm /var/lib/kubelet/config.yaml")
    ran = cluster.kprov("up", "--yes", status=3)
    assert "the webhook gate.example.org was asked first and does not answer" in " ".join(ran.text.split())
    assert cluster.sh("w1", "systemctl is-active kubelet").strip() == "active", "the node is repaired all the same"
    shown = "custom-columns=KIND:.kind,NAME:.metadata.name,WEBHOOKS:.webhooks[*].name"
    listed = cluster.kubectl("get", "validatingwebhookconfigurations,mutatingwebhookconfigurations", "-o", shown)
    (row,) = [line.split() for line in listed.splitlines() if "gate.example.org" in line]
    cluster.kubectl("delete", *row[:2])
    cluster.kprov("up", "--yes")
    cluster.edit(lambda document: document["hosts"]["w1"].pop("labels"))
