"""What kubelet's own validation refuses beyond types: ranges, and settings that need or exclude each other. Pure.

Kubelet checks its whole configuration when it starts, and ends when something is wrong: one node would be without it
until the file is mended. Source: Kubernetes 1.37, pkg/kubelet/apis/config/validation and pkg/kubelet/eviction. Types and
names of fields are judged elsewhere, before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kprov.addon.quantities import quantity
from kprov.artifacts.options.values import QUANTITY
from kprov.inventory.kubelet_values import Broken, refused
from kprov.values.durations import go_seconds
from kprov.values.kubelet_settings import mapping

Settings = Mapping[str, Any]

SIGNALS = (
    *("memory.available", "allocatableMemory.available", "pid.available"),
    *(f"{disk}.{what}" for disk in ("nodefs", "imagefs", "containerfs") for what in ("available", "inodesFree")),
)
# What a setting is where nobody writes it: kprov's choice (roles/kubelet.py), else kubelet's.
_DEFAULTS: Settings = {
    "imageGCHighThresholdPercent": 85,
    "imageGCLowThresholdPercent": 80,
    "imageMinimumGCAge": "2m",
    "serializeImagePulls": False,
    "shutdownGracePeriod": "60s",
    "shutdownGracePeriodCriticalPods": "20s",
    "cgroupsPerQOS": True,
    "enforceNodeAllocatable": ["pods"],
}
# Field → least and most.
_RANGES: Mapping[str, tuple[float, float]] = {
    "maxPods": (1, float("inf")),  # kubelet takes 0, and then runs nothing, cluster DNS neither
    "podsPerCore": (0, float("inf")),
    "imageGCHighThresholdPercent": (0, 100),
    "imageGCLowThresholdPercent": (0, 100),
    "iptablesMasqueradeBit": (0, 31),
    "iptablesDropBit": (0, 31),
    "oomScoreAdj": (-1000, 1000),
    "readOnlyPort": (0, 65535),
    "nodeLeaseDurationSeconds": (1, float("inf")),
    "nodeStatusMaxImages": (-1, float("inf")),
    "maxParallelImagePulls": (1, float("inf")),
    "containerLogMaxFiles": (2, float("inf")),
    "containerLogMaxWorkers": (1, float("inf")),
    **dict.fromkeys(
        (
            "eventBurst",
            "eventRecordQPS",
            "kubeAPIBurst",
            "kubeAPIQPS",
            "registryBurst",
            "registryPullQPS",
            "maxOpenFiles",
        ),
        (0, float("inf")),
    ),
}
_EVICTIONS = ("evictionHard", "evictionSoft", "evictionSoftGracePeriod", "evictionMinimumReclaim")
_SHUTDOWN = ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]*)?)%")


def broken(given: Settings) -> Iterator[Broken]:
    """Yield what kubelet would refuse. given: all that the inventory says of one kubelet."""
    yield from refused(given)
    out_of_range = list(_ranges(given))
    yield from out_of_range
    yield from _evictions(given)
    if out_of_range:
        return
    whole = {**_DEFAULTS, **given}
    for keys, what, needed, is_broken in _TOGETHER:
        written = [key for key in keys if key in given]
        if written and is_broken(whole):
            yield Broken(path=(written[0],), what=what, needed=needed)


def _ranges(given: Settings) -> Iterator[Broken]:
    for name, (least, most) in _RANGES.items():
        value = given.get(name)
        if isinstance(value, int) and not least <= value <= most:
            needed = f"from {least:g} to {most:g}" if most < float("inf") else f"{least:g} or more"
            yield Broken(path=(name,), what="out of range", needed=needed)


def _evictions(given: Settings) -> Iterator[Broken]:
    for name in _EVICTIONS:
        for signal, written in mapping(given, name).items():
            if signal not in SIGNALS:
                yield Broken(path=(name, signal), what="no signal of kubelet", needed="a signal", known=SIGNALS)
            elif name != "evictionSoftGracePeriod" and not _is_amount(written):
                needed = "a quantity such as 500Mi, or a share below 100% such as 10%"
                yield Broken(path=(name, signal), what="no threshold", needed=needed)
    for signal in mapping(given, "evictionSoft").keys() - mapping(given, "evictionSoftGracePeriod").keys():
        yield Broken(
            path=("evictionSoft", signal),
            what="a soft threshold without the time that it is waited for",
            needed=f"`evictionSoftGracePeriod: {{{signal}: 1m30s}}` beside it",
        )


def _is_amount(written: Any) -> bool:
    text = str(written)
    share = _SHARE.fullmatch(text)
    return float(share[1]) < 100 if share else bool(QUANTITY.fullmatch(text)) and not text.startswith("-")


def _reserves_cpu(settings: Settings) -> bool:
    """kprov reserves some in both: what is written is laid over that, and a map without `cpu` keeps it."""
    if settings.get("reservedSystemCPUs"):
        return True
    written = [settings.get(name, {}) for name in ("kubeReserved", "systemReserved")]
    return any(isinstance(one, Mapping) and (quantity(one.get("cpu", 1)) or 0) > 0 for one in written)


def _enforces(settings: Settings, what: str, cgroup: str) -> bool:
    return what in (settings["enforceNodeAllocatable"] or ()) and not settings.get(cgroup)


_Rule = tuple[tuple[str, ...], str, str, Callable[[Settings], bool]]
# Settings of which one at least is written, what is wrong with them, what is needed, and whether it is so.
_TOGETHER: tuple[_Rule, ...] = (
    (
        ("imageGCLowThresholdPercent", "imageGCHighThresholdPercent"),
        "kubelet would begin to remove images below the share at which it ends",
        "imageGCLowThresholdPercent (80 by default) below imageGCHighThresholdPercent (85)",
        lambda own: _number(own["imageGCLowThresholdPercent"]) >= _number(own["imageGCHighThresholdPercent"]),
    ),
    (
        ("imageMaximumGCAge", "imageMinimumGCAge"),
        "images would be too old before they may be removed",
        "imageMaximumGCAge above imageMinimumGCAge (2m by default), or 0s",
        lambda own: 0 < go_seconds(own.get("imageMaximumGCAge", "0s")) <= go_seconds(own["imageMinimumGCAge"]),
    ),
    (
        ("maxParallelImagePulls",),
        "several images at a time, and one after the other",
        "1, or `serializeImagePulls: false`",
        lambda own: bool(own["serializeImagePulls"]) and _number(own.get("maxParallelImagePulls", 1)) > 1,
    ),
    (
        ("shutdownGracePeriodCriticalPods", "shutdownGracePeriod"),
        "critical pods would get more time than all have",
        "shutdownGracePeriodCriticalPods (20s by default) of shutdownGracePeriod (60s) at most",
        lambda own: go_seconds(own["shutdownGracePeriodCriticalPods"]) > go_seconds(own["shutdownGracePeriod"]),
    ),
    (
        ("shutdownGracePeriodByPodPriority",),
        "two ways to share the time of a shutdown",
        "either this, or shutdownGracePeriod and shutdownGracePeriodCriticalPods",
        lambda own: (
            bool(own.get("shutdownGracePeriodByPodPriority"))
            and any(own[name] != _DEFAULTS[name] and go_seconds(own[name]) > 0 for name in _SHUTDOWN)
        ),
    ),
    (
        ("cpuManagerPolicy",),
        "the static policy needs CPUs that are kept for the system",
        "`reservedSystemCPUs`, or `cpu` in kubeReserved or systemReserved",
        lambda own: own.get("cpuManagerPolicy") == "static" and not _reserves_cpu(own),
    ),
    (
        ("memoryManagerPolicy",),
        "the static policy needs memory that is kept on each NUMA node",
        "`reservedMemory`, in all as much as kubeReserved, systemReserved and evictionHard name",
        lambda own: own.get("memoryManagerPolicy") == "Static" and not own.get("reservedMemory"),
    ),
    (
        ("enforceNodeAllocatable", "cgroupsPerQOS"),
        "limits of pods are enforced by cgroups of their own, which are off",
        "`cgroupsPerQOS: true`, or `enforceNodeAllocatable: []`",
        lambda own: own["cgroupsPerQOS"] is False and bool(own["enforceNodeAllocatable"]),
    ),
    (
        ("enforceNodeAllocatable",),
        "kube-reserved cannot be enforced on no cgroup",
        "`kubeReservedCgroup` beside it",
        lambda own: _enforces(own, "kube-reserved", "kubeReservedCgroup"),
    ),
    (
        ("enforceNodeAllocatable",),
        "system-reserved cannot be enforced on no cgroup",
        "`systemReservedCgroup` beside it",
        lambda own: _enforces(own, "system-reserved", "systemReservedCgroup"),
    ),
    (
        ("enforceNodeAllocatable",),
        "nothing is to be enforced, and something",
        "`[none]` alone, or without none",
        lambda own: "none" in (own["enforceNodeAllocatable"] or ()) and len(own["enforceNodeAllocatable"]) > 1,
    ),
    (
        ("systemCgroups",),
        "a cgroup for the system, and no root of cgroups to leave",
        "`cgroupRoot` beside it",
        lambda own: bool(own.get("systemCgroups")) and not own.get("cgroupRoot"),
    ),
    (
        ("preloadedImagesVerificationAllowlist",),
        "a list of images that the policy does not read",
        "`imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages`",
        lambda own: (
            bool(own.get("preloadedImagesVerificationAllowlist"))
            and own.get("imagePullCredentialsVerificationPolicy") != "NeverVerifyAllowlistedImages"
        ),
    ),
    (
        ("reservedSystemCPUs",),
        "CPUs are named, and cgroups that share them",
        "either this, or systemReservedCgroup and kubeReservedCgroup",
        lambda own: (
            bool(own.get("reservedSystemCPUs"))
            and bool(own.get("systemReservedCgroup") or own.get("kubeReservedCgroup"))
        ),
    ),
    (
        ("logging",),
        "no format of kubelet's log",
        "`format: text` or `format: json`",
        lambda own: mapping(own, "logging").get("format", "text") not in ("text", "json"),
    ),
)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
