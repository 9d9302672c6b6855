"""Whether kubelet's next settings leave its pods less room than those it runs with. Pure.

Kubelet admits each pod of its node again when it starts, and ends those that do not fit any more. Seen with Kubernetes 1.37:
half of a Deployment ended as OutOfpods or OutOfcpu in the second in which kubelet came back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from kprov.addon.quantities import quantity, share_or_amount
from kprov.values.cpu_lists import cpus_in
from kprov.values.kubelet_settings import mapping
from kprov.values.model import Facts

# Kubelet's own where a file does not say it: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
_MAX_PODS = 110
_RESERVES = ("kubeReserved", "systemReserved")
_SIGNALS = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"}
_RESOURCES = ("cpu", "memory", "ephemeral-storage", "pid")


def less_room(before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts) -> str:
    """Return what there is less of, in words; empty where every pod that runs still fits."""
    return ", ".join(_smaller(before, after, facts))


def _smaller(before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    old, new = (_most_pods(settings, facts.cpus) for settings in (before, after))
    if new < old:
        yield f"{new} pods instead of {old}"
    for resource in _RESOURCES:
        kept, keeps = (_kept(settings, resource, facts) for settings in (before, after))
        if keeps > kept:
            yield f"less {resource}"


def _most_pods(settings: Mapping[str, Any], cpus: int) -> int:
    most = int(settings.get("maxPods", _MAX_PODS))
    by_core = int(settings.get("podsPerCore", 0))
    return min(most, by_core * cpus) if by_core and cpus else most


def _kept(settings: Mapping[str, Any], resource: str, facts: Facts) -> Decimal:
    """Return how much of a resource pods do not get."""
    written = settings.get("reservedSystemCPUs")
    if resource == "cpu" and written:  # which counts in place of the others
        return Decimal(len(cpus_in(str(written))))
    amounts = (quantity(mapping(settings, name).get(resource, 0)) or Decimal() for name in _RESERVES)
    return sum(amounts, _threshold(settings, resource, facts))


def _threshold(settings: Mapping[str, Any], resource: str, facts: Facts) -> Decimal:
    """Return what kubelet keeps free: it begins to evict pods below that."""
    signal = _SIGNALS.get(resource)
    written = mapping(settings, "evictionHard").get(signal, 0) if signal else 0
    disk = facts.disk_size.get("/var/lib/kubelet", facts.disk_size.get("/var/lib", 0))
    return share_or_amount(written, facts.memory if resource == "memory" else disk) or Decimal()
