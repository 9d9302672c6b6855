"""Part 2: a machine's own kernel and network: a firewall that drops, swap of three kinds, NetworkManager, iptables-legacy.

What needs a reboot to be seen is made first, and one reboot shows all of it.
"""

from __future__ import annotations

import pytest
from lab_cluster import LabCluster, until
from shared_machines import serves

from kprov.lab import machines

pytestmark = pytest.mark.machines

SLOW = 600
FIREWALL = """
nft -f - <<'END'
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        tcp dport 22 accept
    }
}
END
"""
SWAP = """
set -e
fallocate -l 256M /swapfile && chmod 600 /swapfile && mkswap -q /swapfile
echo '/swapfile none swap sw 0 0' >> /etc/fstab
swapon -a
printf '[zram0]\\nzram-size = 128\\n' > /etc/systemd/zram-generator.conf
systemctl daemon-reload
systemctl start dev-zram0.swap
"""
NETWORK_MANAGER = """
set -e
dns=$(awk '$1 == "nameserver" {printf "%s;", $2}' /etc/resolv.conf)
file=/etc/NetworkManager/system-connections/eth0.nmconnection
printf '[connection]\\nid=eth0\\ntype=ethernet\\ninterface-name=eth0\\n[ipv6]\\nmethod=disabled\\n[ipv4]\\n' > $file
printf 'method=manual\\naddress1=%s\\ngateway=%s\\ndns=%s\\n' "$0" "$1" "$dns" >> $file
chmod 600 $file
systemctl disable systemd-networkd.service systemd-networkd.socket
systemctl enable NetworkManager.service
update-alternatives --set iptables /usr/sbin/iptables-legacy
"""


def swaps(cluster: LabCluster) -> list[str]:
    return [line.split()[0] for line in cluster.sh("w1", "tail -n +2 /proc/swaps").splitlines()]


def test_ports_that_a_firewall_closes_are_named_and_nothing_is_changed(untouched: LabCluster) -> None:
    untouched.sh("w1", FIREWALL)
    try:
        ran = untouched.kprov("up", "--yes", status=None)
    finally:
        untouched.sh("w1", "nft flush ruleset")
    assert ran.status != 0
    assert "port 10250 (kubelet) from cp1: no answer" in ran.text
    assert untouched.sh("w1", "ls /etc/kubernetes 2>/dev/null; true") == ""


def test_swap_of_a_file_and_in_memory_is_switched_off(vm_cluster: LabCluster) -> None:
    install = [
        "apt-get",
        "-qq",
        "install",
        "-y",
        "--no-install-recommends",
        "systemd-zram-generator",
        "network-manager",
    ]
    machines.run_in(vm_cluster.lab.machine("w1"), ["env", "DEBIAN_FRONTEND=noninteractive", *install], timeout=1800)
    vm_cluster.sh("w1", SWAP)
    assert set(swaps(vm_cluster)) == {"/swapfile", "/dev/zram0"}
    vm_cluster.kprov("up", "--yes")
    assert swaps(vm_cluster) == []


def test_after_a_reboot_swap_stays_off_and_another_program_has_the_network(vm_cluster: LabCluster) -> None:
    lab, w1 = vm_cluster.lab, vm_cluster.lab.machine("w1")
    vm_cluster.run("w1", "sh", "-c", NETWORK_MANAGER, f"{w1.address}/{lab.network.prefixlen}", str(lab.gateway))
    before = vm_cluster.sh("w1", "cat /etc/modules-load.d/*kprov* /etc/sysctl.d/*kprov*")
    machines.reboot(w1)
    until(lambda: serves(vm_cluster), seconds=SLOW, what="the node")
    assert vm_cluster.sh("w1", "systemctl is-active NetworkManager systemd-networkd; true").split() == [
        *("active", "inactive"),
    ]
    assert swaps(vm_cluster) == []
    lines = [line for line in before.splitlines() if line and not line.startswith("#")]
    modules = [line for line in lines if "=" not in line]
    loaded = vm_cluster.sh("w1", "cut -d ' ' -f 1 /proc/modules; cat /lib/modules/$(uname -r)/modules.builtin").split()
    assert modules, before
    assert all(any(module in name for name in loaded) for module in modules), (modules, loaded)
    sysctls = dict(line.replace(" ", "").split("=") for line in lines if "=" in line)
    assert sysctls, before
    assert vm_cluster.run("w1", "sysctl", "-n", *sysctls).split() == list(sysctls.values())
    vm_cluster.kprov("verify")
    assert vm_cluster.kprov("plan").status == 0
