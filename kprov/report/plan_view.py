"""A plan as text for people and as values for JSON. Shows titles and reasons only, never content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from kprov.objects.objects import titled
from kprov.plan.cluster import ClusterPlan
from kprov.plan.host import Change, HostPlan
from kprov.plan.stages import STAGES
from kprov.report.interruptions import interruption_lines, interruptions, irrevocable, procedures
from kprov.report.words import count

SIGNS = {"create": "+", "update": "~", "permissions": "~", "record": "·", "delete": "-"}
_STAGES = {stage.name: stage.title for stage in STAGES}


def plan_lines(plan: ClusterPlan) -> list[str]:
    """Every change with its reasons. Hosts with the same changes share a section."""
    if plan.empty:
        return ["nothing to change", *_waiting_lines(plan)]
    lines: list[str] = []
    for names, host in _alike(plan.hosts):
        lines += [f"{', '.join(names)}: {host_counts(host)}", *_host_lines(host), ""]
    lines += _cluster_lines(plan)
    return lines[:-1] if lines and not lines[-1] else lines


def summary_lines(plan: ClusterPlan) -> list[str]:
    """One line for the hosts that change alike, and for what changes in the cluster."""
    if plan.empty:
        return ["nothing to change", *_waiting_lines(plan)]
    counts: dict[str, list[str]] = {}
    for name, host in plan.hosts.items():
        counts.setdefault(host_counts(host), []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in counts.items()] + _cluster_lines(plan)


def host_counts(host: HostPlan) -> str:
    """`3 to create, 1 to update, 1 unit to restart`, or `nothing to change`."""
    numbers = {action: sum(change.action == action for change in host.changes) for action in SIGNS}
    words = {"permissions": "to set permissions of", "record": "to record"}
    parts = [f"{number} {words.get(action, f'to {action}')}" for action, number in numbers.items() if number]
    begin = sum(not restart.running for restart in host.restarts)
    if begin:
        parts.append(f"{count(begin, 'unit')} to start")
    if len(host.restarts) > begin:
        parts.append(f"{count(len(host.restarts) - begin, 'unit')} to restart")
    return ", ".join(parts) or "nothing to change"


def _alike(hosts: Mapping[str, HostPlan]) -> list[tuple[list[str], HostPlan]]:
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, host in hosts.items():
        if not host.empty:
            what = tuple((change.stage, change.title, change.action, change.reasons) for change in host.changes)
            units = tuple((restart.unit.name, restart.reason) for restart in host.restarts)
            groups.setdefault((what, units), []).append(name)
    return [(names, hosts[names[0]]) for names in groups.values()]


def _host_lines(host: HostPlan) -> Iterable[str]:
    for stage, title in _STAGES.items():
        changes, restarts = host.stage(stage)
        if not changes and not restarts:
            continue
        yield f"  {title}"
        for change in changes:
            yield f"    {SIGNS[change.action]} {change.title}: {'; '.join(change.reasons)}"
            yield from (f"        {text}" for text in certificate_text(change))
        for restart in restarts:
            yield f"    ↻ {'restart' if restart.running else 'start'} {restart.unit.name}: {restart.reason}"


def certificate_text(change: Change) -> list[str]:
    """What a certificate will say: subject, names and life; never a key. Empty for other things."""
    from kprov.values.resources import Certificate

    if not isinstance(change.resource, Certificate) or change.action not in ("create", "update"):
        return []
    spec = change.resource.spec
    subject = f"CN={spec.common_name}" + "".join(f", O={name}" for name in spec.organizations)
    lines = [f"subject {subject}, {spec.days} days, signed by the {spec.authority} CA"]
    if names := [*spec.dns_names, *map(str, spec.ip_addresses)]:
        lines.append(f"names {', '.join(names)}")
    return lines


def _cluster_lines(plan: ClusterPlan) -> list[str]:
    members = plan.membership
    lines: list[str] = []
    moves = [
        *(f"  + {name} founds the cluster" for name in members.bootstrap),
        *(f"  + {name} joins" for name in members.join),
        *(f"  ~ {name} finishes its join" for name in members.settle),
        *(f"  - {member.name or member.id} is removed" for member in members.remove),
    ]
    if moves:
        lines += ["etcd members", *moves]
    if not plan.objects_known:
        number = len(plan.desired_objects) + sum(len(addon.objects) for addon in plan.addons)
        lines += [f"Kubernetes objects: all {number} are applied once an API server runs"]
    elif plan.objects:
        lines.append("Kubernetes objects")
        lines += [f"  {SIGNS[change.action]} {change.title}: {change.reason}" for change in plan.objects]
    if plan.kept:
        kept = ", ".join(titled(key) for key in plan.kept)
        lines.append(f"kept, as it holds data (--delete-data removes it): {kept}")
    for name, swap in plan.upgrades.swaps.items():
        lines.append(f"runtime of {name}: {swap}")
    if plan.upgrades.reopen:
        lines.append(f"cordoned by a run that did not end: {', '.join(plan.upgrades.reopen)}")
    return lines + interruption_lines(plan) + _waiting_lines(plan)


def _waiting_lines(plan: ClusterPlan) -> list[str]:
    """What a run waits for though nothing of it changes."""
    lines = [f"not Ready now: {', '.join(plan.not_ready)}"] if plan.not_ready else []
    if plan.unproven:
        lines.append(f"not yet seen well since something was last done there, asked again: {', '.join(plan.unproven)}")
    if plan.uninitialized:
        lines.append(f"not taken over by the cloud's controller yet: {', '.join(plan.uninitialized)}")
    return lines + [f"add-on {row.addon} is not ready now: {row}" for row in plan.unready]


def plan_values(plan: ClusterPlan) -> dict[str, Any]:
    """The plan as JSON values."""
    members = plan.membership
    return {
        "changes": not plan.empty,
        "hosts": {name: _host_values(host) for name, host in plan.hosts.items()},
        "etcd": {
            "bootstrap": list(members.bootstrap),
            "join": list(members.join),
            "settle": list(members.settle),
            "remove": [{"id": member.id, "name": member.name} for member in members.remove],
        },
        "objects_known": plan.objects_known,
        "objects": [
            {"object": change.title, "action": change.action, "reason": change.reason} for change in plan.objects
        ],
        "kept": [titled(key) for key in plan.kept],
        "runtimes": {
            name: {"from": [runtime.name for runtime in swap.going], "to": swap.coming.name}
            for name, swap in plan.upgrades.swaps.items()
        },
        "drain": list(plan.upgrades.drain),
        "reopen": list(plan.upgrades.reopen),
        "interrupts": interruptions(plan),
        "procedures": list(procedures(plan)),
        "irrevocable": list(irrevocable(plan)),
        "not_ready": list(plan.not_ready),
        "unproven": list(plan.unproven),
        "uninitialized": list(plan.uninitialized),
        "findings": [asdict(finding) for finding in plan.findings],
        "unready": [{"addon": row.addon, "object": row.row, "reason": row.reason} for row in plan.unready],
    }


def _host_values(host: HostPlan) -> dict[str, Any]:
    return {
        "changes": [
            {
                "stage": change.stage,
                "kind": change.key[0],
                "name": change.key[1],
                "action": change.action,
                "reasons": list(change.reasons),
            }
            for change in host.changes
        ],
        "restarts": [
            {"stage": restart.stage, "unit": restart.unit.name, "running": restart.running, "reason": restart.reason}
            for restart in host.restarts
        ],
    }
