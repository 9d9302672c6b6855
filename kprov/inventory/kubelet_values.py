"""What kubelet refuses of single values, beyond their types: amounts, names, lists of CPUs, durations. Pure.

Each is parsed where kubelet begins to use it, so that one that is wrong ends it at its start, or is passed over without a
word. Source: Kubernetes 1.37, cmd/kubelet/app/server.go, pkg/kubelet/cm, pkg/kubelet/eviction, pkg/kubelet/sysctl.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kprov.artifacts.options.values import DURATION, QUANTITY, parses
from kprov.values.durations import go_seconds
from kprov.values.kubelet_settings import mapping

_RESERVED = ("cpu", "memory", "ephemeral-storage", "pid")
_CPUS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
# Sysctls that a pod has of its own.
_NAMESPACED = re.compile(r"(kernel[./](shm|msg|sem)|fs[./]mqueue[./]|net[./])[a-z0-9._/-]*\*?")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "cpuManagerPolicyOptions": (
        *("full-pcpus-only", "distribute-cpus-across-numa", "align-by-socket", "distribute-cpus-across-cores"),
        *("strict-cpu-reservation", "prefer-align-cpus-by-uncorecache"),
    ),
    "topologyManagerPolicyOptions": ("prefer-closest-numa-nodes", "max-allowable-numa-nodes"),
}
_IDS, _MILLION = 65536, 1_000_000
_SWAPS = ("", "NoSwap", "LimitedSwap")
# Field → least and most, in seconds.
_DURATIONS: Mapping[str, tuple[float, float]] = {
    "cpuCFSQuotaPeriod": (0.001, 1),
    "crashLoopBackOff.maxContainerRestartPeriod": (1, 300),
}


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A rule that is broken. path: of a field that is written; known: what the last part of it may be."""

    path: tuple[str | int, ...]
    what: str
    needed: str
    known: tuple[str, ...] = ()


def refused(given: Mapping[str, Any]) -> Iterator[Broken]:
    """Yield what kubelet would refuse, or pass over. given: all that the inventory says of one kubelet."""
    yield from _reserved(given)
    yield from _options(given)
    yield from _sysctls(given)
    yield from _durations(given)
    cpus = given.get("reservedSystemCPUs")
    if isinstance(cpus, str) and cpus and not _is_cpus(cpus):
        yield Broken(path=("reservedSystemCPUs",), what="no list of CPUs", needed="numbers and ranges such as 0-1,4")
    if mapping(given, "memorySwap").get("swapBehavior", "") not in _SWAPS:
        yield Broken(
            path=("memorySwap", "swapBehavior"), what="no way of kubelet's to use swap", needed="NoSwap or LimitedSwap"
        )
    if isinstance(size := given.get("containerLogMaxSize"), str) and not QUANTITY.fullmatch(size):
        yield Broken(path=("containerLogMaxSize",), what="no size", needed="a quantity such as 10Mi")
    for number, server in enumerate(_texts(given, "clusterDNS")):
        if not parses("ip", server):
            needed = "addresses of name servers: kubelet passes over what is none, and pods find no names"
            yield Broken(path=("clusterDNS", number), what="no address", needed=needed)
    yield from _counts(given)


def _reserved(given: Mapping[str, Any]) -> Iterator[Broken]:
    for name in ("kubeReserved", "systemReserved"):
        for resource, amount in mapping(given, name).items():
            if resource not in _RESERVED:
                what, needed = "nothing that can be reserved", "a resource of nodes"
                yield Broken(path=(name, resource), what=what, needed=needed, known=_RESERVED)
            elif isinstance(amount, str) and not QUANTITY.fullmatch(amount):
                needed = "a quantity such as 500m of CPU, 512Mi of memory, 1000 of pid"
                yield Broken(path=(name, resource), what="no quantity", needed=needed)


def _options(given: Mapping[str, Any]) -> Iterator[Broken]:
    for name, known in _OPTIONS.items():
        for option in mapping(given, name):
            if option not in known:
                what, needed = "no option of this policy", "an option of kubelet's"
                yield Broken(path=(name, option), what=what, needed=needed, known=known)
    if mapping(given, "cpuManagerPolicyOptions") and given.get("cpuManagerPolicy", "none") != "static":
        what, needed = "the policy none takes no options, and kubelet would not start", "`cpuManagerPolicy: static`"
        yield Broken(path=("cpuManagerPolicyOptions",), what=what, needed=needed)


def _sysctls(given: Mapping[str, Any]) -> Iterator[Broken]:
    for number, name in enumerate(_texts(given, "allowedUnsafeSysctls")):
        if not _NAMESPACED.fullmatch(name):
            needed = "sysctls that pods have of their own: kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*, net.*"
            yield Broken(
                path=("allowedUnsafeSysctls", number), what="a sysctl of the whole node, with which kubelet does not start",
                needed=needed,
            )  # fmt: skip


def _durations(given: Mapping[str, Any]) -> Iterator[Broken]:
    for name, (least, most) in _DURATIONS.items():
        path = tuple(name.split("."))
        value = given.get(path[0]) if len(path) == 1 else mapping(given, path[0]).get(path[1])
        if isinstance(value, str) and parses("duration", value) and not least <= go_seconds(value) <= most:
            yield Broken(path=path, what="out of range", needed=f"from {least:g}s to {most:g}s")
    for signal, grace in mapping(given, "evictionSoftGracePeriod").items():
        if not DURATION.fullmatch(str(grace)) or go_seconds(str(grace)) <= 0:
            path = ("evictionSoftGracePeriod", signal)
            yield Broken(path=path, what="no time to wait", needed="a duration such as 1m30s")
    for name in ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods"):
        written = given.get(name)
        if isinstance(written, str) and parses("duration", written) and 0 < go_seconds(written) < 1:
            yield Broken(path=(name,), what="out of range", needed="1s or more, or 0s")


def _is_cpus(text: str) -> bool:
    pairs = [part.partition("-") for part in text.split(",")]
    return bool(_CPUS.fullmatch(text)) and all(not last or int(first) <= int(last) for first, _, last in pairs)


def _counts(given: Mapping[str, Any]) -> Iterator[Broken]:
    ids = mapping(given, "userNamespaces").get("idsPerPod")
    if isinstance(ids, int) and (ids < _IDS or ids % _IDS):
        path = ("userNamespaces", "idsPerPod")
        yield Broken(
            path=path, what="no number of user IDs that kubelet takes", needed=f"{_IDS}, or several times that"
        )
    rate = mapping(given, "tracing").get("samplingRatePerMillion")
    if isinstance(rate, int) and not 0 <= rate <= _MILLION:
        yield Broken(path=("tracing", "samplingRatePerMillion"), what="out of range", needed=f"from 0 to {_MILLION}")


def _texts(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name)
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
