"""Fields of Kubernetes objects that the API server lets nobody change, against those that live. Pure.

Source: Kubernetes' API reference and the validation of each kind; kinds that are not here are judged by the API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.addon.quantities import quantity
from kprov.objects.objects import Object, first_difference

_SELECTOR = ("spec.selector",)
# Kind → fields that stay as they were made. A field that is not desired is not looked at.
_FIXED: Mapping[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "DaemonSet": _SELECTOR,
    "Deployment": _SELECTOR,
    "IngressClass": ("spec.controller",),
    "Job": ("spec.selector", "spec.completionMode", "spec.template"),
    "PersistentVolume": ("spec.csi", "spec.hostPath", "spec.local", "spec.nfs", "spec.nodeAffinity"),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "PriorityClass": ("value", "preemptionPolicy"),
    "ReplicaSet": _SELECTOR,
    "RoleBinding": ("roleRef",),
    "RuntimeClass": ("handler",),
    "Secret": ("type",),
    "StatefulSet": (*_SELECTOR, "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"),
    "StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
}
_WHOLE = frozenset({"spec.selector", "parameters"})  # where less is another value too
_ABSENT = object()


def forbidden_change(desired: Object, live: Object, classes: Iterable[Object] = ()) -> str:
    """Say which field of an object would be changed that cannot be; empty when there is none.

    classes: StorageClasses that are known; of any other nothing is assumed.
    """
    kind = str(desired["kind"])
    for path in _FIXED.get(kind, ()):
        new, old = _at(desired, path), _at(live, path)
        if new is _ABSENT or old is _ABSENT:
            continue
        if path in _WHOLE and new != old:
            return f"{path} is {_short(old)}, and {_short(new)} is desired"
        if difference := first_difference(new, old, path):
            return difference
    return _size(desired, live, classes) if kind == "PersistentVolumeClaim" else ""


def _size(desired: Object, live: Object, classes: Iterable[Object]) -> str:
    """A claim never shrinks, and grows only where its class says so."""
    path = "spec.resources.requests.storage"
    new, old = _at(desired, path), _at(live, path)
    after, before = quantity(new), quantity(old)
    if after is None or before is None or after == before:
        return ""
    told = f"{path} is {old}, and {new} is desired"
    if after < before:
        return told
    name = _at(live, "spec.storageClassName")
    known = next((item for item in classes if item["metadata"]["name"] == name), None)
    grows = name not in (_ABSENT, "") and (known is None or bool(known.get("allowVolumeExpansion")))
    return "" if grows else told


def _at(item: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(item, Mapping) or step not in item:
            return _ABSENT
        item = item[step]
    return item


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
