"""What is sent to a node whose runtime is replaced: kubelet stands still from before the old one goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kprov.apply import scripts, wire
from kprov.apply.batch import Batch
from kprov.apply.operations import Sources, give_back_units, stage_batch, write_gates, write_removal
from kprov.observe.observation import Observation
from kprov.plan.host import HostPlan
from kprov.plan.runtime_swap import Swap, deletions
from kprov.roles import kubelet
from kprov.values.resources import Key, Unit
from kprov.values.runtimes import Runtime

_REMOVED = ("image", "file", "binary", "directory")  # after the units, in this order


def swap_batch(plan: HostPlan, stage: str, swap: Swap, seen: Observation, sources: Sources) -> Batch:
    """All of it on one host, in one exec: kubelet stands still from before the old runtime goes until the new one runs."""
    batch = Batch()
    # Of an earlier run that was cut off there may be files without a unit: then nothing of it has ever served here.
    serving = [runtime for runtime in swap.going if runtime.runs_for(seen.records)]
    for runtime in serving:
        batch.add(f"what is in {runtime.title}", wire.Alone(store=runtime.store))
    batch.add(f"unit {kubelet.UNIT}", wire.Stop(unit=kubelet.UNIT))
    for runtime in serving:
        batch.add(f"pods in {runtime.title}", wire.Sandboxes(store=runtime.store))
        for path in runtime.mounted:
            batch.add(f"mounts below {path}", wire.Unmount(path=path))
    _remove(batch, swap.going, [key for key in deletions(plan) if swap.takes_away(key)], seen)
    batch.add("ledger", wire.Checkpoint())
    first, then = _parted(plan, swap.coming)
    stage_batch(first, stage, seen, sources, batch)
    stage_batch(then, stage, seen, sources, batch)
    if kubelet.UNIT not in {restart.unit.name for restart in then.restarts}:
        _start_again(batch, plan)
    return batch


def _start_again(batch: Batch, plan: HostPlan) -> None:
    """For a kubelet that nothing else restarts: an earlier run had come as far as that."""
    title = f"unit {kubelet.UNIT}"
    batch.add(title, wire.Restart(unit=kubelet.UNIT))
    write_gates(batch, Unit(name=kubelet.UNIT, content=b"", gates=(kubelet.HEALTHY,), heartbeat=True))
    batch.add(title, wire.Stamp(unit=kubelet.UNIT, value=plan.stamps[kubelet.UNIT]))


def _remove(batch: Batch, going: Sequence[Runtime], keys: Sequence[Key], seen: Observation) -> None:
    served = [runtime for runtime in going if runtime.runs_for(seen.records)]
    units = [unit for runtime in served for unit in reversed(runtime.units) if ("unit", unit) in keys]
    for unit in units:
        batch.add(f"unit {unit}", wire.Stop(unit=unit))
    program = batch.attach(scripts.text("down.sh"))
    batch.add("what pods left behind", wire.Run(payload=program, argument="pods"))
    drop_tables(batch, served)
    for path in (path for runtime in served for path in runtime.run):
        batch.add(f"what is left in {path}", wire.Clear(path=path))
    for unit in units:  # last, as this is what a run that was cut off in between knows its runtimes by
        write_removal(batch, ("unit", unit), seen)
    for kind in _REMOVED:
        chosen = [key for key in keys if key[0] == kind]
        for key in sorted(chosen, reverse=True) if kind == "directory" else chosen:
            write_removal(batch, key, seen)
    batch.add("systemd", wire.ReloadUnits())
    give_back_units(batch, keys, seen)


def drop_tables(batch: Batch, going: Iterable[Runtime]) -> None:
    """Take away what runtimes that go have in the firewall."""
    for family, name in (table for runtime in going for table in runtime.tables):
        batch.add(f"nft table {family} {name}", wire.DropTable(family=family, name=name))


def _parted(plan: HostPlan, coming: Runtime) -> tuple[HostPlan, HostPlan]:
    """The new runtime with its images, and everything after it; what the swap removes is in neither."""
    rest = [change for change in plan.changes if change.resource is not None]
    return (
        replace(
            plan,
            changes=tuple(change for change in rest if coming.owns(change.key)),
            restarts=tuple(restart for restart in plan.restarts if restart.unit.name in coming.units),
        ),
        replace(
            plan,
            changes=tuple(change for change in rest if not coming.owns(change.key)),
            restarts=tuple(restart for restart in plan.restarts if restart.unit.name not in coming.units),
        ),
    )
