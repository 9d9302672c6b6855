"""Changing the pod network of a living cluster between routes and a tunnel, node by node. Pure; it sends nothing.

While it changes every node takes packets both ways: it has an end of the tunnel, and the others reach it by routes. So
each node may turn to the new way when its turn comes, whatever the others do by then, and nobody is cut off; a run that
dies on the way leaves such nodes behind, and the next one goes on. Other changes of the pod network are not made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kprov.observe.observation import Observation
from kprov.plan.host import Change, HostPlan
from kprov.plan.stage_names import BOTH_WAYS, ONE_WAY, ROUTES
from kprov.roles.network import FIRST_CONFLIST, SCRIPT, SETTINGS, TUNNEL, UNIT, gateway, settings
from kprov.roles.pod_network import identity
from kprov.values.components import KUBELET
from kprov.values.context import Context
from kprov.values.model import Cluster, NetworkMode, NetworkSettings
from kprov.values.paths import NETWORK_MODE
from kprov.values.resources import File, Gate, Unit

_NODE_UNIT = ("unit", KUBELET.unit)  # what a host that has been a node has on record
_AND = ", "  # between the two networks that a node has while it changes


def recorded(seen: Observation) -> str | None:
    """The pod network that a host has, as `pod_network.identity` says it; None for one that has not been a node yet.

    While it changes it has two, with a comma between them.
    """
    if _NODE_UNIT not in seen.records:
        return None
    if ("file", NETWORK_MODE) in seen.records and NETWORK_MODE in seen.texts:
        return seen.texts[NETWORK_MODE].decode(errors="replace").strip()
    return "routed" if ("file", FIRST_CONFLIST) in seen.records else None


def networks(record: str) -> tuple[str, ...]:
    """Those that a record names: one, or both while a node changes."""
    return tuple(record.split(_AND))


def others(cluster: Cluster, observations: Mapping[str, Observation]) -> dict[str, str]:
    """Nodes that have another pod network than the desired one, alone or beside it, and which."""
    known = {host.name: recorded(observations[host.name]) for host in cluster.nodes if host.name in observations}
    desired = identity(cluster.network)
    return {name: record for name, record in known.items() if record is not None and record != desired}


@dataclass(frozen=True, kw_only=True)
class NetworkChange:
    """tunnel: the one that comes or goes."""

    tunnel: NetworkSettings
    comes: bool


def between(network: NetworkSettings, before: Iterable[str]) -> NetworkChange | None:
    """The change from what nodes have on record to what is desired.

    None when there is none, or when it is not between routes and one tunnel: a node cannot have two tunnels' ends.
    """
    kinds = {kind for record in before for kind in networks(record)} - {identity(network)}
    if len(kinds) != 1:
        return None
    (old,) = kinds
    if network.mode == "vxlan":
        return NetworkChange(tunnel=network, comes=True) if old == "routed" else None
    tunnel = _tunnel(network, old)
    return NetworkChange(tunnel=tunnel, comes=False) if network.mode == "routed" and tunnel is not None else None


def _tunnel(network: NetworkSettings, record: str) -> NetworkSettings | None:
    """The tunnel that a node recorded; None for another network, or for a record that was tampered with."""
    match record.split(" "):
        case ["vxlan", vni, port] if vni.isdecimal() and port.isdecimal():
            return replace(network, mode="vxlan", vni=int(vni), port=int(port), mtu=None)
    return None


def by_both_ways(plan: HostPlan, change: NetworkChange, ctx: Context) -> HostPlan:
    """A node's plan with the change of its pod network in the three stages made for it; the rest of the plan stays."""
    final = _file_change(plan, SETTINGS)
    if final is None:
        return plan
    tunnel = change.tunnel if change.comes else replace(change.tunnel, mtu=_present_mtu(ctx))
    routes: tuple[NetworkMode, NetworkMode] = ("routed", "vxlan") if change.comes else ("vxlan", "routed")
    old, new = (settings(ctx, tunnel=tunnel, routes=way, both=True) for way in routes)
    changes = [
        _with(final, BOTH_WAYS, old, "the new way comes beside the old one, which stays in use"),
        _with(final, ROUTES, new, "packets go the new way; the other one stays for what still comes by it"),
        replace(final, stage=ONE_WAY),
    ]
    mode = _file_change(plan, NETWORK_MODE)
    if mode is not None:
        both = f"routed{_AND}{identity(tunnel)}\n".encode()
        changes += [_with(mode, BOTH_WAYS, both, "it has both networks while it changes")]
        changes += [replace(mode, stage=ONE_WAY)]
    rest = [item for item in plan.changes if item not in (final, mode)]
    restarts = [item for item in plan.restarts if item.unit.name != UNIT]
    for restart in (item for item in plan.restarts if item.unit.name == UNIT):
        reached = _reaching(restart.unit, ctx) if change.comes else restart.unit
        restarts += [replace(restart, stage=BOTH_WAYS, unit=reached)]
        restarts += [replace(restart, stage=stage) for stage in (ROUTES, ONE_WAY)]
    return replace(plan, changes=(*rest, *changes), restarts=tuple(restarts))


def _file_change(plan: HostPlan, path: str) -> Change | None:
    """The change of a file's content that is planned, if one is."""
    return next(
        (item for item in plan.changes if item.key == ("file", path) and item.action in ("create", "update")), None
    )


def _with(change: Change, stage: str, content: bytes, reason: str) -> Change:
    """The change with other content, for an earlier stage."""
    if not isinstance(change.resource, File):
        raise AssertionError(f"{change.title} is no file")
    return replace(change, stage=stage, resource=replace(change.resource, content=content), reasons=(reason,))


def _reaching(unit: Unit, ctx: Context) -> Unit:
    """Before the first node turns to a tunnel, every one must have reached all others through it."""
    gateways = [gateway(cidr) for name, cidr in sorted(ctx.pod_cidrs.items()) if name != ctx.host.name]
    if not gateways:
        return unit
    reach = Gate(kind="command", argument=f"{SCRIPT} reach {' '.join(gateways)}", deadline=30)
    return replace(unit, gates=(*unit.gates, reach))


def _present_mtu(ctx: Context) -> int | None:
    return next((interface.mtu for interface in ctx.own.interfaces if interface.name == TUNNEL), None)
