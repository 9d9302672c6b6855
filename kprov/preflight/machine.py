"""Whether a machine by itself can carry its roles: rights, system, processors, memory, disks, kernel. Pure; one host.

Sources: Kubernetes 1.37 system requirements (kernel, cgroup v2: KEP-5573), kubeadm's limits for memory and CPUs,
kubelet's default eviction thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.roles.host import modules
from kprov.roles.layout import kube_proxy_mode
from kprov.values.model import Cluster, Facts, Host
from kprov.values.runtimes import RUNTIMES

MIB = 2**20
ARCHITECTURES = ("amd64", "arm64")
OLDEST_KERNEL = (4, 19)
NFTABLES_KERNEL = (5, 13)
OLDEST_SYSTEMD = 247  # LoadCredential= for the kubeconfigs of processes without root
CONTROL_PLANE_MEMORY = 1700 * MIB  # kubeadm's ControlPlaneMem
CONTROL_PLANE_CPUS = 2  # kubeadm's ControlPlaneNumCPU
WORKER_MEMORY = 1000 * MIB
ETCD_MEMORY = 1000 * MIB
_HOPELESS = 2  # a machine with less than half of what is desired is refused
PROGRAMS = ("tar", "flock", "gzip")


def check(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    facts = seen.facts
    yield from _root(host, facts)
    yield from _system(cluster, host, facts)
    yield from _kernel(cluster, host, facts)
    yield from _cgroup(cluster, host, facts)
    yield from _power(host, facts)
    yield from _modules(cluster, host, facts)
    yield from _programs(host, facts)
    yield from _swap(cluster, host, facts)
    yield from _selinux(host, facts)


def _root(host: Host, facts: Facts) -> Iterable[Problem]:
    if facts.is_root:
        return
    yield Problem(
        name="Root",
        host=host.name,
        what="kprov has no root rights here",
        found="the probe ran as an ordinary user",
        needed="root, or a user who may use sudo",
        todo="connect as root, or leave `become: true` and allow the user sudo in /etc/sudoers.d",
    )


def missing_packages(cluster: Cluster, host: Host, facts: Facts) -> tuple[str, ...]:
    """Programs that kprov would install from the distribution and that are not there yet."""
    desired: list[str] = []
    if host.is_node:
        desired += [
            "nft" if kube_proxy_mode(cluster, facts) == "nftables" else "iptables",
            *RUNTIMES[host.runtime].commands,
        ]
    if cluster.addon("monitoring") or (host.is_node and cluster.api_endpoint is None):
        desired.append("haproxy")
    if cluster.addon("monitoring"):
        desired.append("openssl")
    return tuple(program for program in desired if program not in facts.commands)


def _system(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    system = f"{facts.os_id or 'an unknown system'} {facts.os_version}".rstrip()
    missing = missing_packages(cluster, host, facts)
    if not facts.package_manager and missing:
        yield Problem(
            name="SystemVerification",
            host=host.name,
            what="kprov cannot install packages on this system, and some are missing",
            found=f"{system} without apt-get, dnf or zypper, and without {', '.join(missing)}",
            needed="Debian, Ubuntu, a member of the RHEL or SUSE families, or these programs installed",
            todo=f"install {', '.join(missing)} by the system's own means, or use a supported distribution",
        )
    if facts.arch not in ARCHITECTURES:
        yield Problem(
            name="Arch",
            host=host.name,
            what="this processor architecture is not supported",
            found=facts.arch or "nothing",
            needed=" or ".join(ARCHITECTURES),
            todo="take this host out of the inventory",
        )
    if facts.systemd < OLDEST_SYSTEMD:
        yield Problem(
            name="Systemd",
            host=host.name,
            what="systemd is too old or not there",
            found=f"systemd {facts.systemd}" if facts.systemd else "no systemd",
            needed=f"systemd {OLDEST_SYSTEMD} or newer",
            todo="upgrade the distribution: Debian 11, Ubuntu 22.04, RHEL 9, SUSE 15.4 and their successors have it",
        )


def _kernel(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    if facts.kernel < OLDEST_KERNEL:
        yield Problem(
            name="KernelVersion",
            host=host.name,
            what="the kernel is too old for Kubernetes",
            found=facts.kernel_release,
            needed=f"{_dotted(OLDEST_KERNEL)} or newer",
            todo="upgrade the kernel or the distribution",
        )
    elif host.is_node and facts.kernel < NFTABLES_KERNEL:
        forced = cluster.kube_proxy_mode == "nftables"
        yield Problem(
            name="KernelVersion",
            host=host.name,
            what="the kernel is too old for kube-proxy's nftables mode",
            found=facts.kernel_release,
            needed=f"{_dotted(NFTABLES_KERNEL)} or newer",
            todo="upgrade the kernel"
            + (", or set kube_proxy_mode: auto" if forced else "; until then kube-proxy uses iptables here"),
            severity="error" if forced else "warning",
        )


def _cgroup(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    if facts.cgroup == 2 or not host.is_node or cluster.allow_cgroup_v1:
        return
    yield Problem(
        name="Cgroup",
        host=host.name,
        what="the host runs cgroup v1, which Kubernetes refuses since 1.35",
        found="cgroup v1",
        needed="cgroup v2",
        todo="boot with systemd.unified_cgroup_hierarchy=1, or set allow_cgroup_v1: true for the time being",
    )


def _power(host: Host, facts: Facts) -> Iterable[Problem]:
    desired, roles = _memory(host)
    if facts.memory < desired:
        yield Problem(
            name="Mem",
            host=host.name,
            what=f"there is little memory for {roles}",
            found=f"{facts.memory // MIB} MiB",
            needed=f"{desired // MIB} MiB",
            todo="give the machine more memory",
            severity="error" if facts.memory < desired // _HOPELESS else "warning",
        )
    if host.in_group("control_plane") and facts.cpus < CONTROL_PLANE_CPUS:
        yield Problem(
            name="NumCPU",
            host=host.name,
            what="too few CPUs for a control plane host",
            found=str(facts.cpus),
            needed=str(CONTROL_PLANE_CPUS),
            todo="give the machine more processors; on one, the API server answers slowly under load",
            severity="warning",
        )


def _memory(host: Host) -> tuple[int, str]:
    if host.in_group("control_plane"):
        return CONTROL_PLANE_MEMORY, "a control plane"
    return (WORKER_MEMORY, "a worker") if host.is_node else (ETCD_MEMORY, "an etcd member")


def _modules(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    desired = modules(cluster.network) if host.is_node else ()
    missing = [module for module in desired if module not in facts.modules | facts.loadable]
    if missing:
        yield Problem(
            name="KernelModule",
            host=host.name,
            what="kernel modules are neither loaded nor can be loaded",
            found=f"no {', '.join(missing)} in kernel {facts.kernel_release}",
            needed=", ".join(desired),
            todo="install the modules of this kernel (kernel-modules-extra, linux-modules-extra-…), or boot the kernel "
            "that is installed; in a container, load them on the machine that carries it",
        )


def _programs(host: Host, facts: Facts) -> Iterable[Problem]:
    for program in PROGRAMS:
        if program not in facts.commands:
            yield Problem(
                name=f"FileExisting-{program}",
                host=host.name,
                what=f"the program {program} is missing",
                found=f"no {program} on root's PATH",
                needed=f"{program}, which kprov uses to put files in place",
                todo=f"install the package that holds {program} ({'util-linux' if program == 'flock' else program})",
            )


def _swap(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    if not facts.swap or not host.is_node:
        return
    if cluster.swap == "off":
        yield Problem(
            name="Swap",
            host=host.name,
            what="swap is on and will be switched off for good",
            found="swap is on",
            needed="no swap (swap: off)",
            todo="nothing, if there is memory enough; with `swap: keep` it stays on",
            severity="warning",
        )
    elif host.kubelet.get("failSwapOn", False):  # kprov's own setting follows `swap`; the inventory may undo it
        yield Problem(
            name="Swap",
            host=host.name,
            what="swap is to stay on, but kubelet would not start with it",
            found="swap is on, `swap: keep`, and `kubelet: {failSwapOn: true}`",
            needed="`swap: off`, or failSwapOn: false",
            todo="take failSwapOn out of the inventory; to let pods use swap, set memorySwap.swapBehavior",
        )


def _selinux(host: Host, facts: Facts) -> Iterable[Problem]:
    if facts.selinux == "enforcing":
        yield Problem(
            name="SELinux",
            host=host.name,
            what="SELinux is enforcing, and kprov ships no policy for what it installs",
            found="enforcing",
            needed="permissive, or a policy that allows programs in /opt/kprov/bin",
            todo="if a unit fails to start, look at `ausearch -m avc -ts recent`",
            severity="warning",
        )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
