"""Whether kubelet, as the inventory has it, would leave a host room for pods. Pure.

Thresholds above what is free now make kubelet evict pods minutes after its start, on one node after the other, and no
health gate sees it: kubelet itself is well. What is kprov's own is judged in `disk.py` and `machine.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.addon.quantities import quantity, share_or_amount
from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.roles.reservations import kube_reserved, system_reserved
from kprov.values.model import Facts, Host
from kprov.values.runtimes import RUNTIMES

_MIB = 2**20
# Where a signal is measured: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
_MEMORY, _DISK, _IMAGES = "memory.available", "nodefs.available", "imagefs.available"


def check(host: Host, seen: Observation) -> Iterable[Problem]:
    if not host.is_node:
        return
    yield from _thresholds(host, seen.facts)
    yield from _reservations(host, seen.facts)


def _thresholds(host: Host, facts: Facts) -> Iterable[Problem]:
    for signal, written in _given(host, "evictionHard").items():
        free, size = _amounts(signal, host, facts)
        threshold = share_or_amount(written, size)
        if free and threshold is not None and threshold > free:
            yield Problem(
                name="EvictionThreshold",
                host=host.name,
                what=f"kubelet would evict pods at once: evictionHard asks for more {signal.partition('.')[0]} than is free",
                found=f"{signal} is {free // _MIB} MiB, and a threshold of {written}, {int(threshold) // _MIB} MiB here",
                needed="a threshold below what is free",
                todo=f"write a smaller one for `{signal}` in `kubelet: {{evictionHard: …}}`, or make room on the host",
            )


def _reservations(host: Host, facts: Facts) -> Iterable[Problem]:
    """Of CPU and memory: what is reserved must leave something."""
    given = {name: _given(host, name) for name in ("kubeReserved", "systemReserved")}
    if not any(given.values()):
        return
    # What is not named keeps kprov's amount, as it does in the node's configuration.
    kube = kube_reserved(facts.cpus, facts.memory) | dict(given["kubeReserved"])
    system = system_reserved(facts.memory, host.groups) | dict(given["systemReserved"])
    for resource, whole in (("cpu", facts.cpus), ("memory", facts.memory)):
        parts = [quantity(reserved.get(resource, 0)) or 0 for reserved in (kube, system)]
        if whole and sum(parts) >= whole:
            yield Problem(
                name="NothingForPods",
                host=host.name,
                what=f"kubeReserved and systemReserved leave pods no {resource}: kubelet would not start",
                found=(
                    f"kubeReserved {kube.get(resource, 0)} and systemReserved {system.get(resource, 0)} of "
                    f"{_whole(resource, whole)}"
                ),
                needed=f"less than what the host has: pods get what is left of its {resource}",
                todo="write smaller amounts in `kubelet: {kubeReserved: …, systemReserved: …}`, or leave them to kprov",
                ignorable=False,
            )


def _given(host: Host, name: str) -> Mapping[str, Any]:
    value = host.kubelet.get(name)
    return value if isinstance(value, Mapping) else {}


def _amounts(signal: str, host: Host, facts: Facts) -> tuple[int, int]:
    """Return what is free and what there is, in bytes; zeros where nothing is known."""
    if signal == _MEMORY:
        return facts.memory_available, facts.memory
    folders = {_DISK: ("/var/lib/kubelet",), _IMAGES: RUNTIMES[host.runtime].folders}.get(signal)
    if folders is None:
        return 0, 0
    folder = next((one for one in folders if one in facts.disk_size), "/var/lib")
    return facts.disk_free.get(folder, 0), facts.disk_size.get(folder, 0)


def _whole(resource: str, amount: int) -> str:
    return f"{amount} CPUs" if resource == "cpu" else f"{amount // _MIB} MiB"
