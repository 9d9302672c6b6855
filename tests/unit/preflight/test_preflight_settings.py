"""What a host has that decides what units and pods get: each row of the table, and a host on which none is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_preflight import cluster, facts, host

from kprov.observe.observation import Observation, Record
from kprov.observe.surroundings import Surroundings
from kprov.preflight import Problem, check
from kprov.values.host_settings import HostSettings, Mount, Setting, last_of, parse
from kprov.values.model import Group, Interface, Listener

ROOT = Mount(point="/", kind="ext4", options=frozenset({"rw", "relatime"}), shared=True)
FOLDERS = ("/etc", "/opt/kprov/bin", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd")
FIT = HostSettings(
    static_hostname="cp1", mounts=dict.fromkeys(FOLDERS, ROOT), nameservers=("192.0.2.53",), search=("example.org",)
)
DELAY = "/etc/systemd/logind.conf.d/99-kubelet.conf"


def told(
    around: HostSettings = FIT,
    groups: tuple[Group, ...] = ("worker",),
    seen: dict[str, Any] | None = None,
    **changes: Any,
) -> list[Problem]:
    settings = changes.pop("cluster", {})
    observation = Observation(facts=facts(settings=around, **changes), **(seen or {}))
    return list(check(cluster(host(groups=groups), **settings), {"cp1": observation}))


def one(*args: Any, **changes: Any) -> Problem:
    (problem,) = told(*args, **changes)
    assert problem.todo
    assert problem.needed
    return problem


def mounted(folder: str, *options: str, shared: bool = True) -> HostSettings:
    mount = Mount(
        point=folder,
        kind="xfs",
        options=frozenset({"rw", *options} - ({"rw"} if "ro" in options else set())),
        shared=shared,
    )
    return replace(FIT, mounts={**FIT.mounts, folder: mount})


def test_nothing_is_said_of_a_fit_host_or_of_one_that_did_not_tell() -> None:
    assert told() == told(HostSettings()) == []


@pytest.mark.parametrize("folder", ["/opt/kprov/bin", "/var/lib/containerd", "/var/lib/kubelet"])
def test_noexec(folder: str) -> None:
    problem = one(mounted(folder, "noexec"))
    assert (problem.name, problem.severity) == ("NoExec", "error")
    assert folder in problem.found
    assert f"mount -o remount,exec {folder}" in problem.todo


def test_noexec_matters_only_where_programs_run() -> None:
    assert told(mounted("/var/lib/etcd", "noexec")) == []
    assert told(mounted("/var/lib/kubelet", "noexec"), groups=("etcd",)) == []
    assert one(mounted("/opt/kprov/bin", "noexec"), groups=("etcd",)).name == "NoExec"


def test_read_only() -> None:
    problem = one(mounted("/var/lib/etcd", "ro"), groups=("etcd",))
    assert (problem.name, problem.severity) == ("ReadOnly", "error")
    assert "/var/lib/etcd on /var/lib/etcd" in problem.found


def test_private_mounts() -> None:
    assert one(mounted("/var/lib/kubelet", shared=False)).name == "MountPropagation"
    assert told(mounted("/var/lib/kubelet", shared=False), groups=("etcd",)) == []


def test_no_name_server_at_all() -> None:
    assert "/etc/resolv.conf" in one(replace(FIT, nameservers=())).found
    assert "/run/systemd/resolve" in one(replace(FIT, nameservers=("127.0.0.53",))).found
    assert told(replace(FIT, nameservers=("127.0.0.53",), upstream=("192.0.2.53",))) == []
    assert told(replace(FIT, nameservers=()), groups=("etcd",)) == []


def test_a_name_server_on_loopback_and_who_answers_there() -> None:
    listeners = (Listener(port=53, address="127.0.0.1", process="dnsmasq pid 7"),)
    problem = one(replace(FIT, nameservers=("127.0.0.1",)), udp_listeners=listeners)
    assert "answered by dnsmasq pid 7" in problem.found
    assert "resolvConf" in problem.todo
    assert "nothing kprov can see" in one(replace(FIT, nameservers=("::1",))).found
    named = replace(FIT, nameservers=("127.0.0.53",), upstream=("127.0.0.1",))
    assert "127.0.0.1" in one(named).found


def test_more_name_servers_than_pods_can_have() -> None:
    assert told(replace(FIT, nameservers=tuple(f"192.0.2.{number}" for number in range(3)))) == []
    assert one(replace(FIT, nameservers=tuple(f"192.0.2.{number}" for number in range(4)))).found.startswith("4: ")


def test_an_address_of_the_cluster_on_loopback() -> None:
    interfaces = facts().interfaces
    loopback = Interface(name="lo", mtu=65536, addresses=("127.0.0.1/8", "10.96.0.10/32"))
    problem = one(interfaces=(loopback, *(row for row in interfaces if row.name != "lo")))
    assert "10.96.0.10" in problem.found
    assert "lo" in problem.found
    anycast = Interface(name="lo", mtu=65536, addresses=("127.0.0.1/8", "198.51.100.7/32"))
    assert told(interfaces=(anycast, *(row for row in interfaces if row.name != "lo"))) == []


def delays(*rows: tuple[str, str]) -> HostSettings:
    return replace(FIT, shutdown_delays=tuple(Setting(path=path, value=value) for path, value in rows))


def test_another_file_shortens_the_time_to_shut_down() -> None:
    ours = {"records": {("file", DELAY): Record(kind="file", name=DELAY, value="h", stat="s", before="absent")}}
    later = ("/etc/systemd/logind.conf.d/zz-local.conf", "10")
    assert "zz-local.conf" in one(delays((DELAY, "60"), later), seen=ours).found
    assert one(delays(later)).name == "ShutdownDelay"
    assert told(delays((later[0], "2min"))) == []
    assert told(delays(("/etc/systemd/logind.conf.d/10-theirs.conf", "10"))) == []
    assert told(delays((DELAY, "60"), ("/etc/systemd/logind.conf", "5")), seen=ours) == []


def test_the_file_that_systemd_goes_by() -> None:
    rows = [
        ("/etc/systemd/logind.conf", "1"),
        ("/usr/lib/systemd/logind.conf.d/50-a.conf", "2"),
        ("/etc/systemd/logind.conf.d/50-a.conf", "3"),
    ]
    settings = [Setting(path=path, value=value) for path, value in rows]
    for order in (settings, settings[::-1]):
        counts = last_of(order)
        assert counts is not None
        assert counts.value == "3"
    assert last_of([]) is None


def test_swap_that_comes_back() -> None:
    fstab = replace(FIT, swaps=(Setting(path="/etc/fstab", value="UUID=1"),))
    assert "UUID=1 in /etc/fstab" in one(fstab).found
    assert told(fstab, cluster={"swap": "keep"}) == []
    assert told(fstab, groups=("etcd",)) == []
    assert [problem.name for problem in told(fstab, swap=True)] == ["Swap"]  # it is on, and kprov takes the line out
    zram = replace(FIT, swaps=(Setting(path="/etc/systemd/zram-generator.conf", value="[zram0]"),))
    assert [problem.name for problem in told(zram, swap=True)] == ["Swap"]  # kprov masks the target that wants it
    assert one(zram).todo == "`systemctl mask swap.target`"


def test_a_service_that_switches_swap_on_itself() -> None:
    link = "/etc/systemd/system/multi-user.target.wants/zramswap.service"
    zram = replace(FIT, swaps=(Setting(path=link, value="zramswap.service"),))
    assert {problem.name for problem in told(zram, swap=True)} == {"Swap", "SwapAtBoot"}
    assert (one(zram).found, one(zram).todo) == (
        "zramswap.service is enabled",
        "`systemctl disable --now zramswap.service`",
    )


def test_a_proxy_for_every_unit() -> None:
    problem = one(replace(FIT, proxies=(Setting(path="/etc/systemd/system.conf", value="set"),)), groups=("etcd",))
    assert (problem.name, problem.severity) == ("UnitProxy", "error")


def test_selinux_and_haproxy() -> None:
    off = replace(FIT, booleans={"haproxy_connect_any": False})
    names = {problem.name for problem in told(off, selinux="enforcing")}
    assert "SELinuxBoolean" in names
    assert told(off) == []
    assert "SELinuxBoolean" not in {
        row.name for row in told(off, selinux="enforcing", cluster={"api_endpoint": "a:6443"})
    }
    on = replace(FIT, booleans={"haproxy_connect_any": True})
    assert "SELinuxBoolean" not in {row.name for row in told(on, selinux="enforcing")}


def test_settings_of_a_unit_that_kprov_is_about_to_write() -> None:
    path = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
    beside = {"surroundings": Surroundings(dropins={"kubelet.service": (path,)})}
    problem = one(seen=beside)
    assert (problem.name, problem.severity, problem.found) == ("DropIn", "warning", path)
    assert f"cat {path}" in problem.todo
    ours = {
        ("unit", "kubelet.service"): Record(kind="unit", name="kubelet.service", value="h", stat="-", before="absent")
    }
    again = told(seen={**beside, "records": ours}, cluster={"preflight_ignore": ("VersionUnknown",)})
    assert "DropIn" not in {row.name for row in again}


@pytest.mark.parametrize(
    ("running", "static", "says", "todo", "not_todo"),
    [
        ("cp1", "old", "lost at the next boot", "set-hostname cp1", "old"),
        ("localhost", "cp1", "for this boot only", "set-hostname cp1", "in the inventory"),
        ("dhcp-7", "web", "lost at the next boot", "name it web in the inventory", "dhcp-7"),
        ("web", "web", "not its name in the inventory", "name it web in the inventory", "dhcp"),
        ("web", "", "not its name in the inventory", "name it web in the inventory", "dhcp"),
    ],
)
def test_the_name_now_and_after_the_next_boot(running: str, static: str, says: str, todo: str, not_todo: str) -> None:
    problem = one(replace(FIT, static_hostname=static), hostname=running)
    assert (problem.name, problem.severity) == ("Hostname", "error")
    assert says in problem.what
    assert todo in problem.todo
    assert not_todo not in problem.todo
    assert static in problem.found


def test_a_name_that_is_lost_later_does_not_stop_a_cluster_that_runs() -> None:
    """`findings` tells it there."""
    record = Record(kind="file", name="/x", value="h", stat="s", before="absent")
    assert "Hostname" not in {
        row.name for row in told(replace(FIT, static_hostname="old"), seen={"records": {("file", "/x"): record}})
    }


def test_a_file_that_beats_kprovs_kernel_parameters_at_boot() -> None:
    path = "/usr/lib/sysctl.d/zz-theirs.conf"
    theirs = replace(FIT, sysctls=(Setting(path=path, value="net.ipv4.ip_forward = 0"),))
    problem = one(theirs)
    assert (problem.name, problem.severity) == ("Sysctl", "warning")
    assert path in problem.found
    assert told(theirs, groups=("etcd",)) == []
    record = Record(kind="file", name="/x", value="h", stat="s", before="absent")
    assert told(theirs, seen={"records": {("file", "/x"): record}}) == []  # `findings` tells it there
    hidden = Setting(path="/etc/sysctl.d/zz-theirs.conf", value="net.ipv4.ip_forward = 1")
    assert told(replace(theirs, sysctls=(hidden, *theirs.sysctls))) == []


def test_routes_are_read_as_the_kernel_keeps_them() -> None:
    lines = ["eth0 00000000 00000000", "tun0 0003F40A 00FFFFFF", "x 0003F40A", "x zz 00FFFFFF", "x 01000000 000000FF"]
    routes = parse([("route", line) for line in lines]).routes
    assert [(str(route.network), route.link) for route in routes] == [("0.0.0.0/0", "eth0"), ("10.244.3.0/24", "tun0")]


def test_lines_that_no_one_knows_are_passed_over() -> None:
    assert parse(
        [("mount", "too\tfew"), ("boolean", "x"), ("what", "y"), ("swap", "/etc/fstab\tUUID=1")]
    ) == HostSettings(swaps=(Setting(path="/etc/fstab", value="UUID=1"),))
