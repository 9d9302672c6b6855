"""Whether kubelet, as the inventory has it, would leave a host room for pods. Pure.

Thresholds above what is free now make kubelet evict pods minutes after its start, on one node after the other, and no
health gate sees it: kubelet itself is well. What is kprov's own is judged in `disk.py` and `machine.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from kprov.addon.quantities import quantity, share_or_amount
from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.roles.reservations import kube_reserved, system_reserved
from kprov.values.cpu_lists import cpus_in
from kprov.values.kubelet_settings import mapping
from kprov.values.model import Facts, Host
from kprov.values.runtimes import RUNTIMES

_MIB = 2**20
_EVICTION = "200Mi"  # of kprov's configuration (roles/kubelet.py)
# Where a signal is measured: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
_MEMORY, _DISK, _IMAGES = "memory.available", "nodefs.available", "imagefs.available"


def check(host: Host, seen: Observation) -> Iterable[Problem]:
    if not host.is_node:
        return
    yield from _thresholds(host, seen.facts)
    yield from _reservations(host, seen.facts)
    yield from _cpus(host, seen.facts)
    yield from _numa_memory(host, seen.facts)


def _thresholds(host: Host, facts: Facts) -> Iterable[Problem]:
    for signal, written in mapping(host.kubelet, "evictionHard").items():
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
    given = {name: mapping(host.kubelet, name) for name in ("kubeReserved", "systemReserved")}
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


def _cpus(host: Host, facts: Facts) -> Iterable[Problem]:
    """Kubelet passes over a list with a CPU that there is not: nothing would be kept, and nobody told."""
    written = str(host.kubelet.get("reservedSystemCPUs") or "")
    reserved = cpus_in(written)
    if facts.cpus and reserved and (max(reserved) >= facts.cpus or len(reserved) >= facts.cpus):
        yield Problem(
            name="ReservedCpus",
            host=host.name,
            what="reservedSystemCPUs names CPUs that this host does not have"
            if max(reserved) >= facts.cpus
            else "reservedSystemCPUs leaves pods no CPU",
            found=f"{written}, and CPUs 0 to {facts.cpus - 1}",
            needed="some of the host's CPUs, and not all",
            todo=f"write `kubelet: {{reservedSystemCPUs: …}}` at hosts of each kind, or at {host.name}",
        )


def _numa_memory(host: Host, facts: Facts) -> Iterable[Problem]:
    """Kubelet starts only when what is kept on NUMA nodes is, in all, what is kept of the node."""
    rows = host.kubelet.get("reservedMemory")
    if host.kubelet.get("memoryManagerPolicy") != "Static" or not isinstance(rows, list | tuple):
        return
    tables = (row.get("limits") for row in rows if isinstance(row, Mapping))
    amounts = [quantity(table.get("memory", 0)) or 0 for table in tables if isinstance(table, Mapping)]
    kube = kube_reserved(facts.cpus, facts.memory) | dict(mapping(host.kubelet, "kubeReserved"))
    system = system_reserved(facts.memory, host.groups) | dict(mapping(host.kubelet, "systemReserved"))
    threshold = share_or_amount(mapping(host.kubelet, "evictionHard").get(_MEMORY, _EVICTION), facts.memory) or 0
    kept = sum((quantity(reserved.get("memory", 0)) or 0 for reserved in (kube, system)), threshold)
    if facts.memory and sum(amounts) != kept:
        yield Problem(
            name="ReservedMemory",
            host=host.name,
            what="reservedMemory is not what the node keeps in all, and kubelet would not start",
            found=f"{_mebibytes(sum(amounts))} on NUMA nodes",
            needed=f"{_mebibytes(kept)}: kubeReserved {kube.get('memory', 0)}, systemReserved {system.get('memory', 0)} and "
            f"evictionHard {mapping(host.kubelet, 'evictionHard').get(_MEMORY, _EVICTION)}",
            todo=f"write limits of memory that are {_mebibytes(kept)} together under `reservedMemory` at {host.name}",
        )


def _mebibytes(amount: Decimal | int) -> str:
    return f"{(Decimal(amount) / _MIB).normalize():f}Mi"


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
