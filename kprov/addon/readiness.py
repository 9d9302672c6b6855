"""Whether what an add-on names below `ready:` is ready, by what the API says of it. Pure; it asks and waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kprov.objects.listing import listed
from kprov.objects.objects import ADDON_LABEL, Identity, Object
from kprov.values.addon import Addon

_GROUPS = {"deployment": "apps", "daemonset": "apps", "statefulset": "apps", "apiservice": "apiregistration.k8s.io"}
_KINDS = {
    "deployment": "Deployment",
    "daemonset": "DaemonSet",
    "statefulset": "StatefulSet",
    "apiservice": "APIService",
}


@dataclass(frozen=True, kw_only=True)
class Unready:
    """A row of `ready:` (`deployment/web`) that is not ready, and why."""

    addon: str
    row: str
    reason: str

    def __str__(self) -> str:
        return f"{self.row}: {self.reason}"


def unready(addon: Addon, live: Mapping[Identity, Object]) -> tuple[Unready, ...]:
    """What the add-on still waits for; nothing when all is ready.

    live: objects with kprov's label, the list of them among these. What another program made of the add-on's objects, an
    operator of its custom resources say, has no such label and is not judged here.
    """
    found = []
    for row in addon.description.ready:
        key = row_identity(addon, row)
        reason = why_not_ready(live[key]) if key in live else _why_absent(addon, key, live)
        if reason:
            found.append(Unready(addon=addon.name, row=row, reason=reason))
    return tuple(found)


def _why_absent(addon: Addon, key: Identity, live: Mapping[Identity, Object]) -> str:
    ours = key in listed(live.values())
    nothing = not any((item["metadata"].get("labels") or {}).get(ADDON_LABEL) == addon.name for item in live.values())
    return "it is not there" if ours or nothing else ""


def row_identity(addon: Addon, row: str) -> Identity:
    """The object that a row of `ready:` means."""
    kind, _, name = row.partition("/")
    return _GROUPS[kind], _KINDS[kind], "" if kind == "apiservice" else addon.namespace, name


def why_not_ready(item: Object) -> str:
    """Why one object is not ready, in words; empty when it is."""
    status: Mapping[str, Any] = item.get("status") or {}
    if item["kind"] == "APIService":
        return _without_condition(status, "Available")
    if int(status.get("observedGeneration", 0)) < int(item["metadata"].get("generation", 0)):
        return "its controller has not looked at it yet"
    return next(_of_workload(item, status), "")


def _of_workload(item: Object, status: Mapping[str, Any]) -> Iterator[str]:
    if item["kind"] == "DaemonSet":
        desired = int(status.get("desiredNumberScheduled", 0))
        updated, ready = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        desired = int((item.get("spec") or {}).get("replicas", 1))
        updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if int(updated) < desired:
        yield f"{updated} of {desired} pods are of the newest kind{_stuck(status)}"
    if int(ready) < desired:
        yield f"{ready} of {desired} pods are ready{_stuck(status)}"


def _stuck(status: Mapping[str, Any]) -> str:
    """What a Deployment says when it has given up, or when it may not make pods."""
    for condition in status.get("conditions") or ():
        failed = condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
        if failed or (condition.get("type") == "Progressing" and condition.get("status") == "False"):
            return f"; {condition.get('message', condition.get('reason', ''))}"
    return ""


def _without_condition(status: Mapping[str, Any], desired: str) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == desired:
            return "" if condition.get("status") == "True" else str(condition.get("message") or condition.get("reason"))
    return f"it does not say that it is {desired}"
