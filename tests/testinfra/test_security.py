"""Each row of docs/security.md, on the machines: in command lines as they run, and in the files that are read."""

from __future__ import annotations

import re

import pytest
import yaml
from testinfra.host import Host as Machine

from kprov.roles import network
from kprov.values.components import BY_NAME
from kprov.values.exposure import LEVELS
from kprov.values.model import Cluster, Host
from kprov.values.paths import NETWORK_HOSTS
from kprov.values.security import ROWS, field_of

_NEWER = 0.3  # what lines of another systemd may add


def flags(host: Machine, unit: str) -> dict[str, str]:
    """The flags that a component really runs with; of a repeated one the last counts."""
    pid = int(host.check_output("systemctl show -p MainPID --value %s", f"{unit}.service"))
    words = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()[1:]
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--") and "=" in word)


def test_each_row_of_the_security_page_is_so(host: Machine, cluster: Cluster, spec: Host) -> None:
    rows = [row for row in ROWS if BY_NAME[row.unit].runs_on(cluster, spec) and row.applies(cluster, spec)]
    running = {unit: flags(host, unit) for unit in {row.unit for row in rows if not row.file}}
    documents = {
        path: yaml.safe_load(host.check_output("cat %s", path)) for path in {row.file for row in rows if row.file}
    }
    wrong = [
        f"{row.unit} {row.flag}: {found!r} and not {row.value!r} ({row.why})"
        for row in rows
        if (found := field_of(documents[row.file], row.flag) if row.file else running[row.unit].get(row.flag))
        != row.value
    ]
    assert not wrong, "\n".join(wrong)


def test_units_are_no_more_open_than_the_page_says(host: Machine, cluster: Cluster, spec: Host) -> None:
    """As the host's own systemd judges what runs, with drop-ins; an old one knows fewer lines, and a new one more."""
    units = [unit for unit in LEVELS if BY_NAME[unit].runs_on(cluster, spec)]
    asked = " ".join(f"{unit}.service" for unit in units)
    told = host.check_output(
        f"for unit in {asked}; do systemd-analyze security --no-pager $unit 2>&1 | tail -n 1; done"
    )
    if "exposure level" not in told:
        pytest.skip("this systemd does not judge units")
    levels = {
        unit: float(line.rpartition(": ")[2].split()[0]) for unit, line in zip(units, told.splitlines(), strict=True)
    }
    wrong = {unit: level for unit, level in levels.items() if level > LEVELS[unit] + _NEWER}
    assert not wrong, f"more open than {LEVELS}: look at their drop-ins"


@pytest.mark.on("node")
def test_pods_are_kept_from_ports_of_hosts(host: Machine, cluster: Cluster) -> None:
    """The rules of the kernel, which no file shows: others flush them."""
    if not cluster.network.built_in:
        pytest.skip(f"the pod network is {cluster.network.mode}")
    if host.check_output("cat %s", NETWORK_HOSTS) != "closed":
        pytest.skip("hosts are open to pods")
    words = dict(line.partition(" ")[::2] for line in host.check_output("cat %s", network.SETTINGS).splitlines())
    listed = {"nftables": "nft list table ip kprov", "iptables": "iptables -S KPROV-HOSTS; iptables -S KPROV-FORWARD"}
    there = re.findall(r"[0-9]+", host.check_output(listed[words["nat"]]))
    assert set(words["closed"].split(",")) <= set(there), "pods reach ports of hosts: is kprov-network.service well?"
    if cluster.network.enforces and network.kubelet_readers(cluster):
        rules = host.check_output("nft list table ip kprov-kubelets")
        assert f"tcp dport {BY_NAME['kubelet'].port('https')} " in rules
