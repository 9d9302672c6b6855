"""How a run ended: numbers when all went well, one table when it did not. Pure text and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kprov.plan.cluster import ClusterPlan
from kprov.report.tally import Tally
from kprov.report.words import count, duration, names, size
from kprov.transport.base import Count
from kprov.values.events import HostFailed

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


def failure_rows(failures: Sequence[HostFailed]) -> list[tuple[str, str, str, str, str]]:
    """Rows of the closing table: host, stage, resource, expected, found."""
    return [(f.host, f.stage, f.resource, f.expected, f.found) for f in failures]


def failure_details(failure: HostFailed) -> list[str]:
    """The last lines a host printed, and what to do."""
    log = failure.log.splitlines()[-LOG_LINES:]
    lines = [f"{failure.host}, {failure.stage}: {failure.resource}", *(f"  | {line}" for line in log)]
    return [*lines, f"  do: {failure.todo}"] if failure.todo else lines
