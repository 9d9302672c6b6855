"""The kernel as nodes need it: parameters, modules, swap."""

from __future__ import annotations

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import expected
from kprov.values.model import Cluster, Host

pytestmark = pytest.mark.on("node")


def test_sysctls(host: Machine, cluster: Cluster, spec: Host) -> None:
    desired = expected.sysctls(cluster, spec)
    paths = [f"/proc/sys/{name.replace('.', '/')}" for name in desired]
    found = host.check_output("cat " + " ".join("%s" for _ in paths), *paths).split()
    assert dict(zip(desired, found, strict=True)) == desired


@pytest.mark.parametrize("name", sorted(expected.LEAST_SYSCTLS))
def test_inotify_limits(host: Machine, name: str) -> None:
    assert int(host.check_output(f"cat /proc/sys/{name.replace('.', '/')}")) >= expected.LEAST_SYSCTLS[name]


def test_settings_last_over_a_reboot(host: Machine) -> None:
    assert "net.ipv4.ip_forward = 1" in host.check_output("cat /etc/sysctl.d/zz-kprov.conf")
    assert {"overlay", "br_netfilter"} <= set(host.check_output("cat /etc/modules-load.d/kprov.conf").split())


def test_overlay_and_bridge_filter_are_there(host: Machine) -> None:
    assert "overlay" in host.check_output("cat /proc/filesystems").split()
    assert host.run("test -e /proc/sys/net/bridge/bridge-nf-call-iptables").rc == 0


def test_swap_is_as_the_inventory_says(host: Machine, cluster: Cluster) -> None:
    if cluster.swap == "off":
        assert len(host.check_output("cat /proc/swaps").splitlines()) == 1
