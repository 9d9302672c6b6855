"""Writes an inventory of a lab: its hosts, its key, and the settings that machines without their own kernel need.

It states what was seen of this host; it decides nothing about a cluster beyond that, and holds no secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from kprov.lab import cgroups
from kprov.lab.layout import Lab, Machine
from kprov.lab.records import password_file
from kprov.values.errors import LabError
from kprov.values.model import GROUPS, Group

_CAP_SYS_RESOURCE = 24
_EVICTION = {
    "memory.available": "200Mi",
    "nodefs.available": "500Mi",
    "nodefs.inodesFree": "1%",
    "imagefs.available": "500Mi",
    "imagefs.inodesFree": "1%",
}

User = Literal["root", "admin", "deploy"]


@dataclass(frozen=True, kw_only=True)
class HostTraits:
    """What of this host shows in its lab machines: a cgroup version, swap, and whether CAP_SYS_RESOURCE can be had."""

    cgroup: int
    swap: bool
    sys_resource: bool


def observe() -> HostTraits:
    """Look at this host. Raises LabError when it has no cgroups."""
    return HostTraits(
        cgroup=cgroups.observe().version,
        swap=has_swap(Path("/proc/swaps").read_text(encoding="utf-8")),
        sys_resource=has_capability(Path("/proc/self/status").read_text(encoding="utf-8"), _CAP_SYS_RESOURCE),
    )


def has_swap(swaps: str) -> bool:
    """Whether /proc/swaps lists anything below its heading."""
    return len(swaps.strip().splitlines()) > 1


def has_capability(status: str, number: int) -> bool:
    """Whether the bounding set of a /proc/PID/status text holds a capability (capabilities(7))."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def settings(traits: HostTraits, kinds: Collection[str] = ("container",)) -> dict[str, Any]:
    """The cluster keys that lab machines of these kinds need on a host with these traits."""
    result: dict[str, Any] = _of_containers(traits) if "container" in kinds else {}
    result["artifacts"] = {"compress": False}  # bytes cost nothing on one computer, unpacking them does
    return result


def _of_containers(traits: HostTraits) -> dict[str, Any]:
    # All machines share this computer's disk: a share of it being free says nothing of the lab, and nothing the lab's
    # kubelets could remove would free it.
    kubelet: dict[str, Any] = {"evictionHard": dict(_EVICTION), "imageGCHighThresholdPercent": 100}
    result: dict[str, Any] = {}
    if traits.cgroup == 1:
        result["allow_cgroup_v1"] = True
        kubelet["failCgroupV1"] = False
    if traits.swap:
        result["swap"] = "keep"
        kubelet["failSwapOn"] = False
    result["kubelet"] = kubelet
    # The size of the connection table belongs to the host's own network namespace.
    result["kube_proxy"] = {"conntrack": {"maxPerCore": 0}}
    if not traits.sys_resource:
        result["restrict_oom_score_adj"] = True
    return result


def content(
    lab: Lab,
    traits: HostTraits,
    *,
    cluster: str,
    kubernetes: str | None = None,
    user: User = "root",
    groups: Mapping[Group, Sequence[str]] | None = None,
    cluster_keys: Mapping[str, Any] | None = None,
    group_keys: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The inventory as plain values; arguments as for `write`. Raises LabError for a machine the lab does not have."""
    keys: dict[str, Any] = {"name": cluster}
    if kubernetes is not None:
        keys["kubernetes"] = kubernetes
    keys = merged({**keys, **settings(traits, {machine.kind for machine in lab.machines})}, cluster_keys or {})
    result: dict[str, Any] = {"cluster": keys}
    if group_keys:
        result["groups"] = {name: dict(values) for name, values in group_keys.items()}
    hosts = {}
    for machine in lab.machines:
        if member := _groups_of(lab, machine, groups):
            hosts[machine.name] = {**_host(lab, machine, user), "groups": member}
    if not hosts:
        raise LabError("no machine of the lab is in any group", where=f"lab {lab.name}", needed="at least one host")
    return {**result, "hosts": hosts}


def write(
    lab: Lab,
    path: Path,
    *,
    cluster: str | None = None,
    kubernetes: str | None = None,
    user: User = "root",
    groups: Mapping[Group, Sequence[str]] | None = None,
    cluster_keys: Mapping[str, Any] | None = None,
    group_keys: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write an inventory of a lab to `path` and return it; an older file is replaced.

    cluster: name of the cluster; default: the lab's. kubernetes: a version; default: kprov's. user: whom to log in
    as: root, `deploy` (sudo without a password) or `admin` (sudo asks; the file refers to the password's file).
    groups: machine names by group; default: what the machines were made for; machines in no group are left out.
    cluster_keys: laid over the `cluster` mapping, mapping by mapping. group_keys: the `groups` mapping.
    Raises LabError.
    """
    values = content(
        lab,
        observe(),
        cluster=cluster or lab.name,
        kubernetes=kubernetes,
        user=user,
        groups=groups,
        cluster_keys=cluster_keys,
        group_keys=group_keys,
    )
    path.write_text(
        f"# Inventory of the lab {lab.name}, written by kprov.\n"
        + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=120),
        encoding="utf-8",
    )
    return path


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`; where both have a mapping, key by key."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _groups_of(lab: Lab, machine: Machine, groups: Mapping[Group, Sequence[str]] | None) -> list[str]:
    if groups is None:
        return list(machine.groups)
    for members in groups.values():
        for name in members:
            lab.machine(name)
    return [group for group in GROUPS if machine.name in groups.get(group, ())]


def _host(lab: Lab, machine: Machine, user: User) -> dict[str, Any]:
    host: dict[str, Any] = {
        "address": machine.address,
        "user": user,
        "key": str(lab.key),
        "host_key": machine.host_key,
    }
    if user == "admin":
        host["become_password"] = {"file": str(password_file(lab))}
    return host
