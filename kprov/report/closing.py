"""How a run ended: numbers when all went well, one table when it did not. Pure text and values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kprov.plan.cluster import ClusterPlan
from kprov.report.tally import Tally
from kprov.report.words import count, duration, names, size
from kprov.transport.base import Count
from kprov.values.events import HostFailed
from kprov.values.many_hosts import count_hosts, merge_texts, name_hosts

LOG_LINES = 20


def changed_hosts(tally: Tally) -> tuple[str, ...]:
    """Return hosts on which something was done that may change them, in order of names, however it ended.

    What only looked or waited, on a host or in the cluster, counts for nothing.
    """
    return tuple(sorted({host for _, host in tally.ended | (tally.started & tally.worked)}))


def restarted_units(plan: ClusterPlan, tally: Tally) -> tuple[str, ...]:
    """`HOST UNIT` for each unit that was started or restarted in a stage that ended well."""
    return tuple(
        f"{name} {restart.unit.name}"
        for name, host in plan.hosts.items()
        for restart in host.restarts
        if (restart.stage, name) in tally.ended
    )


def summary_lines(plan: ClusterPlan | None, tally: Tally, seconds: float, traffic: Count) -> list[str]:
    """What was done and what it cost. plan: None where there is none, as after `down`."""
    changed = changed_hosts(tally)
    lines = [f"changed: {names(changed)}" if changed else "nothing was changed"]
    if plan is not None and (units := restarted_units(plan, tally)):
        lines[0] += f"; {count(len(units), 'unit')} started or restarted"
    if tally.stages:
        lines.append("stages:  " + ", ".join(f"{name} {duration(time)}" for name, time in tally.stages.items()))
    lines.append(f"took:    {duration(seconds)}; {traffic_text(traffic)}")
    return lines


def traffic_text(traffic: Count) -> str:
    return (
        f"{count(traffic.connections, 'connection')}, {count(traffic.execs, 'command')}, "
        f"{size(traffic.bytes_sent)} sent, {size(traffic.bytes_received)} received"
    )


def summary_values(plan: ClusterPlan | None, tally: Tally, seconds: float, traffic: Count) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "changed": list(changed_hosts(tally)),
        "restarted": list(restarted_units(plan, tally)) if plan is not None else [],
        "failed": [failure.host for failure in tally.failures],
        "operations": tally.operations,
        "stages": {name: round(time, 3) for name, time in tally.stages.items()},
        "seconds": round(seconds, 3),
        "connections": traffic.connections,
        "execs": traffic.execs,
        "bytes_sent": traffic.bytes_sent,
        "bytes_received": traffic.bytes_received,
    }


def group_failures(failures: Iterable[HostFailed]) -> list[list[HostFailed]]:
    """Return the failures, those of the same resource in the same stage together."""
    same: dict[tuple[str, str, str], list[HostFailed]] = {}
    for failure in failures:
        same.setdefault((failure.stage, failure.resource, failure.expected), []).append(failure)
    return list(same.values())


def failure_row(group: Sequence[HostFailed]) -> tuple[str, str, str, str, str]:
    """Return a row of the closing table: hosts, stage, resource, expected, found."""
    first, hosts = group[0], count_hosts([failure.host for failure in group])
    found = merge_texts([(failure.host, failure.found) for failure in group])
    return hosts, first.stage, first.resource, first.expected, found


def failure_details(group: Sequence[HostFailed]) -> list[str]:
    """Return the last lines that the first host of a group printed, and what to do."""
    first = group[0]
    log = first.log.splitlines()[-LOG_LINES:]
    lines = [f"{first.host}, {first.stage}: {first.resource}", *(f"  | {line}" for line in log)]
    if len(group) > 1:
        lines.append(f"  the same on {name_hosts(failure.host for failure in group[1:])}; --json has each host's lines")
    if now := merge_texts([(failure.host, failure.now) for failure in group]):
        lines.append(f"  now: {now}")
    todo = merge_texts([(failure.host, failure.todo) for failure in group])
    return [*lines, f"  do: {todo}"] if todo else lines
