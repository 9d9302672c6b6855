"""Whether there is room on a host for what its roles bring. Pure; it knows sizes, not how they come about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.roles.etcd import QUOTA_BYTES
from kprov.values.model import Cluster, Facts, Host
from kprov.values.runtimes import RUNTIMES

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
INODE_EVICTION = 0.05  # kubelet's default nodefs.inodesFree


def data_folder(group: str, host: Host) -> str:
    """Return where a group's data goes: a mount of its own there is judged instead of /var/lib."""
    if group == "etcd":
        return "/var/lib/etcd"
    if group == "worker":
        folders = (folder for folder in RUNTIMES[host.runtime].folders if folder.startswith("/var/lib/"))
        return next(folders, "/var/lib")
    return "/var/lib"


def needs(host: Host, facts: Facts, *, installed: bool) -> Mapping[str, int]:
    """Folder → bytes that must be free there."""
    if installed:
        return _REPLACE
    needed = {"/opt": sum(_PROGRAMS[group] for group in host.groups), "/var/lib": 0, "/etc": _CONFIGURATION}
    for group in host.groups:
        folder = _disk_of(facts, data_folder(group, host))
        needed[folder] = needed.get(folder, 0) + _DATA[group]
    return needed


def _disk_of(facts: Facts, folder: str) -> str:
    """The folder itself when it has a disk of its own, else the one above it that is always asked about."""
    return folder if folder in facts.disk_size else "/var/lib"


def check(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    facts, installed = seen.facts, bool(seen.records)
    for folders, needed in _by_disk(facts, needs(host, facts, installed=installed)).items():
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
    yield from _inodes(host, facts, installed)
    if host.is_node:
        for folder in dict.fromkeys(
            _disk_of(facts, path) for path in ("/var/lib/kubelet", data_folder("worker", host))
        ):
            yield from _relative(host, folder, facts, installed)
    if host.in_group("etcd"):
        yield from _quota(cluster, host, facts)
        yield from _outgrown(cluster, host, seen)


def _inodes(host: Host, facts: Facts, installed: bool) -> Iterable[Problem]:
    """A disk with room for bytes, and for no more files."""
    full = {folder: share for folder, share in facts.inodes_free.items() if share < INODE_EVICTION}
    if full:
        yield Problem(
            name="Inodes",
            host=host.name,
            what=f"hardly any more files can be made in {', '.join(full)}, whatever room there is",
            found=f"{min(full.values()):.1%} of the inodes free",
            needed=f"{INODE_EVICTION:.0%} (kubelet's evictionHard nodefs.inodesFree)",
            todo="remove files that nobody needs (`du --inodes -xS / | sort -n | tail` names the folders with most), or take "
            "a larger disk",
            severity="warning" if installed else "error",
        )


def _quota(cluster: Cluster, host: Host, facts: Facts) -> Iterable[Problem]:
    """Only of a disk that etcd has for itself: one that others write to may be full however small the database is."""
    folder, quota = data_folder("etcd", host), int(cluster.etcd.get("quota_bytes", QUOTA_BYTES))
    size = facts.disk_size.get(folder, 0)
    if 0 < size < quota:
        yield Problem(
            name="EtcdQuota",
            host=host.name,
            what="etcd's database may grow larger than the disk it is on, and a full disk stops it at once",
            found=f"{size // MIB} MiB in all for {folder}, and a quota of {quota // MIB} MiB",
            needed="a quota below the size of the disk: then etcd refuses writes, says so, and can be repaired",
            todo=f"write `etcd: {{quota_bytes: {size // 4 * 3}}}`, or give {folder} a larger disk",
            severity="warning",
        )


def _outgrown(cluster: Cluster, host: Host, seen: Observation) -> Iterable[Problem]:
    """A quota below what is stored stops all writes of the cluster. Of a store that is full by now the findings tell."""
    size, quota = seen.etcd.size, int(cluster.etcd.get("quota_bytes", QUOTA_BYTES))
    if size > quota and "NOSPACE" not in seen.surroundings.etcd:
        yield Problem(
            name="EtcdOutgrown",
            host=host.name,
            what="etcd's database is larger than the quota, with which it would refuse every write",
            found=f"{size // MIB} MiB, and a quota of {quota // MIB} MiB",
            needed="a quota above the size of the database",
            todo=f"write `etcd: {{quota_bytes: {size * 2}}}`",
            key="cluster.etcd.quota_bytes",
            ignorable=False,
        )


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


def _relative(host: Host, folder: str, facts: Facts, installed: bool) -> Iterable[Problem]:
    """Kubelet evicts pods and refuses new ones when a share of the disk is used, however large the disk is."""
    size, free = facts.disk_size.get(folder, 0), facts.disk_free.get(folder, 0)
    if size <= 0 or free >= size * IMAGE_EVICTION or "evictionHard" in host.kubelet:
        return
    stops = free < size * EVICTION
    yield Problem(
        name="DiskSpace",
        host=host.name,
        what="kubelet would evict pods for want of disk space" if stops else f"{folder} is nearly full",
        found=f"{free * 100 // size} % free in {folder}",
        needed=f"{EVICTION:.0%} free to run pods, {IMAGE_EVICTION:.0%} to keep images (kubelet's evictionHard)",
        todo="free or add disk space, or set other limits with `kubelet: {evictionHard: …}`",
        # A cluster that runs must stay repairable on a disk that filled up later.
        severity="error" if stops and not installed else "warning",
    )
