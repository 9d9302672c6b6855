"""The plan: what differs between what roles want on a host and what was seen there, and what must restart for it.

Pure functions of values. Nothing is sent from here, and nothing here knows Kubernetes: only resources, records, stamps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal

from kprov.observation import FileState, Observation
from kprov.pki.reissue import why_reissue
from kprov.pki.spec import Authority
from kprov.resources import (
    Binary,
    Certificate,
    Directory,
    File,
    Image,
    KernelModule,
    Key,
    Package,
    Resource,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

Action = Literal["create", "update", "permissions", "record", "delete"]

SYSCTL_FILE = "/etc/sysctl.d/90-kprov.conf"
MODULES_FILE = "/etc/modules-load.d/kprov.conf"
JOIN_FILE = "/etc/etcd/join.env"  # written by the etcd conversation, empty between joins
CLEANUP = "cleanup"

# Folders of the distribution: never made and never removed by kprov.
_SYSTEM_FOLDERS = frozenset(
    PurePosixPath(folder)
    for folder in (
        *("/", "/etc", "/opt", "/usr", "/usr/local", "/usr/local/bin", "/var", "/var/lib", "/var/log", "/run"),
        *("/etc/systemd", "/etc/systemd/system", "/etc/sysctl.d", "/etc/modules-load.d"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference on one host, with the sentences that say why. `resource` is None for a deletion."""

    stage: str
    key: Key
    action: Action
    reasons: tuple[str, ...]
    resource: Resource | None = None

    @property
    def title(self) -> str:
        kind, name = self.key
        return f"{kind} {name}"


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A unit that has to (re)start in its own stage, and why."""

    stage: str
    unit: Unit
    reason: str
    running: bool  # whether it serves now, so that restarting it takes something away


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """All that is to be done on one host, in order; empty when nothing is."""

    host: str
    changes: tuple[Change, ...]
    restarts: tuple[Restart, ...]
    stamps: Mapping[str, str]  # unit → the stamp it gets when it is healthy
    unstamps: Mapping[str, tuple[str, ...]]  # path → units whose stamp must go before that path changes

    def stage(self, stage: str) -> tuple[tuple[Change, ...], tuple[Restart, ...]]:
        return (
            tuple(change for change in self.changes if change.stage == stage),
            tuple(restart for restart in self.restarts if restart.stage == stage),
        )

    @property
    def empty(self) -> bool:
        return not self.changes and not self.restarts


Wanted = Mapping[str, Sequence[Resource]]  # stage → resources, in stage order


def expand(wanted: Wanted) -> dict[str, tuple[Resource, ...]]:
    """Adds what resources imply: parent directories, and the files that make sysctls and modules last over a reboot.

    Raises ValueError when two stages want different things under one key.
    """
    expanded: dict[str, tuple[Resource, ...]] = {}
    seen: dict[Key, Resource] = {}
    explicit = {
        resource.path for resources in wanted.values() for resource in resources if isinstance(resource, Directory)
    }
    for stage, resources in wanted.items():
        kept: list[Resource] = []
        for resource in [*_lasting(resources), *resources]:
            for parent in _parents(resource):
                if parent not in explicit and ("directory", parent) not in seen:
                    directory = Directory(path=parent)
                    seen[directory.key] = directory
                    kept.append(directory)
            if resource.key in seen:
                if seen[resource.key] != resource:
                    raise ValueError(f"{stage}: {resource.key} is wanted in two ways")
                continue
            seen[resource.key] = resource
            kept.append(resource)
        expanded[stage] = tuple(kept)
    return expanded


def _lasting(resources: Iterable[Resource]) -> Iterable[File]:
    sysctls = [resource for resource in resources if isinstance(resource, Sysctl)]
    modules = [resource for resource in resources if isinstance(resource, KernelModule)]
    if sysctls:
        text = "".join(f"{sysctl.name} = {sysctl.value}\n" for sysctl in sysctls)
        yield File(path=SYSCTL_FILE, content=text.encode())
    if modules:
        yield File(path=MODULES_FILE, content="".join(f"{module.name}\n" for module in modules).encode())


def _parents(resource: Resource) -> Iterable[str]:
    paths = [getattr(resource, name) for name in ("path", "key_path") if hasattr(resource, name)]
    found: list[PurePosixPath] = []
    for path in map(PurePosixPath, paths):
        found.extend(parent for parent in reversed(path.parents) if parent not in _SYSTEM_FOLDERS)
    return [str(parent) for parent in dict.fromkeys(found)]


def record_keys(resource: Resource) -> tuple[Key, ...]:
    """The keys under which the host's manifest knows a resource."""
    if isinstance(resource, Certificate):
        return (("file", resource.path), ("file", resource.key_path))
    if isinstance(resource, Unit):
        return (("unit", resource.name), ("file", resource.path))
    if isinstance(resource, SwapOff):
        return (("swap", "off"),)
    return (resource.key,)


