"""`kprov down`: the exact reverse of `up` on each host, from the host's own manifest; no keys or artifacts are needed.

Only what is recorded is removed, in reverse order; what was there before comes back. Nothing here touches a network
service, and firewall rules go one by one by their names: SSH stays.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
from kprov.plan.node_conversations import drained
from kprov.values.component import ORDINARY
from kprov.values.components import BY_UNIT, COMPONENTS, ETCD
from kprov.values.errors import KprovError
from kprov.values.events import HostEnded, HostFailed, HostStarted, Sink, StageEnded, StageStarted
from kprov.values.model import Cluster
from kprov.values.resources import Key
from kprov.values.runtimes import RUNTIMES

STAGE = "down"

_KINDS = ("image", "file", "binary", "package", "user", "sysctl", "module", "swap", "directory")


@dataclass(frozen=True, kw_only=True)
class Farewell:
    """How a host that leaves a living cluster is taken out of it first: from which peer, and what is removed there.

    Member ids are hexadecimal; `endpoints` are client URLs of members that stay. `kubeconfig` is short-lived.
    """

    peer: str
    node: str
    member: str
    endpoints: tuple[str, ...]
    kubeconfig: bytes


def farewell_work(farewell: Farewell) -> Exchange[None]:
    """Drains and deletes the node, and removes its etcd member, on a peer that stays."""
    batch = Batch()
    if farewell.node:
        yield from carried(drained([farewell.node], 120, force=True), Batch(), kubeconfig=farewell.kubeconfig)
        batch.attach_as("kubeconfig", farewell.kubeconfig)
        batch.add(f"node {farewell.node}", wire.DeleteObject(kind="node", name=farewell.node))
    if farewell.member:
        yield from carried(removed(farewell.node, farewell.member, farewell.endpoints), batch)
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
    cluster: Cluster,
    fleet: Fleet,
    emit: Sink,
    *,
    names: Sequence[str],
    farewells: Sequence[Farewell],
    generation: str,
    forks: int,
) -> tuple[HostFailed, ...]:
    """Farewells one by one, then all hosts side by side; a host that fails stops no other. Returns the failures."""
    started = time.monotonic()
    emit(StageStarted(stage=STAGE, title="Taking hosts down", hosts=tuple(names)))
    for farewell in farewells:

        def told(batch: Batch, answers: dict[int, Answer], peer: str = farewell.peer) -> Sequence[HostFailed]:
            return send(fleet.sessions[peer], STAGE, batch, generation, emit, answered=answers.__setitem__)

        failures = tuple(run(farewell_work(farewell), told, stage=STAGE, host=farewell.peer))
        for failure in failures:
            emit(failure)
        if failures:
            return failures

    def one(name: str) -> HostFailed | None:
        batch = host_batch(fleet.observations[name])
        if not batch.operations:
            return None
        begun = time.monotonic()
        emit(HostStarted(stage=STAGE, host=name, operations=len(batch.operations)))
        failure = next(iter(send(fleet.sessions[name], STAGE, batch, generation, emit)), None)
        emit(failure or HostEnded(stage=STAGE, host=name, seconds=time.monotonic() - begun))
        return failure

    with ThreadPoolExecutor(max_workers=max(1, min(forks, len(names)))) as pool:
        failures = tuple(failure for failure in pool.map(one, names) if failure is not None)
    emit(StageEnded(stage=STAGE, seconds=time.monotonic() - started))
    return failures


def farewells(cluster: Cluster, fleet: Fleet, names: Sequence[str], kubeconfig: bytes) -> tuple[Farewell, ...]:
    """What must be said to the hosts that stay. Empty when the whole cluster goes.

    Raises KprovError when a host that leaves cannot be taken out safely: no peer that answers, or quorum would be lost.
    """
    staying = [host for host in cluster.hosts if host.name not in names]
    if not staying:
        return ()
    peers = [host.name for host in staying if host.in_group("control_plane") and host.name in fleet.sessions]
    members = next((seen.etcd.members for seen in fleet.observations.values() if seen.etcd.members), ())
    found: list[Farewell] = []
    for name in names:
        host = cluster.host(name)
        if not fleet.observations[name].records:
            continue
        member = next((member for member in members or () if member.name == name), None)
        if not peers:
            raise KprovError(
                "no control plane would be left",
                where=name,
                needed="a control plane that stays, or `kprov down` without --limit for the whole cluster",
            )
        endpoints = tuple(
            url.replace(f":{ETCD.port('peers')}", f":{ETCD.port('clients')}")
            for other in members or ()
            if other.name not in names and not other.learner
            for url in other.peer_urls
        )
        if member is not None and not endpoints:
            raise KprovError(
                "no etcd member would be left", where=name, todo="keep one, or take the whole cluster down"
            )
        found.append(
            Farewell(
                peer=peers[0],
                node=name if host.is_node else "",
                member=member.id if member is not None else "",
                endpoints=endpoints,
                kubeconfig=kubeconfig,
            )
        )
    return tuple(found)
