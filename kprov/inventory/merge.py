"""Variables of cluster, groups and host → one set of variables for each host. Pure; reads no file, checks no value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kprov.inventory.mistakes import Path
from kprov.inventory.schema import HostKeys, HostVariables, Inventory
from kprov.values.model import GROUPS, Group, Taint

VARIABLES = tuple(HostVariables.model_fields)
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_CONTROL_PLANE_TAINT = Taint(key=_CONTROL_PLANE, effect="NoSchedule")
_ROLE_LABELS: Mapping[Group, str] = {"control_plane": _CONTROL_PLANE, "worker": "node-role.kubernetes.io/worker"}

Variables = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Clash:
    """Two groups of one host that set a key to different values; `path` is that below the group."""

    host: str
    first: Group
    second: Group
    path: Path


def groups_of(entry: HostKeys) -> frozenset[Group]:
    """The groups a host names itself; a host that names none is a worker."""
    named = [*(entry.groups or ()), *([entry.group] if entry.group else ())]
    return frozenset(named or ["worker"])


def members(hosts: Mapping[str, HostKeys]) -> dict[str, frozenset[Group]]:
    """Groups by host name; control planes are etcd members when no host is in the group etcd."""
    named = {name: groups_of(entry) for name, entry in hosts.items()}
    if any("etcd" in groups for groups in named.values()):
        return named
    return {name: groups | {"etcd"} if "control_plane" in groups else groups for name, groups in named.items()}


def given(variables: HostVariables) -> Variables:
    """The variables which were written, by name."""
    return {name: getattr(variables, name) for name in VARIABLES if name in variables.model_fields_set}


def overlay(base: Variables, top: Variables) -> Variables:
    """`top` over `base`: mappings are put together, taints too (one per key and effect), all else is replaced."""
    merged = dict(base)
    for name, value in top.items():
        if name == "taints":
            merged[name] = _taints([*merged.get(name, ()), *value])
        else:
            merged[name] = _over(merged.get(name), value)
    return merged


def _over(base: Any, top: Any) -> Any:
    if not (isinstance(base, Mapping) and isinstance(top, Mapping)):
        return top
    return {**base, **{key: _over(base.get(key), value) for key, value in top.items()}}


def _taints(taints: Iterable[Taint]) -> list[Taint]:
    return list({(taint.key, taint.effect): taint for taint in taints}.values())


def _with_scheduler(variables: Variables, document: Mapping[str, Any]) -> Variables:
    """The cluster's variables with its `scheduler` under its `kube_scheduler`."""
    fields = {name: value for name, value in document.items() if name not in ("apiVersion", "kind")}
    return overlay({**variables, "kube_scheduler": fields}, variables) if fields else variables


class Merger:
    """The variables of each host; what hosts of the same groups share is put together once."""

    def __init__(self, inventory: Inventory) -> None:
        self._cluster = _with_scheduler(given(inventory.cluster), inventory.cluster.scheduler)
        self._groups = {group: given(variables) for group, variables in inventory.groups.items()}
        self._shared: dict[frozenset[Group], Variables] = {}

    def variables(self, entry: HostKeys, groups: frozenset[Group]) -> Variables:
        """Cluster's, then those of etcd, control_plane and worker as far as the host is in them, then its own."""
        if groups not in self._shared:
            shared = self._cluster
            for group in GROUPS:
                if group in groups:
                    shared = overlay(shared, self._groups.get(group, {}))
            self._shared[groups] = shared
        own = given(entry)
        return overlay(self._shared[groups], own) if own else self._shared[groups]


def node_labels(variables: Variables, groups: frozenset[Group]) -> dict[str, str]:
    """Role labels, then the user's."""
    roles = {_ROLE_LABELS[group]: "" for group in GROUPS if group in groups and group in _ROLE_LABELS}
    return {**roles, **variables.get("labels", {})}


def node_taints(variables: Variables, groups: frozenset[Group]) -> tuple[Taint, ...]:
    """The user's taints, after the control plane's own, which a control plane that is also a worker does not get."""
    own = [_CONTROL_PLANE_TAINT] if "control_plane" in groups and "worker" not in groups else []
    return tuple(_taints([*own, *variables.get("taints", ())]))


def clashes(inventory: Inventory, groups: Mapping[str, frozenset[Group]]) -> list[Clash]:
    """Keys on which two groups of one host disagree while the host itself does not set them; one clash per key."""
    leaves = {group: dict(_leaves(given(variables))) for group, variables in inventory.groups.items()}
    found: dict[tuple[Group, Group, Path], Clash] = {}
    pairs = [(first, second) for at, first in enumerate(GROUPS) for second in GROUPS[at + 1 :]]
    for first, second in pairs:
        disputed = {
            path
            for path, value in leaves.get(first, {}).items()
            if path in leaves.get(second, {}) and leaves[second][path] != value
        }
        if not disputed:
            continue
        for name, entry in inventory.hosts.items():
            if not {first, second} <= groups[name]:
                continue
            own = dict(_leaves(given(entry)))
            for path in disputed - own.keys():
                found.setdefault((first, second, path), Clash(host=name, first=first, second=second, path=path))
    return list(found.values())


def _leaves(variables: Variables, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in variables.items():
        if (*path, key) == ("taints",):
            yield from (((*path, key, f"{taint.key}:{taint.effect}"), taint.value) for taint in value)
        elif isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
