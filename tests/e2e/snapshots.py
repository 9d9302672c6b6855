"""What a machine is like, as text that two moments can be compared by: files with contents, units, users, network."""

from __future__ import annotations

from collections.abc import Mapping

from lab_cluster import LabCluster

# What programs of the distribution write to at any time, each with its reason.
UNSETTLED: Mapping[str, str] = {
    "/proc": "the kernel's",
    "/sys": "the kernel's; cgroups are compared by name",
    "/dev": "the kernel's",
    "/run": "gone with the next boot; what may not stay is listed by name",
    "/tmp": "every program's; looked through by name",
    "/var/tmp": "systemd makes a private folder there for each service that starts or stops",
    "/var/log": "logs grow; kubelet's own folders there are listed by name",
    "/var/cache": "apt and ldconfig keep there what they can make again",
    "/var/lib/apt": "package lists, read again when a package is installed",
    "/var/lib/dpkg": "its journal of the packages that came and went; the packages themselves are compared",
    "/var/lib/systemd": "random seed, time stamps of timers, catalogue",
    "/etc/passwd-": "useradd's copy of the file before its last change; the file itself is compared",
    "/etc/shadow-": "the same",
    "/etc/group-": "the same",
    "/etc/gshadow-": "the same",
    "/etc/subuid-": "the same",
    "/etc/subgid-": "the same",
}
_PRUNED = " -o ".join(f"-path {path}" for path in UNSETTLED)
# Mount points of their own on lab machines.
_DATA = "/var/lib/etcd /var/lib/kubelet /var/lib/containerd /var/lib/docker /var/lib/crio"

TRACES: Mapping[str, str] = {
    "files": f"find / -xdev \\( {_PRUNED} \\) -prune -o -printf '%p %y %m %U:%G %l\\n' | sort",
    "contents": f"find / -xdev \\( {_PRUNED} \\) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum",
    "data folders": f"find {_DATA} -printf '%p %y %m %U:%G\\n' | sort",
    "left in folders that change": "ls -d /run/kprov /run/containerd /run/nri /run/flannel /run/haproxy* /var/log/pods"
    " /var/log/containers /var/log/kube* /tmp/kprov* /var/tmp/kprov* 2> /dev/null || true",
    "units": "systemctl list-unit-files --no-legend --no-pager | grep -v transient | sort",
    "running services": "systemctl list-units --type=service --state=running --no-legend --plain | cut -d' ' -f1 | sort",
    "failed units": "systemctl --failed --no-legend",
    "users": "sort /etc/passwd /etc/group",
    "packages": "dpkg-query -W -f '${Package} ${Status}\\n' | grep 'install ok installed' | sort",
    "firewall": "command -v nft > /dev/null || exit 0; nft -s list ruleset",
    "routes": "ip route",
    "links": "ip -o link | sed 's/^[0-9]*: //; s/@.*: </: </' | cut -d' ' -f1,2 | sort",
    "mounts": "findmnt -rno TARGET | grep -vE '^/(proc|sys/kernel|dev)|^/run/(user|credentials)' | sort",
    "sysctls": "sysctl net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops"
    " fs.inotify.max_user_instances fs.inotify.max_user_watches kernel.keys.root_maxkeys",
    "cgroups": "find /sys/fs/cgroup -type d -name '*kubepods*'",
}


def snapshot(cluster: LabCluster, host: str = "one") -> dict[str, set[str]]:
    """Name of a trace → its lines. A question that the machine cannot answer fails the test."""
    return {name: set(cluster.sh(host, script).splitlines()) for name, script in TRACES.items()}


def difference(before: Mapping[str, set[str]], after: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """What came (+) and what went (-), by name of the trace; empty when nothing did."""
    found = {
        name: sorted(
            [f"- {line}" for line in before[name] - after[name]] + [f"+ {line}" for line in after[name] - before[name]]
        )
        for name in before
    }
    return {name: lines for name, lines in found.items() if lines}


def assert_same(before: Mapping[str, set[str]], after: Mapping[str, set[str]]) -> None:
    """Fails with a line for each thing that came or went."""
    left = difference(before, after)
    assert not left, "\n".join(f"{name}: {line}" for name, lines in left.items() for line in lines)
