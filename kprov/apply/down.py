"""`kprov down`: the exact reverse of `up` on each host, from the host's own ledger; no keys or artifacts are needed.

Only what is recorded is removed, in reverse order; what was there before comes back. Nothing here touches a network
service, and firewall rules go one by one by their names: SSH stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kprov.apply import scripts, wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, carried, run
from kprov.apply.operations import give_back_units, write_removal
from kprov.apply.runtime_swap import drop_tables
from kprov.apply.sending import send
from kprov.observe.gather import Fleet
from kprov.observe.observation import Observation
from kprov.plan.conversation import Answer
from kprov.plan.etcd_conversations import removed
from kprov.plan.farewell import Farewell
from kprov.plan.node_conversations import drained
from kprov.values.component import ORDINARY
from kprov.values.components import BY_UNIT, COMPONENTS
from kprov.values.events import HostEnded, HostFailed, HostStarted, Note, Sink, StageEnded, StageStarted
from kprov.values.resources import Key
from kprov.values.runtimes import RUNTIMES

STAGE = "down"
FAREWELL = "farewell"

_KINDS = ("image", "file", "binary", "package", "user", "sysctl", "module", "swap", "directory")


def farewell_work(farewell: Farewell, kubeconfig: bytes, warn: Callable[[str], None]) -> Exchange[None]:
    """Drains and deletes the node, and removes its etcd member, on a peer that stays. kubeconfig: short-lived.

    warn: hears of pods that are gone for good.
    """
    batch = Batch()
    if farewell.node:
        lost = yield from carried(drained([farewell.node], 120, force=True), Batch(), kubeconfig=kubeconfig)
        if lost:
            warn(f"pods of {farewell.node} are gone for good, as no controller makes them again: {lost}")
        batch.attach_as("kubeconfig", kubeconfig)
        batch.add(f"node {farewell.node}", wire.DeleteObject(kind="node", name=farewell.node))
    if farewell.member:
        yield from carried(removed(farewell.host, farewell.member, farewell.endpoints), batch)
    elif batch.operations:
        yield batch


def host_batch(seen: Observation) -> Batch:
    """Everything recorded on one host, taken away. Empty when nothing is recorded."""
    batch = Batch()
    if not seen.records:
        return batch
    units = _stop_order([name for kind, name in seen.records if kind == "unit"])
    before_pods = [name for name in units if _stops(name)[0] < ORDINARY]
    for name in before_pods:
        write_removal(batch, ("unit", name), seen)
    runtimes = [runtime for runtime in RUNTIMES.values() if runtime.runs_for(seen.records)]
    serving = [unit for runtime in runtimes for unit in runtime.units]
    for runtime in runtimes:
        batch.add(f"pods in {runtime.title}", wire.Sandboxes(store=runtime.store))
    for path in ("/var/lib/kubelet", *(path for runtime in runtimes for path in runtime.mounted)):
        batch.add(f"mounts below {path}", wire.Unmount(path=path))
    for key in _of_kind("image", seen):
        write_removal(batch, key, seen)
    for name in units:
        if name in serving:
            batch.add(f"unit {name}", wire.Stop(unit=name))
        elif name not in before_pods:
            write_removal(batch, ("unit", name), seen)
    program = batch.attach(scripts.text("down.sh"))
    batch.add("what components left behind", wire.Run(payload=program, argument="all"))
    drop_tables(batch, runtimes)
    for path in (path for runtime in runtimes for path in runtime.run):
        batch.add(f"what is left in {path}", wire.Clear(path=path))
    # Last, as this is what a run that was cut off in between knows its runtimes by.
    for name in units:
        if name in serving:
            write_removal(batch, ("unit", name), seen)
    for kind in _KINDS:
        if kind != "image":
            for key in _of_kind(kind, seen):
                write_removal(batch, key, seen)
    batch.add("systemd", wire.ReloadUnits())
    give_back_units(batch, seen.records, seen)
    batch.add("kprov's own records", wire.StateGone())
    return batch


def _stop_order(names: Sequence[str]) -> list[str]:
    """What feeds on others first: see `Component.stops`. Units that no component has stop as ordinary ones do."""
    latest_first = list(reversed(names))
    latest_first.sort(key=_stops)
    return latest_first


def _stops(name: str) -> tuple[int, int]:
    component = BY_UNIT.get(name)
    return (ORDINARY, 0) if component is None else (component.stops, -COMPONENTS.index(component))


def _of_kind(kind: str, seen: Observation) -> list[Key]:
    keys = [key for key in seen.records if key[0] == kind]
    return sorted(keys, reverse=True) if kind == "directory" else list(reversed(keys))


def take_down(
    fleet: Fleet,
    emit: Sink,
    *,
    names: Sequence[str],
    farewells: Sequence[Farewell],
    kubeconfig: Callable[[], bytes] | None,
    generation: str,
    forks: int,
) -> tuple[HostFailed, ...]:
    """Farewells one by one, then all hosts side by side; a host that fails stops no other. Returns the failures.

    kubeconfig: makes a credential for a farewell; None where there is none to make.
    """
    refused = _refuse_tenants(fleet, names, generation, emit, forks)
    if refused:
        return refused
    if farewells and kubeconfig is not None:
        failure = _say_farewell(fleet, emit, farewells, kubeconfig, generation)
        if failure is not None:
            return (failure,)
    batches = {name: host_batch(fleet.observations[name]) for name in names}
    leaving = [name for name in names if batches[name].operations]
    if not leaving:
        return ()
    started = time.monotonic()
    emit(StageStarted(stage=STAGE, title="Taking hosts down", hosts=tuple(leaving)))

    def one(name: str) -> HostFailed | None:
        failure = next(iter(_send(fleet, STAGE, name, batches[name], generation, emit, {})), None)
        if failure is not None:
            emit(failure)
        return failure

    with ThreadPoolExecutor(max_workers=max(1, min(forks, len(leaving)))) as pool:
        failures = tuple(failure for failure in pool.map(one, leaving) if failure is not None)
    emit(StageEnded(stage=STAGE, seconds=time.monotonic() - started))
    return failures


def tenants_batch(seen: Observation) -> Batch:
    """The question whether somebody else has something in the host's runtimes. It changes nothing."""
    batch = Batch()
    for runtime in RUNTIMES.values():
        if runtime.runs_for(seen.records):
            batch.add(f"what is in {runtime.title}", wire.Alone(store=runtime.store))
    return batch


