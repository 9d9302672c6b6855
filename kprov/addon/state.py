"""What `kprov status` tells of add-ons: the version that runs, and ready or why not. Pure, by what the API listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kprov.addon.readiness import row_identity, unready
from kprov.objects.kinds import WORKLOADS
from kprov.objects.listing import listed
from kprov.objects.objects import ADDON_LABEL, Identity, Object, identity
from kprov.values.addon import Addon

OFF = "off"


@dataclass(frozen=True, kw_only=True)
class AddonStatus:
    """One add-on. version: the inventory's, empty when it has none; reason: why it is not as it should be, or a remark.

    `good` is False for one that is not ready, and for one that is off and still there.
    """

    name: str
    version: str
    good: bool
    reason: str = ""


def addon_states(on: Sequence[Addon], live: Iterable[Object]) -> tuple[AddonStatus, ...]:
    """The add-ons that are on, in the order of the cluster, then what is left of others.

    live: objects with kprov's label, the list of them among these.
    """
    lives = {identity(item): item for item in live}
    names = {addon.name for addon in on}
    left: dict[str, list[Object]] = {}
    for key in sorted(listed(lives.values()) & lives.keys()):  # labels alone may be copied
        name = (lives[key]["metadata"].get("labels") or {}).get(ADDON_LABEL, "")
        if name and name not in names:
            left.setdefault(name, []).append(lives[key])
    return (*(_of(addon, lives) for addon in on), *(_leftover(name, items) for name, items in sorted(left.items())))


def _of(addon: Addon, lives: Mapping[Identity, Object]) -> AddonStatus:
    reasons = [*_other_versions(addon, lives), *map(str, unready(addon, lives)), *_without_pods(addon, lives)]
    return AddonStatus(name=addon.name, version=addon.version, good=not reasons, reason="; ".join(reasons))


def _other_versions(addon: Addon, lives: Mapping[Identity, Object]) -> Iterator[str]:
    """Images of the add-on that live in another version than the inventory has."""
    running = sorted({image for item in lives.values() if _workload_of(addon, item) for image in _images(item)})
    for image in addon.images:
        known = {entry.rpartition(":")[0] for entry in (image.entry.reference, image.entry.built) if entry}
        others = [one for one in running if one.rpartition(":")[0] in known and not _is_version(one, image.version)]
        if others:
            yield f"it runs {', '.join(others)}, desired {image.version}"


def _without_pods(addon: Addon, lives: Mapping[Identity, Object]) -> Iterator[str]:
    """Workloads of which all pods that are asked for are ready, and none is asked for."""
    for row in addon.description.ready:
        item = lives.get(row_identity(addon, row), {})
        if (item.get("spec") or {}).get("replicas") == 0:
            yield f"{row}: it was scaled to 0, so that no pod of it runs; `kprov up` scales it back"
        elif item.get("kind") == "DaemonSet" and (item.get("status") or {}).get("desiredNumberScheduled") == 0:
            yield f"{row}: no node takes a pod of it, by its labels and taints"


def _is_version(reference: str, version: str) -> bool:
    return reference.rpartition(":")[2].removeprefix("v") == version.removeprefix("v")


def _workload_of(addon: Addon, item: Object) -> bool:
    labels = item["metadata"].get("labels") or {}
    return item["kind"] in WORKLOADS and labels.get(ADDON_LABEL) == addon.name


def _images(item: Object) -> Iterator[str]:
    pod = ((item.get("spec") or {}).get("template") or {}).get("spec") or {}
    yield from (str(container.get("image", "")) for container in pod.get("containers") or ())


def _leftover(name: str, items: Sequence[Object]) -> AddonStatus:
    """An add-on that is off: its data may stay, and with it the namespace; anything else is still to be removed."""
    more = [item for item in items if item["kind"] not in ("PersistentVolumeClaim", "Namespace")]
    data = any(item["kind"] == "PersistentVolumeClaim" for item in items)
    if data and not more:
        return AddonStatus(name=name, version=OFF, good=True, reason="its data is kept; --delete-data removes it")
    number = len(items)
    return AddonStatus(
        name=name, version=OFF, good=False, reason=f"{number} of its objects are still there; `kprov up` removes them"
    )
