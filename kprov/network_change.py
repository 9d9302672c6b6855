"""Changing the pod network of a living cluster between routes and a tunnel, node by node. Pure; it sends nothing.

While it changes every node takes packets both ways: it has an end of the tunnel, and the others reach it by routes. So
each node may turn to the new way when its turn comes, whatever the others do by then, and nobody is cut off; a run that
dies on the way leaves such nodes behind, and the next one goes on. Other changes of the pod network are not made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kprov.context import Context
from kprov.model import Cluster, NetworkSettings
from kprov.observation import Observation
from kprov.plan import Change, HostPlan, Restart
from kprov.pod_network import MODE, identity
from kprov.resources import File, Gate, Unit
from kprov.roles.network import CONFLIST, SCRIPT, SETTINGS, TUNNEL, UNIT, gateway, settings

Step = Literal["both-ways", "routes", "one-way"]  # stages, in their order
BOTH_WAYS, ROUTES, ONE_WAY = "both-ways", "routes", "one-way"
_NODE_UNIT = ("unit", "kubelet.service")  # what a host that has been a node has on record


def recorded(seen: Observation) -> str | None:
    """The pod network that a host has, as `pod_network.identity` says it; None for one that has not been a node yet."""
    if _NODE_UNIT not in seen.records:
        return None
    if ("file", MODE) in seen.records and MODE in seen.texts:
        return seen.texts[MODE].decode(errors="replace").strip()
    return "routed" if ("file", CONFLIST) in seen.records else None


def others(cluster: Cluster, observations: Mapping[str, Observation]) -> dict[str, str]:
    """Nodes that have another pod network than the wanted one, and which."""
    known = {host.name: recorded(observations[host.name]) for host in cluster.nodes if host.name in observations}
    wanted = identity(cluster.network)
    return {name: network for name, network in known.items() if network is not None and network != wanted}


@dataclass(frozen=True, kw_only=True)
class NetworkChange:
    """tunnel: the one that comes or goes."""

    tunnel: NetworkSettings
    comes: bool


def between(network: NetworkSettings, before: Iterable[str]) -> NetworkChange | None:
    """The change from what nodes have now to what is wanted.

    None when there is none, or when it is not between routes and one tunnel: a node cannot have two tunnels' ends.
    """
    kinds = set(before) - {identity(network)}
    if len(kinds) != 1:
        return None
    (old,) = kinds
    if network.mode == "vxlan":
        return NetworkChange(tunnel=network, comes=True) if old == "routed" else None
    tunnel = _tunnel(network, old)
    return NetworkChange(tunnel=tunnel, comes=False) if network.mode == "routed" and tunnel is not None else None


def _tunnel(network: NetworkSettings, recorded_as: str) -> NetworkSettings | None:
    """The tunnel that a node recorded; None for another network, or for a record that was tampered with."""
    match recorded_as.split(" "):
        case ["vxlan", vni, port] if vni.isdecimal() and port.isdecimal():
            return replace(network, mode="vxlan", vni=int(vni), port=int(port), mtu=None)
    return None


def by_both_ways(plan: HostPlan, change: NetworkChange, ctx: Context) -> HostPlan:
    """A node's plan with the change of its pod network in the stages made for it; the rest of the plan stays.

    A node whose part is done already, in a run that did not end, keeps its plan.
    """
    final = next((item for item in plan.changes if item.key == ("file", SETTINGS)), None)
    if final is None or not isinstance(final.resource, File) or final.action not in ("create", "update"):
        return plan
    tunnel = change.tunnel if change.comes else replace(change.tunnel, mtu=_present_mtu(ctx))
    steps = _steps(change, final, final.resource, ctx, tunnel)
    last: Step = "routes" if change.comes else "one-way"
    changes = [
        replace(item, stage=last) if item.key == ("file", MODE) else item for item in plan.changes if item is not final
    ]
    restarts = [item for item in plan.restarts if item.unit.name != UNIT]
    for restart in (item for item in plan.restarts if item.unit.name == UNIT):
        restarts += [replace(restart, stage=step.stage, unit=_asked(restart, step, ctx)) for step in steps]
    return replace(plan, changes=(*changes, *steps), restarts=tuple(restarts))


def _steps(
    change: NetworkChange, final: Change, file: File, ctx: Context, tunnel: NetworkSettings
) -> tuple[Change, Change]:
    """The two contents that the node's settings have, one after the other."""

    def both(stage: Step, reason: str) -> Change:
        content = settings(ctx, tunnel=tunnel, routes="routed")
        return replace(final, stage=stage, resource=replace(file, content=content), reasons=(reason,))

    if change.comes:
        beside = "the tunnel comes beside the routes, which stay in use until every node is reached through it"
        return both("both-ways", beside), replace(final, stage="routes")
    straight = "routes lead to the nodes themselves; the tunnel stays for what still comes through it"
    return both("routes", straight), replace(final, stage="one-way")


def _asked(restart: Restart, step: Change, ctx: Context) -> Unit:
    """Before the first node turns to the tunnel, every one must have reached all others through it."""
    if step.stage != BOTH_WAYS:
        return restart.unit
    gateways = [gateway(cidr) for name, cidr in sorted(ctx.pod_cidrs.items()) if name != ctx.host.name]
    if not gateways:
        return restart.unit
    reach = Gate(kind="command", argument=f"{SCRIPT} reach {' '.join(gateways)}")
    return replace(restart.unit, gates=(*restart.unit.gates, reach))


def _present_mtu(ctx: Context) -> int | None:
    return next((interface.mtu for interface in ctx.own.interfaces if interface.name == TUNNEL), None)