def _refuse_tenants(
    fleet: Fleet, names: Sequence[str], generation: str, emit: Sink, forks: int
) -> tuple[HostFailed, ...]:
    """Of all hosts, before anything is changed on one: containers of others in their runtimes."""
    batches = {name: tenants_batch(fleet.observations[name]) for name in names}
    asked = [name for name in names if batches[name].operations]

    def one(name: str) -> tuple[HostFailed, ...]:
        return send(fleet.sessions[name], STAGE, batches[name], generation, lambda _: None)

    with ThreadPoolExecutor(max_workers=max(1, min(forks, len(asked)))) as pool:
        failures = tuple(failure for found in pool.map(one, asked) for failure in found)
    for failure in failures:
        emit(failure)
    return failures


def _say_farewell(
    fleet: Fleet, emit: Sink, farewells: Sequence[Farewell], kubeconfig: Callable[[], bytes], generation: str
) -> HostFailed | None:
    """The first failure ends it: a host that is still a part of the cluster is not taken down."""
    started = time.monotonic()
    peers = tuple(dict.fromkeys(farewell.peer for farewell in farewells))
    emit(StageStarted(stage=FAREWELL, title="Nodes and etcd members leave the cluster", hosts=peers))
    failure = None
    for farewell in farewells:

        def told(batch: Batch, answers: dict[int, Answer], peer: str = farewell.peer) -> Sequence[HostFailed]:
            return _send(fleet, FAREWELL, peer, batch, generation, emit, answers)

        def warn(text: str) -> None:
            emit(Note(text=text, warning=True))

        failures = run(farewell_work(farewell, kubeconfig(), warn), told, emit, stage=FAREWELL, host=farewell.peer)
        failure = next(iter(failures), None)
        if failure is not None:
            emit(failure)
            break
    emit(StageEnded(stage=FAREWELL, seconds=time.monotonic() - started))
    return failure


def _send(
    fleet: Fleet, stage: str, name: str, batch: Batch, generation: str, emit: Sink, answers: dict[int, Answer]
) -> Sequence[HostFailed]:
    """One exec, with the events before and after it; what failed is told by the caller."""
    begun = time.monotonic()
    emit(HostStarted(stage=stage, host=name, operations=len(batch.operations), changes=batch.changes))
    failures = send(fleet.sessions[name], stage, batch, generation, emit, answered=answers.__setitem__)
    if not failures:
        emit(HostEnded(stage=stage, host=name, seconds=time.monotonic() - begun))
    return failures
