"""What a host has that decides what kprov's units and pods get: a table of findings, each with its remedy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from kprov.observe.observation import Observation, seconds_of
from kprov.preflight.problem import Problem, Severity
from kprov.roles.host import overruled
from kprov.values.durations import go_seconds
from kprov.values.host_settings import Mount, last_of
from kprov.values.model import Cluster, Host

_PROGRAMS = "/opt/kprov/bin"
# Folder → what runs or lies there, of the hosts that have it. A program cannot be run from a mount with noexec.
_RUN_FROM = {
    _PROGRAMS: "kprov's binaries",
    "/var/lib/containerd": "programs of images",
    "/var/lib/kubelet": "programs that init containers put into volumes",
}
_WRITTEN = ("/etc", "/opt/kprov/bin", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd")
_KUBELET_DROP_IN = "/etc/systemd/logind.conf.d/99-kubelet.conf"
_MOST_NAMESERVERS = 3  # glibc's MAXNS, and kubelet's limit

Finding = Callable[[Cluster, Host, Observation], Iterable[Problem]]


def check(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    for finding in FINDINGS:
        yield from finding(cluster, host, seen)


def _problem(
    name: str, host: Host, what: str, found: str, needed: str, todo: str, severity: Severity = "warning"
) -> Problem:
    return Problem(name=name, host=host.name, what=what, found=found, needed=needed, todo=todo, severity=severity)


def _noexec(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    for folder, what in _RUN_FROM.items():
        mount = _mount(seen, folder)
        if mount is None or "noexec" not in mount.options or not (host.is_node or folder == _PROGRAMS):
            continue
        yield _problem(
            "NoExec", host, f"{what} could not be run: they lie on a mount with noexec", f"{folder} on {mount.point}, noexec",
            f"a mount of {mount.point} without noexec",
            f"take noexec out of the options of {mount.point} in /etc/fstab (or its .mount unit), then "
            f"`mount -o remount,exec {mount.point}`; or mount a disk of its own at {folder}",
            "error",
        )  # fmt: skip


def _read_only(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    points: dict[str, list[str]] = {}
    for folder in _WRITTEN:
        mount = _mount(seen, folder)
        if (
            mount is not None
            and "ro" in mount.options
            and (host.is_node or folder in ("/etc", _PROGRAMS, "/var/lib/etcd"))
        ):
            points.setdefault(mount.point, []).append(folder)
    for point, folders in points.items():
        yield _problem(
            "ReadOnly", host, "folders that kprov writes to are on a file system that is read-only",
            f"{', '.join(folders)} on {point}, ro", "a file system that can be written",
            f"see why it is so (dmesg | grep -i remount), then `mount -o remount,rw {point}`; on a distribution that cannot "
            f"be written there, mount a disk at {folders[0]}",
            "error",
        )  # fmt: skip


def _propagation(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    mount = _mount(seen, "/var/lib/kubelet")
    if host.is_node and mount is not None and not mount.shared:
        yield _problem(
            "MountPropagation", host, "volumes that pods mount for others would not be seen by them",
            f"{mount.point} is not a shared mount", "shared mounts, which systemd makes at boot",
            f"`mount --make-rshared {mount.point}`, and see what makes it private at boot",
        )  # fmt: skip


def _nameservers(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    around, stub = seen.facts.settings, "127.0.0.53"
    if not host.is_node or not around.known:
        return
    servers = around.upstream if around.nameservers == (stub,) else around.nameservers
    if not around.nameservers or not servers:
        path = "/run/systemd/resolve/resolv.conf" if around.nameservers else "/etc/resolv.conf"
        yield _problem(
            "Nameserver", host, "pods on this host could resolve no name outside the cluster",
            f"no nameserver in {path}", "at least one name server",
            "set the host's DNS servers (netplan, NetworkManager, systemd-networkd, or /etc/resolv.conf)",
        )  # fmt: skip
        return
    local = [server for server in servers if _is_loopback(server)]
    if local:
        who = next((row.process for row in seen.facts.udp_listeners if row.port == 53), "") or "nothing kprov can see"
        yield _problem(
            "Nameserver", host, "the host's name server listens on loopback, where pods cannot reach it: the cluster's DNS "
            "would ask itself", f"nameserver {', '.join(local)}, answered by {who}",
            "the address of a name server that pods can reach",
            "set `kubelet: {resolvConf: FILE}` to a file with the servers behind it, or name them in the host's DNS settings",
        )  # fmt: skip
    if len(servers) > _MOST_NAMESERVERS:
        yield _problem(
            "Nameserver", host, "pods get the first three of the host's name servers only",
            f"{len(servers)}: {', '.join(servers)}",
            f"at most {_MOST_NAMESERVERS}", "take those out that are not needed",
        )  # fmt: skip


def _shutdown_delay(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    record = seen.records.get(("file", _KUBELET_DROP_IN))
    counts = last_of(seen.facts.settings.shutdown_delays)
    if counts is None or counts.path == _KUBELET_DROP_IN or not host.is_node:
        return
    if record is None and counts.path.rpartition("/")[2] < "99-kubelet.conf":
        return  # kprov's file will count
    if seconds_of(_with_unit(counts.value)) >= _desired_delay(host):
        return
    yield _problem(
        "ShutdownDelay", host, "the host would shut down before its pods have ended: another file sets logind's delay",
        f"InhibitDelayMaxSec={counts.value} in {counts.path}",
        f"at least {_desired_delay(host):g} s (kubelet's shutdownGracePeriod)",
        f"take InhibitDelayMaxSec out of {counts.path}, then `systemctl reload systemd-logind`",
    )  # fmt: skip


def _desired_delay(host: Host) -> float:
    return go_seconds(str(host.kubelet.get("shutdownGracePeriod", "60s")))


def _with_unit(value: str) -> str:
    return f"{value}s" if value.isdigit() else value


def _swap(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    """Swap that is off now, or will be, and is back at the next boot.

    Where it is on, kprov takes out fstab's lines and masks swap.target; a service that calls swapon asks neither.
    """
    if not host.is_node or cluster.swap != "off":
        return
    for setting in seen.facts.settings.swaps:
        service = setting.value if setting.path.endswith(".service") else ""
        if seen.facts.swap and not service:
            continue
        yield _problem(
            "SwapAtBoot", host, "swap would be back at the next boot, and kubelet would not start",
            f"{service} is enabled" if service else f"{setting.value} in {setting.path}",
            "nothing that brings swap back, or `swap: keep`", _without_swap(setting.path, service),
        )  # fmt: skip


def _without_swap(path: str, service: str) -> str:
    if service:
        return f"`systemctl disable --now {service}`"
    return f"comment the line out in {path}" if path == "/etc/fstab" else "`systemctl mask swap.target`"


def _unit_proxies(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    for setting in seen.facts.settings.proxies:
        yield _problem(
            "UnitProxy", host, "systemd gives every unit a proxy: components of the cluster would call each other through it",
            f"a proxy in {setting.path}", "no proxy for units in general",
            f"take the proxy out of {setting.path} and give it to the units that need it, then `systemctl daemon-reexec`",
            "error",
        )  # fmt: skip


def _booleans(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    on = seen.facts.settings.booleans
    if seen.facts.selinux != "enforcing" or not host.is_node or cluster.api_endpoint is not None:
        return
    if on.get("haproxy_connect_any") is False:
        yield _problem(
            "SELinuxBoolean", host, "SELinux keeps haproxy from connecting to the API servers", "haproxy_connect_any is off",
            "haproxy_connect_any on", "setsebool -P haproxy_connect_any on", "error",
        )  # fmt: skip


def _drop_ins(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    """Somebody's settings of a unit that will be kprov's: they may be meant. Of one that is, `findings` tells them."""
    for unit, paths in sorted(seen.surroundings.dropins.items()):
        if ("unit", unit) not in seen.records:
            yield _problem(
                "DropIn", host, f"{unit}, which kprov is about to write, already has settings here", ", ".join(paths),
                "units as kprov writes them, or settings that are meant",
                f"see what they change: `cat {' '.join(paths)}`; remove what is left from an earlier installation",
            )  # fmt: skip


def _sysctls(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    """Of a host that is in a cluster by now, the findings tell it."""
    for name, desired, wins in overruled(host, seen.facts.settings) if not seen.records else ():
        yield _problem(
            "Sysctl", host, "a kernel parameter that kprov sets would be another one after the next boot",
            f"{name} = {wins.value} in {wins.path}, which is read after /etc/sysctl.d/zz-kprov.conf", f"{name} = {desired}",
            f"take the line out of {wins.path}",
        )  # fmt: skip


def _mount(seen: Observation, folder: str) -> Mount | None:
    return seen.facts.settings.mounts.get(folder)


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


FINDINGS: tuple[Finding, ...] = (
    _noexec, _read_only, _propagation, _nameservers, _shutdown_delay, _swap, _unit_proxies, _booleans, _drop_ins,
    _sysctls,
)  # fmt: skip
