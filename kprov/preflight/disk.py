"""Whether there is room on a host for what its roles bring. Pure; it knows sizes, not how they come about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.values.model import Facts, Host

MIB = 2**20

# What a new host takes at first, by group: programs, and the data that comes with the first hours.
_PROGRAMS: Mapping[str, int] = {"etcd": 128 * MIB, "control_plane": 512 * MIB, "worker": 448 * MIB}
_DATA: Mapping[str, int] = {"etcd": 1024 * MIB, "control_plane": 512 * MIB, "worker": 1024 * MIB}
_CONFIGURATION = 16 * MIB
# What a host that has its programs needs to replace any of them: the new file is written beside the old one.
_REPLACE: Mapping[str, int] = {"/opt": 192 * MIB, "/var/lib": 192 * MIB, "/etc": 8 * MIB}
_SAME_DISK = 64 * MIB  # df asks one folder after the other: what is free may have moved in between
EVICTION = 0.10  # kubelet's default nodefs.available
IMAGE_EVICTION = 0.15  # kubelet's default imagefs.available


def needs(host: Host, *, installed: bool) -> Mapping[str, int]:
    """Folder → bytes that must be free there."""
    if installed:
        return _REPLACE
    return {
        "/opt": sum(_PROGRAMS[group] for group in host.groups),
        "/var/lib": sum(_DATA[group] for group in host.groups),
        "/etc": _CONFIGURATION,
    }


def check(host: Host, seen: Observation) -> Iterable[Problem]:
    facts, installed = seen.facts, bool(seen.records)
    for folders, needed in _by_disk(facts, needs(host, installed=installed)).items():
        free = min(facts.disk_free[folder] for folder in folders)
        if free < needed:
            yield Problem(
                name="DiskSpace",
                host=host.name,
                what=f"there is too little room for {' and '.join(folders)}",
                found=f"{free // MIB} MiB free of {facts.disk_size[folders[0]] // MIB} MiB",
                needed=f"{needed // MIB} MiB free",
                todo=f"free or add disk space (df -h {' '.join(folders)})",
            )
    if host.is_node:
        yield from _relative(host, facts, installed)


def _by_disk(facts: Facts, needed: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    """Folders of one file system together, with the sum of what they need; folders df said nothing about are left out.

    The facts name no device: the same size and nearly the same free space stand for it.
    """
    disks: list[list[str]] = []
    for folder in needed:
        size, free = facts.disk_size.get(folder), facts.disk_free.get(folder)
        if size is None or free is None:
            continue
        for disk in disks:
            if facts.disk_size[disk[0]] == size and abs(facts.disk_free[disk[0]] - free) < _SAME_DISK:
                disk.append(folder)
                break
        else:
            disks.append([folder])
    return {tuple(disk): sum(needed[folder] for folder in disk) for disk in disks}


def _relative(host: Host, facts: Facts, installed: bool) -> Iterable[Problem]:
    """Kubelet evicts pods and refuses new ones when a share of the disk is used, however large the disk is."""
    size, free = facts.disk_size.get("/var/lib", 0), facts.disk_free.get("/var/lib", 0)
    if size <= 0 or free >= size * IMAGE_EVICTION or "evictionHard" in host.kubelet:
        return
    stops = free < size * EVICTION
    yield Problem(
        name="DiskSpace",
        host=host.name,
        what="kubelet would evict pods for want of disk space" if stops else "/var/lib is nearly full",
        found=f"{free * 100 // size} % free in /var/lib",
        needed=f"{EVICTION:.0%} free to run pods, {IMAGE_EVICTION:.0%} to keep images (kubelet's evictionHard)",
        todo="free or add disk space, or set other limits with `kubelet: {evictionHard: …}`",
        # A cluster that runs must stay repairable on a disk that filled up later.
        severity="error" if stops and not installed else "warning",
    )
