"""What a host of a cluster has beside what kprov made, that can undo it: parsed from the probe's answer, judged elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Table = Mapping[str, list[tuple[str, str]]]  # kind of line → name and rest


@dataclass(frozen=True, kw_only=True)
class PeerRoute:
    """How packets to a peer's pods leave. network, gateway: as kprov set it. by_host, by_pods: the kernel's answers to
    `ip route get`, for packets of the host and of its pods; empty without a route, None where it was not asked."""

    network: str
    gateway: str
    by_host: str
    by_pods: str | None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """asked: whether the host was asked at all, as one without a node of kprov's is not.

    tables: nftables' tables, `FAMILY NAME`, and `iptables KUBE-SERVICES` for kube-proxy's chain in that mode.
    off: what the kernel must do with packets of pods and does not, by the names of sysctls.
    cni: files in the folders that runtimes read. dropins: unit → drop-in files that systemd reads for it.
    etcd: what etcd's own /health says, empty when it is well or was not asked.
    """

    asked: bool = False
    tables: frozenset[str] = frozenset()
    peers: tuple[PeerRoute, ...] = ()
    off: tuple[str, ...] = ()
    cni: tuple[str, ...] = ()
    dropins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    etcd: str = ""


def surroundings(table: Table, etcd_health: bytes) -> Surroundings:
    """Parse the lines of these kinds. `etcd_health`: the body of etcd's /health."""
    return Surroundings(
        asked=bool(table.get("surroundings")),
        tables=frozenset(name for name, _ in table.get("table", ())),
        peers=tuple(_peers(table.get("peer", ()))),
        off=tuple(path.replace("/", ".") for path, _ in table.get("off", ())),
        cni=tuple(path for path, _ in table.get("cni", ())),
        dropins={unit: tuple(paths.split()) for unit, paths in table.get("dropin", ())},
        etcd=_reason(etcd_health),
    )


def _peers(rows: Iterable[tuple[str, str]]) -> Iterable[PeerRoute]:
    for network, rest in rows:
        gateway, by_host, by_pods = [*rest.split("\t"), "", "", ""][:3]
        yield PeerRoute(
            network=network,
            gateway=gateway,
            by_host=" ".join(by_host.split()),
            by_pods=None if by_pods == "?" else " ".join(by_pods.split()),
        )


def _reason(body: bytes) -> str:
    """Return why etcd calls itself unhealthy: `ALARM NOSPACE`, `RAFT NO LEADER` …"""
    try:
        answer = json.loads(body)
        return "" if str(answer["health"]) == "true" else str(answer.get("reason") or "unhealthy")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
