"""What `systemd-analyze security` finds open in units, and why it stays so. Values only.

docs/security.md is rendered from it; a test holds it against the units line by line, `kprov verify` asks on the machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# From 0, nothing is open, to 10: at most what it says of a unit of each distribution's systemd.
LEVELS: Mapping[str, float] = {
    "etcd": 1.7,
    "kube-apiserver": 1.7,
    "kube-controller-manager": 1.7,
    "kube-scheduler": 1.7,
    "kube-api-proxy": 1.7,
    "kprov-policies": 2.0,
    "kube-proxy": 3.3,
    "kprov-network": 3.5,
    "kubelet": 8.8,
    "containerd": 9.6,
}


@dataclass(frozen=True, kw_only=True)
class Open:
    """unit: the component. lines: settings as systemd-analyze names them, each with all that it begins."""

    unit: str
    lines: tuple[str, ...]
    why: str


_CAP = "CapabilityBoundingSet=~CAP_"
OPEN: tuple[Open, ...] = (
    Open(
        unit="containerd",
        lines=("CapabilityBoundingSet=", "NoNewPrivileges=", "RestrictSUIDSGID="),
        why="containers inherit it: it would be a bound of all pods, whatever they ask for",
    ),
    Open(
        unit="containerd",
        lines=(
            *("SystemCallFilter=", "SystemCallArchitectures=", "LockPersonality=", "MemoryDenyWriteExecute="),
            *("RestrictRealtime=", "RestrictNamespaces=", "RestrictAddressFamilies="),
        ),
        why="each is a filter of system calls, which containers inherit: pods with JIT compilers, emulators, containers of "
        "their own or uncommon network protocols would break",
    ),
    Open(
        unit="containerd",
        lines=(
            *("RootDirectory=/RootImage=", "PrivateMounts=", "PrivateTmp=", "ProtectSystem=", "ProtectHome="),
            *("ProtectKernelTunables=", "ProtectKernelModules=", "ProtectKernelLogs=", "ProtectControlGroups="),
            *("ProtectProc=", "ProcSubset="),
        ),
        why="each gives it mounts of its own: neither kubelet nor the host would see what it mounts for containers",
    ),
    Open(
        unit="containerd",
        lines=("PrivateDevices=", "DeviceAllow=", "ProtectClock="),
        why="each closes devices, and pods may ask for any",
    ),
    Open(
        unit="containerd",
        lines=("User=/DynamicUser=", "PrivateUsers=", "Delegate="),
        why="it makes containers of every user, and their cgroups",
    ),
    Open(
        unit="containerd",
        lines=("PrivateNetwork=", "IPAddressDeny=", "ProtectHostname="),
        why="it pulls images and makes pods' networks, and pods on the host's network have its name",
    ),
    Open(unit="containerd", lines=("UMask=",), why="users in pods must read the files that it unpacks"),
    Open(
        unit="kubelet",
        lines=(
            *("RootDirectory=/RootImage=", "PrivateMounts=", "PrivateTmp=", "ProtectSystem=", "ProtectHome="),
            "ProtectKernelModules=",
        ),
        why="each gives it mounts of its own: the runtime would not see the volumes that it mounts for pods",
    ),
    Open(
        unit="kubelet",
        lines=("ProtectKernelTunables=", "ProtectControlGroups=", "ProtectKernelLogs=", f"{_CAP}SYSLOG"),
        why="it sets the kernel, makes the cgroups of pods, and reads in the kernel's log what was killed for its memory",
    ),
    Open(
        unit="kubelet",
        lines=("ProtectProc=", "ProcSubset=", f"{_CAP}SYS_PTRACE", f"{_CAP}KILL", f"{_CAP}SYS_(NICE|RESOURCE)"),
        why="it looks at processes of pods, sets how soon they are killed, and ends what is left of them",
    ),
    Open(
        unit="kubelet",
        lines=("PrivateDevices=", "DeviceAllow=", "ProtectClock=", f"{_CAP}MKNOD", f"{_CAP}SYS_RAWIO"),
        why="it finds, formats and hands over disks of volumes; each of the first three closes devices",
    ),
    Open(
        unit="kubelet",
        lines=(
            *("User=/DynamicUser=", "PrivateUsers=", "NoNewPrivileges=", "RestrictSUIDSGID=", "UMask="),
            *(f"{_CAP}{name}" for name in ("(DAC_*|FOWNER|IPC_OWNER)", "(CHOWN|FSETID|SETFCAP)", "SET(UID|GID|PCAP)")),
        ),
        why="it is root: it gives volumes to users and groups of pods, and writes files that any of them must read",
    ),
    Open(
        unit="kubelet",
        lines=(
            *("SystemCallFilter=", "RestrictNamespaces=", "MemoryDenyWriteExecute="),
            *(f"{_CAP}{name}" for name in ("SYS_ADMIN", "SYS_CHROOT", "IPC_LOCK", "BPF", "MAC_*")),
        ),
        why="it mounts, and starts what others wrote: mount and mkfs programs, plugins of volumes and of registries' logins; "
        "these inherit it",
    ),
    Open(
        unit="kubelet",
        lines=("PrivateNetwork=", "IPAddressDeny=", "RestrictAddressFamilies=", f"{_CAP}NET_ADMIN", f"{_CAP}NET_(BIND"),
        why="it serves its API, probes pods on any address, and its plugins reach storage by protocols of their own",
    ),
    Open(unit="kubelet", lines=("ProtectHostname=",), why="it would not learn that its host has another name by now"),
)


def reasons(unit: str, line: str) -> list[Open]:
    """Return the rows that say why a line of systemd-analyze's is open."""
    return [row for row in OPEN if row.unit == unit and line.startswith(row.lines)]
