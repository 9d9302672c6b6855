"""One desired resource against what was seen of it on a host. Pure; knows neither stages nor restarts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, assert_never

from kprov.observe.observation import FileState, Observation
from kprov.pki.reissue import why_reissue
from kprov.plan.desired import record_keys
from kprov.values.certificate import ASKED, Authority
from kprov.values.resources import (
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

LOOSE = "it is not pinned: kubelet removes it when the disk gets full"
Action = Literal["create", "update", "permissions", "record", "delete"]


def difference(
    resource: Resource,
    seen: Observation,
    authorities: Mapping[Authority, bytes],
    now: datetime,
    renewed: Callable[[str], bool] = lambda _: False,
) -> tuple[Action, tuple[str, ...]] | None:
    """What is to be done with a resource, and the sentences that say why; None when it is in sync.

    `authorities` are CA certificates in PEM; `now` is aware UTC. renewed: whether the certificate of a name is issued again
    in any case.
    """
    if isinstance(resource, Certificate) and renewed(resource.spec.name) and resource.path in seen.files:
        return "update", (ASKED,)
    action, reasons = _compared(resource, seen, authorities, now)
    if not reasons and not all(key in seen.records for key in record_keys(resource)):
        # A unit is recorded when it is stamped, so only its file counts here.
        missing = [key for key in record_keys(resource) if key not in seen.records and key[0] != "unit"]
        if missing:
            action, reasons = "record", ["already correct; will be recorded as managed by kprov"]
    return (action, tuple(reasons)) if reasons else None


def _compared(
    resource: Resource, seen: Observation, authorities: Mapping[Authority, bytes], now: datetime
) -> tuple[Action, list[str]]:
    match resource:
        case Certificate():
            return _certificate(resource, seen, authorities, now)
        case File() | Binary() | Unit():
            return _file(resource, seen)
        case Directory():
            return _directory(resource, seen)
        case Sysctl():
            reasons = _sysctl(resource, seen)
        case KernelModule():
            reasons = _absent(resource.name in seen.loaded | seen.facts.modules, "it is not loaded")
        case User():
            reasons = _absent(resource.name in seen.users, "it, or the group of its name, is not there")
        case Package():
            # What is there already is left as it is: to ask for it again would bring a newer version.
            reasons = _absent(resource.command in seen.facts.commands, "it is not installed")
        case SwapOff():
            reasons = _absent(not seen.facts.swap, "swap is on")
        case Image():
            reasons = _image(resource, seen)
        case unknown:
            assert_never(unknown)
    return ("update" if resource.key in seen.records else "create"), reasons


def _owned(state: FileState, owner: str, group: str, mode: int) -> list[str]:
    reasons = []
    if state.mode != mode:
        reasons.append(f"mode {state.mode:04o}, desired {mode:04o}")
    if (state.owner, state.group) != (owner, group):
        reasons.append(f"owner {state.owner}:{state.group}, desired {owner}:{group}")
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
        return "update", ["the desired content is new"]
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


def _absent(there: bool, reason: str) -> list[str]:
    return [] if there else [reason]


def _sysctl(resource: Sysctl, seen: Observation) -> list[str]:
    value = seen.sysctls.get(resource.name)
    if value == " ".join(resource.value.split()):
        return []
    return [f"it is {value}, desired {resource.value}" if value is not None else "the kernel does not show it yet"]


def _image(resource: Image, seen: Observation) -> list[str]:
    record = seen.records.get(resource.key)
    if resource.key[1] not in seen.images:
        return ["it is not in the runtime's store"]
    if record is None or record.value not in ("-", resource.artifact.sha256):
        return ["another image is stored under its name"]
    return [LOOSE] if seen.images[resource.key[1]] else []