def questions(wanted: Wanted) -> tuple[Key, ...]:
    """What must have been looked at on a host before it can be compared with `wanted`."""
    keys: list[Key] = []
    for resources in wanted.values():
        for resource in resources:
            keys.extend(record_keys(resource))
    return tuple(dict.fromkeys(keys))


def stamp(unit: Unit, contents: Mapping[str, str]) -> str:
    """The hash of all that a unit reads at start. `contents`: path → sha256 of files and binaries of the host."""
    digest = hashlib.sha256(unit.content)
    for path in sorted(unit.reads):
        digest.update(f"\n{path} {contents.get(path, '-')}".encode())
    return digest.hexdigest()


def plan_host(
    host: str,
    wanted: Wanted,
    seen: Observation,
    *,
    authorities: Mapping[Authority, bytes],
    now: datetime,
) -> HostPlan:
    """Compares. `wanted` must be expanded; `authorities` are CA certificates in PEM; `now` is aware UTC."""
    changes: list[Change] = []
    for stage, resources in wanted.items():
        for resource in resources:
            change = _compare(stage, resource, seen, authorities, now)
            if change is not None:
                changes.append(change)
    changes.extend(_unwanted(wanted, seen))
    contents = {
        resource.path: resource.sha256 if isinstance(resource, File) else resource.artifact.sha256
        for resources in wanted.values()
        for resource in resources
        if isinstance(resource, File | Binary)
    }
    units = [
        (stage, resource) for stage, resources in wanted.items() for resource in resources if isinstance(resource, Unit)
    ]
    stamps = {unit.name: stamp(unit, contents) for _, unit in units}
    written = written_paths(changes)
    return HostPlan(
        host=host,
        changes=tuple(changes),
        restarts=tuple(_restarts(units, stamps, written, seen)),
        stamps=stamps,
        unstamps={
            path: tuple(unit.name for _, unit in units if path in unit.reads or path == unit.path) for path in written
        },
    )


def written_paths(changes: Iterable[Change]) -> frozenset[str]:
    """Paths whose content a set of changes replaces or removes."""
    paths: set[str] = set()
    for change in changes:
        if change.action not in ("create", "update", "delete"):
            continue
        if isinstance(change.resource, Certificate):
            paths |= {change.resource.path, change.resource.key_path}
        elif isinstance(change.resource, File | Binary | Unit):
            paths.add(change.resource.path)
        elif change.resource is None and change.key[0] in ("file", "binary"):
            paths.add(change.key[1])
    return frozenset(paths)


def _restarts(
    units: Iterable[tuple[str, Unit]], stamps: Mapping[str, str], written: frozenset[str], seen: Observation
) -> Iterable[Restart]:
    for stage, unit in units:
        state = seen.units.get(unit.name)
        running = state is not None and state.active in ("active", "activating", "reloading")
        reason = ""
        changed = sorted(path for path in written if path in unit.reads)
        if state is None or not state.loaded:
            reason = "it is new"
        elif not running:
            reason = f"it is not running ({state.active or 'unknown'})"
        elif unit.path in written:
            reason = "its unit file changes"
        elif changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            reason = f"it reads {changed[0]}{more}, which changes"
        elif seen.stamps.get(unit.name) != stamps[unit.name]:
            reason = "it has not been seen healthy with what it reads now"
        elif state.needs_reload:
            reason = "systemd runs it from an older unit file"
        elif not state.enabled.startswith("enabled"):
            reason = "it is not enabled at boot"
        if reason:
            yield Restart(stage=stage, unit=unit, reason=reason, running=running)


def _compare(
    stage: str, resource: Resource, seen: Observation, authorities: Mapping[Authority, bytes], now: datetime
) -> Change | None:
    action: Action
    if isinstance(resource, Certificate):
        action, reasons = _certificate(resource, seen, authorities, now)
    elif isinstance(resource, File | Binary | Unit):
        action, reasons = _file(resource, seen)
    else:
        action, reasons = _simple(resource, seen)
    if not reasons and not all(key in seen.records for key in record_keys(resource)):
        # A unit is recorded when it is stamped, so only its file counts here.
        missing = [key for key in record_keys(resource) if key not in seen.records and key[0] != "unit"]
        if missing:
            action, reasons = "record", ["it is as wanted, but was not recorded as kprov's"]
    if not reasons:
        return None
    return Change(stage=stage, key=resource.key, action=action, reasons=tuple(reasons), resource=resource)


