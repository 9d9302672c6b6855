"""The inventory of a lab: hosts, groups, and only those settings the host makes necessary."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml
from lab_values import HOST_KEY, a_lab

from kprov.inventory import load
from kprov.lab import inventory
from kprov.lab.inventory import HostTraits
from kprov.values.errors import LabError

PLAIN = HostTraits(cgroup=2, swap=False, sys_resource=True)
POOR = HostTraits(cgroup=1, swap=True, sys_resource=False)


DISK = {"evictionHard": ANY, "imageGCHighThresholdPercent": 100}


def test_kubelets_of_a_lab_do_not_mind_how_full_this_computer_is() -> None:
    """A share of a shared disk: whoever fills it, the lab's pods would be evicted and its images removed."""
    limits = inventory.settings(PLAIN)["kubelet"]["evictionHard"]
    assert limits["nodefs.available"] == limits["imagefs.available"] == "500Mi"
    assert len(limits) == 5, "naming one threshold drops the defaults of the others"


def test_an_ordinary_host_needs_next_to_nothing() -> None:
    assert inventory.settings(PLAIN) == {
        "artifacts": {"compress": False},
        "kube_proxy": {"conntrack": {"maxPerCore": 0}},
        "kubelet": DISK,
    }


def test_each_trait_of_the_host_has_its_setting() -> None:
    assert inventory.settings(POOR) == {
        "allow_cgroup_v1": True,
        "swap": "keep",
        "kubelet": {**DISK, "failCgroupV1": False, "failSwapOn": False},
        "artifacts": {"compress": False},
        "kube_proxy": {"conntrack": {"maxPerCore": 0}},
        "restrict_oom_score_adj": True,
    }


def test_hosts_are_in_the_groups_their_machines_were_made_for() -> None:
    hosts = inventory.content(a_lab(), PLAIN, cluster="demo")["hosts"]
    assert hosts["cp1"] == {
        "address": "10.77.7.11",
        "user": "root",
        "key": "/var/lib/kprov-lab/demo/id_ed25519",
        "host_key": HOST_KEY,
        "groups": ["control_plane"],
    }
    assert hosts["w1"]["groups"] == ["worker"]


def test_machines_in_no_group_are_left_out() -> None:
    values = inventory.content(a_lab(), PLAIN, cluster="demo", groups={"etcd": ["cp1"], "control_plane": ["cp1"]})
    assert list(values["hosts"]) == ["cp1"]
    assert values["hosts"]["cp1"]["groups"] == ["etcd", "control_plane"]


def test_unknown_machines_and_empty_inventories_are_refused() -> None:
    with pytest.raises(LabError, match="no machine 'w9'"):
        inventory.content(a_lab(), PLAIN, cluster="demo", groups={"worker": ["w9"]})
    with pytest.raises(LabError, match="no machine of the lab"):
        inventory.content(a_lab(), PLAIN, cluster="demo", groups={})


def test_the_password_is_referred_to_and_not_written() -> None:
    values = inventory.content(a_lab(), PLAIN, cluster="demo", user="admin")
    assert values["hosts"]["w1"]["become_password"] == {"file": "/var/lib/kprov-lab/demo/admin-password"}
    assert "hunter2" not in yaml.safe_dump(values)


def test_given_keys_are_laid_over_the_hosts_settings() -> None:
    keys = inventory.content(
        a_lab(),
        POOR,
        cluster="demo",
        kubernetes="1.36",
        cluster_keys={"kubelet": {"maxPods": 40}, "pod_cidr": "10.9.0.0/16"},
        group_keys={"worker": {"labels": {"tier": "web"}}},
    )
    assert keys["cluster"]["kubernetes"] == "1.36"
    assert keys["cluster"]["kubelet"] == {**DISK, "failCgroupV1": False, "failSwapOn": False, "maxPods": 40}
    assert keys["cluster"]["pod_cidr"] == "10.9.0.0/16"
    assert keys["groups"] == {"worker": {"labels": {"tier": "web"}}}


def test_what_is_written_is_an_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "observe", lambda: POOR)
    path = inventory.write(a_lab(), tmp_path / "inventory.yaml", group_keys={"worker": {"labels": {"tier": "web"}}})
    cluster = load(path).cluster
    assert cluster.name == "demo"
    assert cluster.allow_cgroup_v1
    assert cluster.swap == "keep"
    assert [host.name for host in cluster.group("worker")] == ["w1"]
    assert cluster.host("w1").labels["tier"] == "web"
    assert cluster.host("w1").connection.host_key == HOST_KEY


def test_swap_is_seen_below_the_heading() -> None:
    heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    assert not inventory.has_swap(heading)
    assert inventory.has_swap(f"{heading}/dev/zram0 partition 1024 0 100\n")


def test_a_capability_is_read_from_the_bounding_set() -> None:
    assert inventory.has_capability("Name:\tx\nCapBnd:\t000001ffffffffff\n", 24)
    assert not inventory.has_capability("CapEff:\t000001ffffffffff\nCapBnd:\t000001fffeffffff\n", 24)


def test_machines_with_kernels_of_their_own_need_none_of_the_settings_of_containers() -> None:
    assert inventory.settings(POOR, {"vm"}) == {"artifacts": {"compress": False}}
    assert inventory.settings(POOR, {"vm", "container"}) == inventory.settings(POOR)
