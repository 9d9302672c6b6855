"""Part 2: settings of a machine's own kernel: swap stays off, modules and sysctls come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_cluster import LabCluster, until

from kprov.lab import machines
from kprov.lab.layout import VmSize

pytestmark = pytest.mark.machines

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
SLOW = 600
SWAP = """
set -e
fallocate -l 256M /swapfile && chmod 600 /swapfile && mkswap -q /swapfile
echo '/swapfile none swap sw 0 0' >> /etc/fstab
swapon -a
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    folder = tmp_path_factory.mktemp("vm2")
    made = LabCluster("vm-kernel", folder, HOSTS, suite="trixie", vms={"w1": VmSize()})
    yield made
    made.destroy()


def test_swap_of_the_machines_own_is_switched_off(cluster: LabCluster) -> None:
    cluster.sh("w1", SWAP)
    assert cluster.sh("w1", "wc -l < /proc/swaps").strip() == "2"
    cluster.kprov("up", "--yes")
    assert cluster.sh("w1", "wc -l < /proc/swaps").strip() == "1"
    cluster.kprov("verify")


def test_after_a_reboot_modules_and_sysctls_are_back_and_swap_is_not(cluster: LabCluster) -> None:
    script = "lsmod | awk '{print $1}' | sort; sysctl -n net.ipv4.ip_forward vm.overcommit_memory kernel.panic"
    before = cluster.sh("w1", "cat /etc/modules-load.d/*kprov* /etc/sysctl.d/*kprov*")
    machines.reboot(cluster.lab.machine("w1"))
    until(lambda: cluster.nodes()["w1"], seconds=SLOW, what="the node")
    assert cluster.sh("w1", "wc -l < /proc/swaps").strip() == "1"
    now = cluster.sh("w1", script)
    wanted = [line for line in before.splitlines() if line and "=" not in line and not line.startswith("#")]
    assert wanted, before
    assert all(module in now.split() or module == "overlay" for module in wanted), (wanted, now)
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0
