"""`kprov down` gives a machine back as it was, and SSH never notices."""

from __future__ import annotations

import subprocess

import pytest
from conftest import Make
from lab_cluster import LabCluster

pytestmark = pytest.mark.lab

# Folders that programs of the distribution write to at any time are left out: logs, caches, package databases, the
# random seed and what systemd keeps of timers and of its generated catalogues.
SNAPSHOT = {
    "files": (
        "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/log"
        " -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /root"
        " -o -path /var/tmp \\) -prune -o -printf '%p %y %m %u:%g\\n' | sort"
    ),
    "data folders": "find /var/lib/etcd /var/lib/kubelet /var/lib/containerd -printf '%p %y %m %u:%g\\n' | sort",
    "units": "systemctl list-unit-files --no-legend --no-pager | grep -v transient | sort",
    "running services": "systemctl list-units --type=service --state=running --no-legend --plain | cut -d' ' -f1 | sort",
    "users": "sort /etc/passwd /etc/group",
    "packages": "dpkg-query -W -f '${Package} ${Status}\\n' | grep 'install ok installed' | sort",
    "firewall": "nft list ruleset",
    "routes": "ip route",
    "links": "ip -o link | sed 's/^[0-9]*: //; s/@.*: </: </' | cut -d' ' -f1,2 | sort",
    "mounts": "findmnt -rno TARGET | grep -vE '^/(proc|sys/kernel|dev)|^/run/(user|credentials)' | sort",
    "sysctls": "sysctl net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops"
    " fs.inotify.max_user_instances fs.inotify.max_user_watches kernel.keys.root_maxkeys",
    "cgroups": "find /sys/fs/cgroup -type d -name '*kubepods*'",
    "failed units": "systemctl --failed --no-legend",
}


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    return make_cluster("e2e-down", {"one": ["control_plane", "worker"]})


def snapshot(cluster: LabCluster) -> dict[str, set[str]]:
    return {name: set(cluster.sh("one", script, check=False).splitlines()) for name, script in SNAPSHOT.items()}


def test_down_is_the_reverse_of_up(cluster: LabCluster) -> None:
    before = snapshot(cluster)
    machine = cluster.lab.machine("one")
    options = ["-i", str(cluster.lab.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    session = subprocess.Popen(
        ["ssh", *options, f"root@{machine.address}", "while read -r word; do echo $word; done"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    try:
        cluster.kprov("up", "--yes")
        assert snapshot(cluster) != before
        ran = cluster.kprov("down", "--yes")
        after = snapshot(cluster)
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write("alive\n")
        assert session.stdout.readline() == "alive\n"
    finally:
        session.kill()
        session.wait()
    gone = {name: sorted(before[name] - after[name]) for name in before if before[name] - after[name]}
    left = {name: sorted(after[name] - before[name]) for name in after if after[name] - before[name]}
    assert (gone, left) == ({}, {}), ran.text


def test_a_second_down_has_nothing_to_do(cluster: LabCluster) -> None:
    assert cluster.kprov("down", "--yes").status == 0
