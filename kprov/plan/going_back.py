"""What a host takes back by itself when a change of it does not pass its gates, and what is said about that. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.observe.observation import Observation
from kprov.plan.desired import resource_paths
from kprov.plan.host import HostPlan
from kprov.values.components import ETCD
from kprov.values.paths import BIN
from kprov.values.resources import Binary
from kprov.values.versions import numbers


def disturbed(plan: HostPlan, stage: str) -> tuple[str, ...]:
    """Return the units whose stamps a stage takes: those that restart in it, and those that read what changes in it."""
    changes, restarts = plan.stage(stage)
    paths = {path for change in changes if change.resource is not None for path in resource_paths(change.resource)}
    reading = {unit for path in paths for unit in plan.unstamps.get(path, ())}
    return tuple(sorted(reading | {restart.unit.name for restart in restarts}))


def kept(plan: HostPlan, stage: str, seen: Observation) -> tuple[str, ...]:
    """Return the units that go back together when the stage fails on this host; none where there is nothing to go back to.

    There is when one of them serves, has been seen well with what is there, or was left in the middle by an earlier run.
    A host that is new keeps what it got: its next run goes on from there.
    """
    units = disturbed(plan, stage)
    _, restarts = plan.stage(stage)
    serving = {restart.unit.name for restart in restarts if restart.running}
    worth = seen.unconfirmed or any(unit in serving or unit in seen.stamps for unit in units)
    return units if worth and not stays(plan, stage, seen) else ()


def stays(plan: HostPlan, stage: str, seen: Observation) -> str:
    """Return why a stage is not taken back on a host; empty where it is.

    etcd raises the version of the cluster's data when all members run the new minor version, and an older program does
    not read that. Source: etcd.io, "Downgrading an etcd cluster".
    """
    changes, _ = plan.stage(stage)
    for change in changes:
        if isinstance(change.resource, Binary) and change.resource.path == f"{BIN}/{ETCD.program}":
            old, new = numbers(seen.versions.get(ETCD.program, "")), numbers(change.resource.artifact.version)
            if old is not None and new is not None and old[:2] != new[:2]:
                return "the new files are in place: etcd does not go back by a minor version"
    return ""


def describe(told: str) -> str:
    """Say what runs on a host that went back. told: the host's lines, `files COUNT` and `unit NAME STATE [WORDS]`."""
    parts = [line.split(" ", 3) for line in told.splitlines()]
    count = next((part[1] for part in parts if part[0] == "files" and len(part) > 1), "0")
    units = [part for part in parts if part[0] == "unit" and len(part) > 2]
    words = [
        _named(units, "well", "{} again as before, and answered"),
        _named(units, "starts", "{} started with the previous files; it did not run before"),
        _named(units, "removed", "{} not there before, and removed again"),
        *(f"{part[1]} DOES NOT RUN as it did before: {part[3] if len(part) > 3 else 'no reason told'}"
          for part in units if part[2] == "ill"),
    ]  # fmt: skip
    files = f"{count} previous file{'' if count == '1' else 's'} put back" if count != "0" else "no file had changed"
    return "; ".join([files, *(word for word in words if word)])


def _named(units: Iterable[list[str]], state: str, sentence: str) -> str:
    verbs = {"well": ("runs", "run"), "starts": ("was", "were"), "removed": ("was", "were")}
    names = [part[1] for part in units if part[2] == state]
    verb = verbs[state][len(names) > 1]
    return sentence.format(f"{', '.join(names)} {verb}") if names else ""
