"""Preflight: each check with a host that passes and one that does not, and what the messages show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from kprov.addon.choose import by_name
from kprov.inventory.fields import check_name
from kprov.observe.observation import EtcdView, Observation, Record, UnitState
from kprov.observe.surroundings import Surroundings
from kprov.plan.questions import first_questions
from kprov.preflight import OPERATOR, Problem, check, raise_for, render
from kprov.preflight.disk import needs
from kprov.preflight.machine import missing_packages
from kprov.preflight.network import ports
from kprov.values.errors import PreflightError
from kprov.values.host_settings import HostSettings, Route
from kprov.values.model import Cluster, Connection, Facts, Group, Host, Interface, Listener, NetworkSettings

GIB = 2**30
ALL: tuple[Group, ...] = ("etcd", "control_plane", "worker")


def host(name: str = "cp1", groups: tuple[Group, ...] = ALL, number: int = 11, **more: Any) -> Host:
    return Host(name=name, groups=frozenset(groups), connection=Connection(address=f"192.0.2.{number}"), **more)


def cluster(*hosts: Host, **more: Any) -> Cluster:
    return Cluster(name="prod", versions={"kubernetes": "1.37.2"}, hosts=hosts or (host(),), **more)


def facts(name: str = "cp1", number: int = 11, **changes: Any) -> Facts:
    """A host that is fit for every role."""
    fit: dict[str, Any] = {
        "hostname": name,
        "machine_id": f"{number:032x}",
        "arch": "amd64",
        "os_id": "debian",
        "os_version": "12",
        "kernel": (6, 1),
        "kernel_release": "6.1.0-18-amd64",
        "systemd": 252,
        "cgroup": 2,
        "clock": 1.8e9,
        "clock_skew": 0.1,
        "cpus": 4,
        "memory": 8 * GIB,
        "swap": False,
        "interfaces": (
            Interface(name="lo", mtu=65536, addresses=("127.0.0.1/8",)),
            Interface(name="eth0", mtu=1500, addresses=(f"192.0.2.{number}/24",)),
        ),
        "default_address": f"192.0.2.{number}",
        "disk_free": {"/etc": 30 * GIB, "/opt": 30 * GIB, "/var": 30 * GIB, "/var/lib": 30 * GIB},
        "disk_size": {"/etc": 50 * GIB, "/opt": 50 * GIB, "/var": 50 * GIB, "/var/lib": 50 * GIB},
        "listeners": (Listener(port=22, address="*", process="sshd pid 300"),),
        "modules": frozenset({"overlay", "nf_conntrack"}),
        "loadable": frozenset({"br_netfilter"}),
        "commands": frozenset({"tar", "flock", "gzip", "apt-get", "bash"}),
        "nft": None,
        "package_manager": "apt",
        "selinux": "",
        "leftovers": (),
        "is_root": True,
    }
    return Facts(**{**fit, **changes})


def installed(*names: tuple[str, str]) -> Mapping[tuple[str, str], Record]:
    return {key: Record(kind=key[0], name=key[1], value="-", stat="-", before="-") for key in names}


def found(seen: Facts | Observation, own: Cluster | None = None) -> dict[str, Problem]:
    """Problems by name of a cluster of one host."""
    observation = seen if isinstance(seen, Observation) else Observation(facts=seen)
    own = own or cluster()
    return {problem.name: problem for problem in check(own, {own.hosts[0].name: observation})}


def the_only(problems: dict[str, Problem], name: str, severity: str = "error") -> Problem:
    """The single problem, which must have all that a message needs and stop a run just when it is an error."""
    assert list(problems) == [name], problems
    problem = problems[name]
    assert problem.severity == severity
    shown = render([problem])
    for part in (problem.host, problem.name, problem.what, problem.found, problem.needed, problem.todo):
        assert part, f"{name} leaves something unsaid"
        assert part in shown
    if severity == "error":
        with pytest.raises(PreflightError, match="nothing was touched"):
            raise_for([problem])
    else:
        raise_for([problem])
    return problem


@pytest.mark.parametrize("groups", [("etcd",), ("control_plane",), ("worker",), ALL])
def test_a_fit_host_has_no_problem(groups: tuple[Group, ...]) -> None:
    assert check(cluster(host(groups=groups)), {"cp1": Observation(facts=facts())}) == ()


def test_three_fit_hosts_have_no_problem() -> None:
    hosts = [host(f"cp{n}", number=10 + n) for n in (1, 2, 3)]
    assert check(cluster(*hosts), {f"cp{n}": Observation(facts=facts(f"cp{n}", 10 + n)) for n in (1, 2, 3)}) == ()


@pytest.mark.parametrize(
    ("change", "name", "shown"),
    [
        ({"is_root": False}, "Root", "ordinary user"),
        ({"arch": "riscv64"}, "Arch", "riscv64"),
        ({"systemd": 239}, "Systemd", "systemd 239"),
        ({"systemd": 0}, "Systemd", "no systemd"),
        ({"kernel": (3, 10), "kernel_release": "3.10.0-1160.el7"}, "KernelVersion", "3.10.0-1160.el7"),
        ({"cgroup": 1}, "Cgroup", "cgroup v1"),
        ({"memory": GIB // 2}, "Mem", "512 MiB"),
        ({"modules": frozenset({"overlay"}), "loadable": frozenset()}, "KernelModule", "no br_netfilter, nf_conntrack"),
        ({"commands": frozenset({"tar", "gzip"})}, "FileExisting-flock", "no flock"),
        ({"commands": frozenset({"flock", "gzip"})}, "FileExisting-tar", "no tar"),
        ({"package_manager": "", "os_id": "arch", "os_version": ""}, "SystemVerification", "without iptables, haproxy"),
        ({"hostname": "web-7"}, "Hostname", "web-7"),
        ({"hostname": "K8S_Node"}, "Hostname", "K8S_Node"),
        ({"hostname": ""}, "Hostname", "no hostname"),
        ({"default_address": None, "interfaces": ()}, "DefaultRoute", "192.0.2.11 is not an address"),
    ],
)
def test_what_makes_a_host_unfit(change: dict[str, Any], name: str, shown: str) -> None:
    assert shown in the_only(found(facts(**change)), name).found


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"kernel": (5, 10), "kernel_release": "5.10.0"}, "KernelVersion"),
        ({"memory": 1500 * 2**20}, "Mem"),
        ({"cpus": 1}, "NumCPU"),
        ({"swap": True}, "Swap"),
        ({"selinux": "enforcing"}, "SELinux"),
    ],
)
def test_what_is_only_worth_a_warning(change: dict[str, Any], name: str) -> None:
    the_only(found(facts(**change)), name, "warning")


def test_a_system_without_known_packages_is_fine_when_all_programs_are_there() -> None:
    there = frozenset({"tar", "flock", "gzip", "haproxy", "nft"})
    assert not found(facts(package_manager="", commands=there, nft=(1, 0)))


def test_a_load_balancer_spares_haproxy() -> None:
    there = frozenset({"tar", "flock", "gzip", "iptables"})
    own = cluster(api_endpoint="api.example.com:6443")
    assert not found(facts(package_manager="", commands=there), own)


def test_an_old_kernel_is_an_error_when_nftables_was_asked_for() -> None:
    problems = found(facts(kernel=(5, 10), kernel_release="5.10.0"), cluster(kube_proxy_mode="nftables"))
    assert "set kube_proxy_mode: auto" in the_only(problems, "KernelVersion").todo


def test_cgroup_v1_can_be_allowed() -> None:
    assert not found(facts(cgroup=1), cluster(allow_cgroup_v1=True))


def test_a_host_that_is_only_etcd_needs_no_kubelet_things() -> None:
    bare = facts(hostname="db7", cgroup=1, swap=True, modules=frozenset(), loadable=frozenset(), kernel=(5, 4))
    assert not found(bare, cluster(host(groups=("etcd",))))


def test_kept_swap_needs_a_kubelet_that_accepts_it() -> None:
    the_only(found(facts(swap=True), cluster(host(kubelet={"failSwapOn": True}), swap="keep")), "Swap")
    assert not found(facts(swap=True), cluster(swap="keep"))


def test_an_upper_case_hostname_is_the_same_name() -> None:
    assert not found(facts(hostname="CP1"))


def test_a_differing_hostname_tells_both_ways_out() -> None:
    todo = found(facts(hostname="web-7"))["Hostname"].todo
    assert "name it web-7 in the inventory" in todo
    assert "hostnamectl set-hostname cp1" in todo


def test_an_invalid_hostname_cannot_become_the_inventory_name() -> None:
    todo = found(facts(hostname="K8S_Node"))["Hostname"].todo
    assert "in the inventory" not in todo
    assert "hostname-override" not in todo
    assert "hostnamectl set-hostname cp1" in todo


# Ports


def taken(port: int, process: str = "nginx pid 42", address: str = "*") -> Facts:
    return facts(listeners=(Listener(port=port, address=address, process=process),))


@pytest.mark.parametrize("port", [6443, 2379, 2380, 2381, 10250, 10256, 10257, 10259, 10248, 10249, 6444])
def test_a_port_of_ours_that_another_program_has(port: int) -> None:
    problem = the_only(found(taken(port)), f"Port-{port}")
    assert "nginx pid 42" in problem.found


def test_each_group_has_its_own_ports() -> None:
    def numbers(*groups: Group) -> set[int]:
        return {wanted.port.number for wanted in ports(cluster(), host(groups=groups))}

    of_etcd, of_nodes, of_control_planes = {2379, 2380, 2381}, {10250, 10248, 10249, 10256, 6444}, {6443, 10257, 10259}
    assert numbers("etcd") >= of_etcd
    assert not numbers("etcd") & (of_nodes | of_control_planes)
    assert numbers("worker") >= of_nodes
    assert not numbers("worker") & (of_etcd | of_control_planes)
    assert numbers("control_plane") >= of_nodes | of_control_planes
    assert not found(taken(6443), cluster(host(groups=("worker",))))


def test_a_load_balancer_leaves_the_proxy_port_free() -> None:
    assert not found(taken(6444), cluster(api_endpoint="api.example.com:6443"))


def test_monitoring_has_a_port_on_every_host_and_packages_of_its_own() -> None:
    monitored = cluster(addons=by_name(["monitoring"]))

    def numbers(*groups: Group) -> set[int]:
        return {wanted.port.number for wanted in ports(monitored, host(groups=groups))}

    assert numbers("etcd") >= {2379, 2380, 2381, 10270, 19100}
    assert 1338 not in numbers("etcd")
    assert {10270, 1338, 19100} <= numbers("worker")
    there = facts(commands=frozenset({"tar", "flock", "gzip"}))
    assert missing_packages(monitored, host(groups=("etcd",)), there) == ("haproxy", "openssl")
    assert missing_packages(cluster(), host(groups=("etcd",)), there) == ()


def test_a_loopback_port_does_not_mind_other_addresses() -> None:
    assert not found(taken(10248, address="192.0.2.11"))
    assert found(taken(10248, address="127.0.0.1"))
    assert found(taken(6443, address="127.0.0.1")), "0.0.0.0:6443 cannot be bound beside it"


def running(process: str, state: str = "active", recorded: bool = True) -> Observation:
    return Observation(
        facts=taken(10257, process),
        units={
            "kube-controller-manager.service": UnitState(
                active=state, enabled="enabled", needs_reload=False, loaded=True
            )
        },
        records=installed(("unit", "kube-controller-manager.service")) if recorded else {},
    )


@pytest.mark.parametrize("process", ["kube-controller pid 7", ""])
def test_our_own_unit_may_have_its_port(process: str) -> None:
    assert not found(running(process))


def test_a_unit_that_was_cut_off_before_its_stamp_is_ours_by_its_file() -> None:
    seen = replace(
        running("kube-controller pid 7"),
        records=installed(("file", "/etc/systemd/system/kube-controller-manager.service")),
    )
    assert not found(seen)


@pytest.mark.parametrize(
    "seen",
    [
        running("kube-controller pid 7", recorded=False),
        running("kube-controller pid 7", state="failed"),
        running("nginx pid 42", state="activating"),
    ],
    ids=["foreign unit of the same name", "our unit is dead", "our unit restarts because of another program"],
)
def test_a_port_is_not_excused_by_a_name(seen: Observation) -> None:
    the_only(found(seen), "Port-10257")


# Disks


def disks(free: Mapping[str, int], size: int = 50 * GIB) -> Facts:
    return facts(disk_free={"/etc": 30 * GIB, **free}, disk_size=dict.fromkeys(["/etc", *free], size))


def test_folders_of_one_disk_need_the_sum() -> None:
    free = 2 * GIB + GIB // 2
    size = 4 * GIB
    shared = facts(
        disk_free=dict.fromkeys(("/etc", "/opt", "/var/lib"), free),
        disk_size=dict.fromkeys(("/etc", "/opt", "/var/lib"), size),
    )
    problem = the_only(found(shared), "DiskSpace")
    assert "/opt and /var/lib and /etc" in problem.what
    assert f"{free // 2**20} MiB free of 4096 MiB" in problem.found
    assert str(sum(needs(host(), shared, installed=False).values()) // 2**20) in problem.needed


def test_folders_of_their_own_disks_need_only_their_own() -> None:
    own = facts(
        disk_free={"/etc": GIB, "/opt": GIB + GIB // 4, "/var/lib": 3 * GIB},
        disk_size={"/etc": 2 * GIB, "/opt": 3 * GIB, "/var/lib": 4 * GIB},
    )
    assert not found(own)


def test_a_full_opt_is_named() -> None:
    own = facts(disk_free={"/opt": GIB // 8, "/var/lib": 30 * GIB}, disk_size={"/opt": 8 * GIB, "/var/lib": 50 * GIB})
    assert "/opt" in the_only(found(own), "DiskSpace").what


def test_an_installed_host_needs_room_to_replace_a_program() -> None:
    little = facts(disk_free={"/opt": GIB // 4}, disk_size={"/opt": 2 * GIB})
    assert "DiskSpace" in found(little)
    assert not found(Observation(facts=little, records=installed(("directory", "/opt/kprov"))))
    none = facts(disk_free={"/opt": GIB // 16}, disk_size={"/opt": 2 * GIB})
    the_only(found(Observation(facts=none, records=installed(("directory", "/opt/kprov")))), "DiskSpace")


def test_a_disk_that_takes_no_more_files_is_full() -> None:
    full = facts(inodes_free={"/etc": 0.5, "/var/lib": 0.01})
    problem = the_only(found(full), "Inodes")
    assert (problem.severity, problem.found) == ("error", "1.0% of the inodes free")
    assert "/var/lib" in problem.what
    assert "/etc" not in problem.what
    later = found(Observation(facts=full, records=installed(("directory", "/opt/kprov"))))
    assert later["Inodes"].severity == "warning"  # a cluster that runs must stay repairable


def with_disk(folder: str, size: int, free: int) -> Facts:
    """A machine with much room, and this folder on a disk of its own."""
    room = dict.fromkeys(("/etc", "/opt", "/var/lib"), 90 * GIB)
    return facts(disk_free={**room, folder: free}, disk_size={**dict.fromkeys(room, 99 * GIB), folder: size})


def test_etcds_data_is_judged_by_the_disk_it_is_on() -> None:
    etcd_only = cluster(host(groups=("etcd",)))
    small = found(with_disk("/var/lib/etcd", 200 << 20, 190 << 20), etcd_only)
    assert "/var/lib/etcd" in small["DiskSpace"].what
    assert small["DiskSpace"].severity == "error"
    assert "etcd: {quota_bytes: 157286400}" in small["EtcdQuota"].todo
    assert small["EtcdQuota"].severity == "warning"
    assert not found(with_disk("/var/lib/etcd", 20 * GIB, 19 * GIB), etcd_only)
    fitting = replace(etcd_only, etcd={"quota_bytes": 3 * GIB})
    assert not found(with_disk("/var/lib/etcd", 4 * GIB, 3 * GIB), fitting)


def test_a_quota_below_what_etcd_holds_is_refused() -> None:
    etcd_only = replace(cluster(host(groups=("etcd",))), etcd={"quota_bytes": 64 << 20})
    holding = EtcdView(has_data=True, size=100 << 20)
    seen = Observation(facts=facts(), etcd=holding)
    outgrown = the_only(found(seen, etcd_only), "EtcdOutgrown")
    assert outgrown.severity == "error"
    assert outgrown.found == "100 MiB, and a quota of 64 MiB"
    assert outgrown.key == "cluster.etcd.quota_bytes"
    assert not found(seen, replace(etcd_only, etcd={"quota_bytes": 209715200}))
    assert f"quota_bytes: {200 << 20}" in outgrown.todo
    full = replace(seen, surroundings=Surroundings(etcd="ALARM NOSPACE"))
    assert not found(full, etcd_only), "told by the findings; raising the quota is the way out"


@pytest.mark.parametrize(("runtime", "folder"), [("containerd", "/var/lib/containerd"), ("docker", "/var/lib/docker")])
def test_images_are_judged_by_the_disk_they_are_on(runtime: str, folder: str) -> None:
    worker = cluster(host(groups=("worker",), runtime=runtime))
    assert folder in found(with_disk(folder, 2 * GIB, GIB // 2), worker)["DiskSpace"].what
    assert not found(with_disk(folder, 20 * GIB, 19 * GIB), worker)
    assert not found(with_disk("/var/lib/crio", 2 * GIB, GIB // 2), worker), "it has none there"


def test_each_disk_of_a_node_counts_for_kubelets_limits() -> None:
    worker = cluster(host(groups=("worker",)))
    for folder in ("/var/lib/kubelet", "/var/lib/containerd"):
        nearly = with_disk(folder, 500 * GIB, 40 * GIB)
        assert f"8 % free in {folder}" in the_only(found(nearly, worker), "DiskSpace").found


def full(free: int) -> Facts:
    return facts(disk_free={"/var/lib": free}, disk_size={"/var/lib": 500 * GIB})


def test_kubelets_limits_count_on_large_disks_too() -> None:
    the_only(found(full(60 * GIB)), "DiskSpace", "warning")
    assert "8 % free" in the_only(found(full(40 * GIB)), "DiskSpace").found
    assert not found(full(40 * GIB), cluster(host(kubelet={"evictionHard": {"nodefs.available": "5Gi"}})))
    assert not found(full(40 * GIB), cluster(host(groups=("etcd",))))


def test_a_disk_that_filled_up_later_does_not_stop_repairs() -> None:
    seen = Observation(facts=full(40 * GIB), records=installed(("directory", "/opt/kprov")))
    the_only(found(seen), "DiskSpace", "warning")


# Clocks


def skewed(**skews: float) -> dict[str, Problem]:
    names = list(skews)
    hosts = [host(name, number=20 + number) for number, name in enumerate(names)]
    seen = {
        name: Observation(facts=facts(name, 20 + number, clock_skew=skews[name])) for number, name in enumerate(names)
    }
    problems = check(cluster(*hosts), seen)
    assert {problem.name for problem in problems} <= {"ClockSkew"}
    return {problem.host: problem for problem in problems}


def test_small_differences_of_clocks_are_fine() -> None:
    assert not skewed(a=29.0, b=0.0, c=-29.0)


def test_the_host_that_differs_from_the_others_is_wrong() -> None:
    assert list(skewed(a=0.2, b=-95.0, c=0.0)) == ["b"]
    assert "95 s behind" in skewed(a=0.2, b=-95.0, c=0.0)["b"].found


def test_the_operator_is_wrong_when_the_hosts_agree() -> None:
    problems = skewed(a=300.0, b=301.0, c=300.4)
    assert list(problems) == [OPERATOR]
    assert "300 s behind the hosts" in problems[OPERATOR].found


def test_of_two_hosts_the_operator_tells_which_is_wrong() -> None:
    assert list(skewed(a=100.0, b=0.0)) == ["a"]
    assert list(skewed(a=100.0, b=100.0)) == [OPERATOR]


def test_with_one_host_nobody_knows_which_clock_is_wrong() -> None:
    assert "nobody can tell" in skewed(a=-40.0)["a"].found
    assert not skewed(a=-20.0)


# Twins


def twins(first: dict[str, Any], second: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    hosts = (host("a", number=21), host("b", number=22, **more))
    seen = {"a": Observation(facts=facts("a", 21, **first)), "b": Observation(facts=facts("b", 22, **second))}
    return [(problem.name, problem.host) for problem in check(cluster(*hosts), seen)]


def test_cloned_machines_are_found_by_their_machine_id() -> None:
    same = {"machine_id": "f" * 32}
    assert twins(same, same) == [("MachineID", "a"), ("MachineID", "b")]
    assert not twins({"machine_id": ""}, {"machine_id": ""})


def test_two_hosts_of_one_name() -> None:
    assert twins({"hostname": "a"}, {"hostname": "A"}) == [("Hostname", "a"), ("Hostname", "b"), ("Hostname", "b")]


def test_clones_with_one_mac_address() -> None:
    def link(number: int, mac: str) -> dict[str, Any]:
        return {"interfaces": (Interface(name="eth0", mtu=1500, addresses=(f"192.0.2.{number}/24",), mac=mac),)}

    mac = "02:00:5e:00:00:0b"
    assert twins(link(21, mac), link(22, mac)) == [("MacAddress", "a"), ("MacAddress", "b")]
    assert not twins(link(21, mac), link(22, "02:00:5e:00:00:0c"))
    assert not twins(link(21, ""), link(22, ""))


def test_one_machine_named_twice() -> None:
    problems = twins({}, {}, node_ip=IPv4Address("192.0.2.21"))
    assert ("NodeIP", "a") in problems
    assert ("NodeIP", "b") in problems


def test_a_node_ip_must_be_on_the_host() -> None:
    problem = the_only(found(facts(), cluster(host(node_ip=IPv4Address("198.51.100.5")))), "NodeIP")
    assert problem.found == "192.0.2.11"
    assert problem.needed == "198.51.100.5"


def test_a_node_ip_replaces_a_default_route() -> None:
    own = cluster(replace(host(node_ip=IPv4Address("192.0.2.11")), connection=Connection(address="203.0.113.9")))
    assert not found(facts(default_address=None), own)


# Networks


def addressed(name: str, address: str) -> Facts:
    extra = Interface(name=name, mtu=1500, addresses=(address,))
    return facts(interfaces=(*facts().interfaces, extra))


@pytest.mark.parametrize("setting", ["pod_cidr", "service_cidr"])
def test_cluster_networks_must_not_be_the_hosts(setting: str) -> None:
    own = cluster(**{setting: IPv4Network("10.20.0.0/16")})
    problem = the_only(found(addressed("eth1", "10.20.30.40/24"), own), "CIDR")
    assert "10.20.30.40/24 on eth1" in problem.found
    assert setting in problem.what


def test_a_host_network_that_contains_the_pods_collides_too() -> None:
    assert "CIDR" in found(addressed("eth1", "10.1.2.3/8"))


def test_the_bridge_of_a_host_that_was_set_up_is_the_pod_network() -> None:
    own = addressed("cni0", "10.244.3.1/24")
    assert not found(Observation(facts=own, records=installed(("directory", "/opt/kprov"))))
    assert "ip link delete cni0" in the_only(found(own), "CIDR").todo


def test_other_networks_and_nonsense_do_not_collide() -> None:
    assert not found(addressed("docker0", "172.17.0.1/16"))
    assert not found(addressed("eth1", "not an address"))


def routed(network: str, link: str = "tun0") -> Facts:
    return facts(settings=HostSettings(routes=(Route(network=IPv4Network(network), link=link),)))


@pytest.mark.parametrize("network", ["10.244.3.0/24", "10.244.0.0/16", "10.96.0.10/32"])
def test_a_route_into_the_clusters_networks_is_refused(network: str) -> None:
    problem = the_only(found(routed(network)), "CIDR")
    assert f"{network} through tun0" in problem.found
    assert f"ip route show {network}" in problem.todo
    assert problem.severity == "error"


def test_a_route_around_them_is_told() -> None:
    problems = list(check(cluster(), {"cp1": Observation(facts=routed("10.240.0.0/12"))}))
    assert [(row.name, row.severity) for row in problems] == [("CIDR", "warning")]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "0.0.0.0/1", "172.16.0.0/12", "192.0.2.0/24"])
def test_routes_elsewhere_and_those_of_everything_are_no_problem(network: str) -> None:
    assert not found(routed(network))


def test_routes_to_pods_are_for_others_to_set_where_kprov_makes_none() -> None:
    assert not found(routed("10.244.3.0/24"), cluster(network=NetworkSettings(mode="none")))
    assert not found(routed("10.244.3.0/24"), cluster(host(groups=("etcd",))))


def test_the_route_that_comes_with_an_address_is_told_with_it() -> None:
    own = replace(addressed("eth1", "10.244.3.4/24"), settings=routed("10.244.3.0/24", "eth1").settings)
    assert "10.244.3.4/24 on eth1" in the_only(found(own), "CIDR").found


def test_nodes_of_different_mtu() -> None:
    hosts = [host(f"n{n}", ("worker",), number=30 + n) for n in (1, 2, 3)]
    seen = {f"n{n}": Observation(facts=facts(f"n{n}", 30 + n)) for n in (1, 2, 3)}
    small = Interface(name="eth0", mtu=1400, addresses=("192.0.2.33/24",))
    seen["n3"] = Observation(facts=facts("n3", 33, interfaces=(small,)))
    (problem,) = check(cluster(*hosts), seen)
    assert (problem.name, problem.host, problem.severity) == ("MTU", "n3", "warning")
    assert problem.found == "1400; others have 1500"


# Leftovers


def test_leftovers_of_other_installers_are_listed() -> None:
    problem = the_only(found(facts(leftovers=("/etc/rancher", "/var/lib/rancher"))), "LeftOver")
    assert problem.found == "/etc/rancher, /var/lib/rancher"
    assert "k3s-uninstall" in problem.todo


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/var/lib/k0s", "k0s reset"),
        ("/usr/lib/systemd/system/kubelet.service", "kubeadm reset"),
        ("/var/lib/etcd/member", "save it first"),
        ("/etc/kubernetes/kubelet.conf", "remove these"),
    ],
)
def test_each_leftover_has_its_remedy(path: str, remedy: str) -> None:
    assert remedy in the_only(found(facts(leftovers=(path,))), "LeftOver").todo


def test_what_kprov_recorded_is_no_leftover() -> None:
    own = facts(leftovers=("/etc/kubernetes/kubelet.conf", "/var/lib/etcd/member"))
    records = installed(("file", "/etc/kubernetes/kubelet.conf"), ("file", "/etc/systemd/system/etcd.service"))
    assert not found(Observation(facts=own, records=records))


@pytest.mark.parametrize(("runtime", "program"), [("crio", "skopeo"), ("docker", "curl")])
def test_what_a_runtime_needs_of_the_distribution_is_asked_for(runtime: str, program: str) -> None:
    bare = facts(commands=facts().commands - {program})
    assert program in missing_packages(cluster(), host(runtime=runtime), bare)
    assert program not in missing_packages(cluster(), host(), bare)
    assert program not in missing_packages(cluster(), host(runtime=runtime), facts(commands=frozenset({program})))


def test_foreign_etcd_data_is_not_excused_by_other_records() -> None:
    seen = Observation(facts=facts(leftovers=("/var/lib/etcd/member",)), records=installed(("user", "etcd")))
    the_only(found(seen), "LeftOver")


# All together


def test_a_host_that_did_not_answer() -> None:
    (problem,) = check(cluster(), {})
    assert problem.name == "Unreachable"
    assert "192.0.2.11" in problem.needed


def test_all_problems_of_all_hosts_in_inventory_order() -> None:
    hosts = (host("b", number=21), host("a", number=22), host("c", number=23))
    seen = {
        "a": Observation(facts=facts("a", 22, is_root=False, cpus=1)),
        "b": Observation(facts=facts("b", 21, arch="i686", systemd=219)),
    }
    problems = check(cluster(*hosts), seen)
    assert [(problem.host, problem.name) for problem in problems] == [
        ("b", "Arch"),
        ("b", "Systemd"),
        ("a", "Root"),
        ("a", "NumCPU"),
        ("c", "Unreachable"),
    ]
    with pytest.raises(PreflightError) as caught:
        raise_for(problems)
    text = str(caught.value)
    assert text.startswith("preflight found 4 problems on 3 machines; nothing was touched\nb\n  [error Arch]")
    assert "NumCPU" not in text, "a warning stops nobody"
    assert "preflight_ignore (Arch, Systemd, Root, Unreachable)" in text
    assert text.index("\nb\n") < text.index("\na\n") < text.index("\nc\n")


def test_a_limit_leaves_others_alone_but_compares_with_them() -> None:
    hosts = (host("a", number=21), host("b", number=22), host("c", number=23))
    seen = {
        "a": Observation(facts=facts("a", 21, machine_id="e" * 32)),
        "b": Observation(facts=facts("b", 22, machine_id="e" * 32, is_root=False)),
    }
    problems = check(cluster(*hosts), seen, limit=frozenset({"a"}))
    assert [(problem.host, problem.name) for problem in problems] == [("a", "MachineID")]
    assert "as on b" in problems[0].found


@pytest.mark.parametrize("written", ["Port-6443", "port-6443"])
def test_what_is_ignored_is_a_warning(written: str) -> None:
    the_only(found(taken(6443), cluster(preflight_ignore=(written,))), "Port-6443", "warning")
    assert found(taken(6443), cluster(preflight_ignore=("Port-6444",)))["Port-6443"].severity == "error"


@pytest.mark.parametrize("name", ["DiskSpace", "Port-6443", "MachineID", "LeftOver"])
def test_a_name_that_preflight_advises_to_ignore_is_taken_by_the_inventory(name: str) -> None:
    assert check_name(name) == name


def test_a_host_cannot_drive_the_terminal() -> None:
    problems = found(facts(listeners=(Listener(port=6443, address="*", process="\x1b]0;owned\x07 pid 1"),)))
    assert "\x1b" not in render(problems.values())
    assert "\x07" not in render(problems.values())


def test_the_same_problem_on_many_hosts_is_one_entry() -> None:
    def problem(host: str, found: str) -> Problem:
        return Problem(
            name="Routes",
            host=host,
            what="pods of other nodes cannot be reached",
            found=found,
            needed="a route",
            todo="add it",
        )

    hosts = [f"n{number:04}" for number in range(1000)]
    text = render([problem(host, f"no route on {host}") for host in hosts])
    assert text.splitlines()[0] == "1000 hosts (n0000–n0999)"
    assert len(text.splitlines()) == 5
    assert "n0002: no route on n0002; and 997 more" in text
    assert "found:  the same" in render([problem(host, "the same") for host in hosts])
    assert render([problem("w1", "x")]).splitlines()[0] == "w1"


@pytest.mark.parametrize(
    ("addresses", "what", "do"),
    [
        ((), "cannot resolve api.example.org", "getent ahostsv4 api.example.org"),
        (("127.0.1.1",), "resolves api.example.org, the name in api_endpoint, to itself", "/etc/hosts"),
        (("192.0.2.9", "127.0.0.1"), "to itself", "/etc/hosts"),
    ],
)
def test_an_endpoint_that_a_host_would_not_find_is_told_before_it_is_changed(
    addresses: tuple[str, ...], what: str, do: str
) -> None:
    made = cluster(api_endpoint="api.example.org:6443")
    seen = Observation(facts=facts(), resolved={"api.example.org": addresses})
    (problem,) = check(made, {"cp1": seen})
    assert (problem.name, problem.severity, problem.key) == ("ApiEndpoint", "error", "cluster.api_endpoint")
    assert what in problem.what
    assert do in problem.todo
    assert check(made, {"cp1": replace(seen, resolved={"api.example.org": ("192.0.2.9",)})}) == ()


def test_nodes_alone_are_asked_for_the_name_of_the_api_servers() -> None:
    node, member = host("w1", ("worker",), 12), host("e1", ("etcd",), 13)
    named = cluster(host(), node, member, api_endpoint="api.example.org:6443")
    assert {name: asked.names for name, asked in first_questions(named, None, deep=False).items()} == {
        "cp1": ("api.example.org",),
        "w1": ("api.example.org",),
        "e1": (),
    }
    for other in ("192.0.2.9:6443", None):
        made = cluster(host(), api_endpoint=other)
        assert first_questions(made, None, deep=False)["cp1"].names == ()
