"""Which hosts will connect to which ports of others, where one of both is new: what a firewall may stand between. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from kprov.observe.observation import Observation
from kprov.values.components import COMPONENTS, KUBE_APISERVER
from kprov.values.model import Cluster, ClusterFacts, Host


@dataclass(frozen=True, kw_only=True)
class Way:
    """From one host, by name, to a port where a unit of another one will listen."""

    caller: str
    host: str
    address: str
    port: int
    unit: str


def ways(cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None) -> tuple[Way, ...]:
    """Every way that nobody has gone yet, of hosts that answered. limit: the hosts that are to be touched, None for all."""
    facts = ClusterFacts({name: seen.facts for name, seen in observations.items()})
    new = {name for name, seen in observations.items() if not seen.records}
    there = [host for host in cluster.hosts if host.name in observations]
    return tuple(
        way
        for host in there
        for way in _to(cluster, host, there, _address(host, facts))
        if way.address and {way.host, way.caller} & new and (limit is None or {way.host, way.caller} & limit)
    )


def _to(cluster: Cluster, host: Host, callers: list[Host], address: str) -> Iterator[Way]:
    for component in COMPONENTS:
        if not component.runs_on(cluster, host) or (component is KUBE_APISERVER and cluster.api_endpoint is not None):
            continue  # in front of API servers stands what the inventory names
        for port in component.open_ports(cluster):
            for caller in callers:
                if port.callers & caller.groups and caller is not host:
                    yield Way(
                        caller=caller.name, host=host.name, address=address, port=port.number, unit=component.unit
                    )


def _address(host: Host, facts: ClusterFacts) -> str:
    try:
        return str(IPv4Address(facts.node_ip(host)))
    except ValueError:
        return ""  # told elsewhere
