"""The plan: what differs between what roles want on a host and what was seen there, and what must restart for it.

Pure functions of values. Nothing is sent from here, and nothing here knows Kubernetes: only resources, records, stamps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from kprov.observe.observation import Observation
from kprov.plan.desired import Desired, record_keys, resource_paths
from kprov.plan.difference import Action, difference
from kprov.plan.stage_names import CLEANUP
from kprov.values.certificate import NOTHING, Authority, Renewal
from kprov.values.components import ETCD
from kprov.values.resources import Binary, Directory, File, Key, Resource, Unit

JOIN_FILE = "/etc/etcd/join.env"  # written by the etcd conversation, empty between joins
DATA = "data"  # how the ledger knows a folder that outlives the wish for it


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
    """A unit that has to (re)start in its own stage, and why.

    running: whether it serves now, so that restarting it takes something away. clears: files of its own that must be gone
    before it starts. emptied: whether the node's pods must have left before. crowded: whether those that stay may not all
    fit any more.
    """

    stage: str
    unit: Unit
    reason: str
    running: bool
    clears: tuple[str, ...] = ()
    emptied: bool = False
    crowded: bool = False


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


def stamp(unit: Unit, contents: Mapping[str, str]) -> str:
    """The hash of all that a unit reads at start. `contents`: path → sha256 of files and binaries of the host."""
    digest = hashlib.sha256(unit.content)
    for path in sorted(unit.reads):
        digest.update(f"\n{path} {contents.get(path, '-')}".encode())
    return digest.hexdigest()


def plan_host(
    host: str,
    desired: Desired,
    seen: Observation,
    *,
    authorities: Mapping[Authority, bytes],
    now: datetime,
    delete_data: bool = False,
    renew: Renewal = NOTHING,
) -> HostPlan:
    """Compares. `wanted` must be expanded; `authorities` are CA certificates in PEM; `now` is aware UTC.

    delete_data: whether folders with data that nothing wants any more go too. renew: certificates that get a new key.
    """
    changes: list[Change] = []
    for stage, resources in desired.items():
        for resource in resources:
            found = difference(resource, seen, authorities, now, partial(renew.covers, host))
            if found is not None:
                action, reasons = found
                changes.append(Change(stage=stage, key=resource.key, action=action, reasons=reasons, resource=resource))
    changes.extend(_unwanted(desired, seen, delete_data=delete_data))
    contents = {
        resource.path: resource.sha256 if isinstance(resource, File) else resource.artifact.sha256
        for resources in desired.values()
        for resource in resources
        if isinstance(resource, File | Binary)
    }
    units = [
        (stage, resource)
        for stage, resources in desired.items()
        for resource in resources
        if isinstance(resource, Unit)
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
        if change.resource is not None and not isinstance(change.resource, Directory):
            paths.update(resource_paths(change.resource))
        elif change.resource is None and change.key[0] in ("file", "binary"):
            paths.add(change.key[1])
    return frozenset(paths)


def _restarts(
    units: Iterable[tuple[str, Unit]], stamps: Mapping[str, str], written: frozenset[str], seen: Observation
) -> Iterable[Restart]:
    for stage, unit in units:
        state = seen.units.get(unit.name)
        running = state is not None and state.running
        reason = ""
        changed = sorted(path for path in written if path in unit.reads)
        if state is None or not state.loaded:
            reason = "it is new"
        elif not running:
            reason = f"it is not running: {state}"
        elif unit.path in written:
            reason = "its unit file changes"
        elif changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            reason = f"it reads {changed[0]}{more}, which changes"
        elif seen.stamps.get(unit.name) != stamps[unit.name]:
            reason = "not yet confirmed healthy with its current configuration"
        elif state.needs_reload:
            reason = "systemd runs it from an older unit file"
        elif not state.enabled.startswith("enabled"):
            reason = "it is not enabled at boot"
        if reason:
            yield Restart(stage=stage, unit=unit, reason=reason, running=running)


def _unwanted(desired: Desired, seen: Observation, *, delete_data: bool) -> Iterable[Change]:
    keys = {key for resources in desired.values() for resource in resources for key in record_keys(resource)}
    if ("unit", ETCD.unit) in keys:
        keys.add(("file", JOIN_FILE))  # a conversation writes it, where etcd stays
    for key, record in seen.records.items():
        if key not in keys and (delete_data or record.value != DATA):
            yield Change(
                stage=CLEANUP, key=key, action="delete", reasons=("the inventory no longer asks for it",), resource=None
            )