def _owned(state: FileState, owner: str, group: str, mode: int) -> list[str]:
    reasons = []
    if state.mode != mode:
        reasons.append(f"mode {state.mode:04o}, wanted {mode:04o}")
    if (state.owner, state.group) != (owner, group):
        reasons.append(f"owner {state.owner}:{state.group}, wanted {owner}:{group}")
    return reasons


def _file(resource: File | Binary | Unit, seen: Observation) -> tuple[Action, list[str]]:
    owner, group, mode = "root", "root", 0o600
    if isinstance(resource, File):
        owner, group, mode, sha256 = resource.owner, resource.group, resource.mode, resource.sha256
    elif isinstance(resource, Binary):
        mode, sha256 = resource.mode, resource.artifact.sha256
    else:
        sha256 = hashlib.sha256(resource.content).hexdigest()
    state = seen.files.get(resource.path)
    if state is None:
        record = any(key in seen.records for key in record_keys(resource))
        return "create", ["it was removed on the host" if record else "it is not there"]
    if not state.kind.startswith("regular"):
        return "update", [f"there is a {state.kind} in its place"]
    if state.sha256 != sha256:
        record_key: Key = ("binary" if isinstance(resource, Binary) else "file", resource.path)
        known = seen.records.get(record_key)
        if known is None:
            return "update", ["a foreign file is in its place"]
        if known.value == sha256:
            return "update", ["it was changed on the host"]
        return "update", ["wanted content is new"]
    return "permissions", _owned(state, owner, group, mode)


def _certificate(
    resource: Certificate, seen: Observation, authorities: Mapping[Authority, bytes], now: datetime
) -> tuple[Action, list[str]]:
    spec = resource.spec
    state, key = seen.files.get(resource.path), seen.files.get(resource.key_path)
    why = why_reissue(seen.texts.get(resource.path) if state else None, spec, authorities[spec.authority], now)
    if why is not None:
        return ("update" if state else "create"), [why]
    record = seen.records.get(("file", resource.key_path))
    if key is None:
        return "update", ["its key is missing"]
    if record is None or key.sha256 != record.value:
        return "update", ["its key is not the one that was issued with it"]
    if state is None:
        return "create", ["it is not there"]
    return "permissions", [
        *_owned(state, resource.owner, resource.group, 0o644),
        *(f"key: {reason}" for reason in _owned(key, resource.owner, resource.group, 0o600)),
    ]


def _directory(resource: Directory, seen: Observation) -> tuple[Action, list[str]]:
    state = seen.files.get(resource.path)
    if state is None:
        return "create", ["it is not there"]
    if state.kind != "directory":
        return "update", [f"there is a {state.kind} in its place"]
    return "permissions", _owned(state, resource.owner, resource.group, resource.mode)


def _simple(resource: Resource, seen: Observation) -> tuple[Action, list[str]]:
    rules: Mapping[type, Callable[[], list[str]]] = {
        Sysctl: lambda: _sysctl(resource, seen),  # type: ignore[arg-type]
        KernelModule: lambda: _absent(resource.key[1] in seen.loaded | seen.facts.modules, "it is not loaded"),
        User: lambda: _absent(resource.key[1] in seen.users, "it is not there"),
        Package: lambda: _absent(resource.key[1] in seen.packages, "it is not installed"),
        SwapOff: lambda: _absent(not seen.facts.swap, "swap is on"),
        Image: lambda: _image(resource, seen),  # type: ignore[arg-type]
    }
    if isinstance(resource, Directory):
        return _directory(resource, seen)
    reasons = rules[type(resource)]()
    return ("update" if resource.key in seen.records else "create"), reasons


def _absent(there: bool, reason: str) -> list[str]:
    return [] if there else [reason]


def _sysctl(resource: Sysctl, seen: Observation) -> list[str]:
    value = seen.sysctls.get(resource.name)
    if value == " ".join(resource.value.split()):
        return []
    return [f"it is {value}, wanted {resource.value}" if value is not None else "the kernel does not show it yet"]


def _image(resource: Image, seen: Observation) -> list[str]:
    record = seen.records.get(resource.key)
    if resource.reference not in seen.images:
        return ["it is not in the runtime's store"]
    if record is None or record.value not in ("-", resource.artifact.sha256):
        return ["another image is stored under its name"]
    return []


def _unwanted(wanted: Wanted, seen: Observation) -> Iterable[Change]:
    keys = {key for resources in wanted.values() for resource in resources for key in record_keys(resource)}
    keys.add(("file", JOIN_FILE))
    for key in seen.records:
        if key not in keys:
            yield Change(
                stage=CLEANUP, key=key, action="delete", reasons=("the inventory no longer asks for it",), resource=None
            )
