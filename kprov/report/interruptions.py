"""What a plan interrupts, what of it is done in steps, and what cannot be taken back, in words. Pure; read from the plan.

How long is said in the unit's own terms: seconds differ from machine to machine, what goes on meanwhile does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.objects.objects import titled
from kprov.plan.cluster import ClusterPlan
from kprov.plan.stage_names import BOTH_WAYS, ONE_WAY, ROUTES
from kprov.values.runtimes import RUNTIMES

_SECONDS = "for some seconds"
_ONE_BY_ONE = "one after the other, the next when this one is healthy"
_WORDS: Mapping[str, str] = {
    "kubelet.service": f"containers go on; {_SECONDS} none starts, and none is probed",
    "kube-proxy.service": f"Services go on as they are; {_SECONDS} changes of them wait",
    "kube-controller-manager.service": f"another one takes over; {_SECONDS} nothing is reconciled",
    "kube-scheduler.service": f"another one takes over; {_SECONDS} no pod is given to a node",
    "kube-api-proxy.service": "connections of this host to the API are cut, and made again",
    "kprov-network.service": "routes and rules are laid again; connections go on",
    "kprov-policies.service": f"NetworkPolicies hold as they are; {_SECONDS} changes of them wait, and new pods",
    "kprov-node-dns.service": f"{_SECONDS} pods ask the next name server",
    **{unit: f"containers go on; {_SECONDS} none starts" for runtime in RUNTIMES.values() for unit in runtime.units},
}
# Deleting these takes something away that no run brings back.
_LOST: Mapping[str, str] = {
    "Node": "its pods go with it",
    "Namespace": "all that is in it goes with it",
    "PersistentVolumeClaim": "its data may go with it",
    "PersistentVolume": "its data may go with it",
    "CustomResourceDefinition": "all objects of its kind go with it",
}


def interruption_lines(plan: ClusterPlan) -> list[str]:
    """What is interrupted, what goes in steps, and what cannot be undone; nothing for a plan that does none of these."""
    interrupts = [f"  {', '.join(row['hosts'])}: {row['what']}: {row['meanwhile']}" for row in interruptions(plan)]
    steps = [f"  {line}" for line in procedures(plan)]
    final = [f"  {line}" for line in irrevocable(plan)]
    return [
        *(["interrupts", *interrupts] if interrupts else []),
        *(["goes in steps; a run that breaks off is gone on with", *steps] if steps else []),
        *(["cannot be undone", *final] if final else []),
    ]


def interruptions(plan: ClusterPlan) -> list[dict[str, Any]]:
    """Rows of `hosts`, `what` happens to them, and what goes on or waits `meanwhile`."""
    units: dict[str, list[str]] = {}
    for name, host in plan.hosts.items():
        for restart in host.restarts:
            if restart.running and name not in units.setdefault(restart.unit.name, []):
                units[restart.unit.name].append(name)
    rows = [
        {"hosts": names, "what": f"{unit} restarts", "meanwhile": _meanwhile(unit, plan)}
        for unit, names in units.items()
        if names
    ]
    undrained = [name for name in plan.upgrades.swaps if name not in plan.upgrades.drain]
    filled = {
        name: [restart for restart in host.restarts if restart.emptied and restart.running]
        for name, host in plan.hosts.items()
        if name not in plan.upgrades.drain
    }
    crowded = [name for name, restarts in filled.items() if any(one.crowded for one in restarts)]
    anew = [name for name, restarts in filled.items() if any(not one.crowded or one.clears for one in restarts)]
    if plan.upgrades.drain:
        rows.append(
            {
                "hosts": list(plan.upgrades.drain),
                "what": "drained before they are changed",
                "meanwhile": "their pods start on other nodes, as budgets allow; opened again afterwards",
            }
        )
    if undrained:
        rows.append({"hosts": undrained, "what": "not drained", "meanwhile": "their pods end, and start again there"})
    if crowded:
        rows.append(
            {
                "hosts": crowded,
                "what": "not drained, with less room for pods",
                "meanwhile": "kubelet ends the pods that do not fit any more as soon as it starts",
            }
        )
    if anew:
        rows.append(
            {
                "hosts": anew,
                "what": "not drained",
                "meanwhile": "pods keep what they were given under the old policy until they are restarted",
            }
        )
    return rows


def _meanwhile(unit: str, plan: ClusterPlan) -> str:
    if unit == "kube-apiserver.service":
        if len(plan.servers) > 1:
            return f"{_ONE_BY_ONE}; the others serve, and open watches are made again"
        return "it is the only one: until it is ready again nobody reaches the API; pods go on"
    if unit == "etcd.service":
        if len(plan.peers) > 2:
            return f"{_ONE_BY_ONE}; the others keep the quorum"
        return "there is no quorum without it: until it is back nothing can be written or read; pods go on"
    return _WORDS.get(unit, f"what it does waits {_SECONDS}")


def procedures(plan: ClusterPlan) -> Iterable[str]:
    """What is not done at once, and in which order its parts come."""
    stages = {change.stage for host in plan.hosts.values() for change in host.changes}
    for name in plan.membership.join:
        yield f"etcd: {name} joins as a learner, and votes when it has all data"
    for member in plan.membership.remove:
        yield f"etcd: {member.name or member.id} leaves when the others have what this run brings them"
    if stages & {BOTH_WAYS, ROUTES, ONE_WAY}:
        yield (
            "pod network: every node takes packets both ways, and reaches all others the new way; then one after the "
            "other sends that way; then the old way goes"
        )
    if plan.encryption is not None:
        yield (
            "encryption: every API server reads with the new key, then writes with it; then every object of "
            f"{', '.join(plan.encryption.resources)} is written again; then the old key goes"
        )


def irrevocable(plan: ClusterPlan) -> Iterable[str]:
    """What no later run takes back."""
    yield from (f"{step}: no component goes back by a minor version" for step in plan.steps)
    for member in plan.membership.remove:
        yield f"member {member.name or member.id} of etcd is removed: its copy of the data is worth nothing from then on"
    for change in plan.objects:
        if change.action == "delete" and change.identity[1] in _LOST:
            yield f"{titled(change.identity)} is deleted: {_LOST[change.identity[1]]}"
    if plan.leaving_data:
        yield f"folders with data go, once no claim has a volume in them: {', '.join(plan.leaving_data)}"
    for name, swap in plan.upgrades.swaps.items():
        yield f"images and containers of {', '.join(runtime.title for runtime in swap.going)} on {name} are removed"
