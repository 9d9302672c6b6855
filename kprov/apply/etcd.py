"""What is sent to etcd hosts: members that found, join, restart or leave, in an order that keeps the quorum. Pure.

Source: etcd operations guide, runtime reconfiguration: one change at a time.
"""

from __future__ import annotations

from dataclasses import replace

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, carried
from kprov.apply.operations import Sources, stage_batch, write_gates, write_stamp
from kprov.observe.observation import Observation
from kprov.plan.cluster import ClusterPlan
from kprov.plan.etcd import Membership, Seed, initial_cluster
from kprov.plan.etcd_conversations import disarmed, joined, needed_of, promoted, quorum_kept, removed
from kprov.plan.host import JOIN_FILE, HostPlan
from kprov.plan.rolls import Members, host_batches
from kprov.values.components import ETCD

_MEMBERSHIP = "etcd membership"


def etcd_batches(stage: str, plan: ClusterPlan) -> list[list[str]]:
    """Founders together, then members that are there, then those who join, one by one."""
    membership = plan.membership
    new = {*membership.bootstrap, *membership.join}
    founders = [name for name in membership.bootstrap if name in plan.hosts]
    regular = host_batches(Members(), stage, {name: changed for name, changed in plan.hosts.items() if name not in new})
    settling = [[name] for name in membership.settle if name in plan.hosts]
    joining = [[name] for name in membership.join if name in plan.hosts]
    return [
        *([founders] if founders else []),
        *regular,
        *(names for names in settling if names not in regular),
        *joining,
    ]


def etcd_work(
    stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources, *, token: str
) -> Exchange[None]:
    """What is sent to one member, in turn with its answers. `token`: of the cluster, the same for all who found it."""
    membership = plan.membership
    if name in membership.bootstrap and membership.seed is not None:
        yield _restored(stage, name, plan, seen, sources, membership.seed)
    elif name in membership.bootstrap:
        yield _founded(stage, name, plan, seen, sources, token)
    elif name in membership.join:
        yield from _joined(stage, name, plan, seen, sources)
    else:
        yield from _changed(stage, name, plan, seen, sources)


def departures(membership: Membership) -> Exchange[None]:
    """Takes members out that no host of the inventory is any more; sent to one member that stays."""
    for member in membership.remove:
        yield from carried(removed(member.name, member.id, membership.live), Batch())


def cleared() -> Exchange[None]:
    """Clears the alarm of a full store; sent to one member."""
    yield from carried(disarmed(), Batch())


def _changed(stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources) -> Exchange[None]:
    """A member that is one already: it restarts only while the others keep the quorum."""
    own = plan.hosts[name]
    _, restarts = own.stage(stage)
    others = [peer.client_url for peer in plan.peers if peer.name != name]
    if others and any(restart.running for restart in restarts):
        yield from carried(quorum_kept(others, needed_of(len(others))), Batch())
    batch = stage_batch(own, stage, seen, sources)
    if name in plan.membership.settle:
        batch.add(_MEMBERSHIP, wire.EtcdFlags())
    if batch.operations:
        yield batch


def _founded(stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources, token: str) -> Batch:
    """All of a member that founds the cluster with others, in one exec: they wait for each other."""
    batch = _files(stage, plan.hosts[name], seen, sources)
    initial = f"--initial-cluster={initial_cluster(plan.peers)}"
    _start(batch, plan.hosts[name], stage, f"{initial} --initial-cluster-state=new --initial-cluster-token={token}")
    _settle(batch, plan.hosts[name], stage)
    return batch


def _restored(stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources, seed: Seed) -> Batch:
    """All of a member that begins with a snapshot, in one exec: the members wait for each other."""
    own = plan.hosts[name]
    founders = [peer for peer in plan.peers if peer.name in plan.membership.bootstrap]
    batch = _files(stage, own, seen, sources)
    batch.add(f"unit {ETCD.unit}", wire.Stop(unit=ETCD.unit))
    data = wire.RestoreSnapshot(
        payload=batch.attach(seed.snapshot, "snapshot.db"),
        name=name,
        url=next(peer.peer_url for peer in founders if peer.name == name),
        initial=initial_cluster(founders),
        token=seed.token,
        bump=seed.bump,
    )
    batch.add("data of etcd", data)
    _start(batch, own, stage, "")
    _settle(batch, own, stage)
    return batch


def _joined(stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources) -> Exchange[None]:
    """A newcomer: its files, then it is taken in as a learner, started, made a voter and settled."""
    own, live = plan.hosts[name], plan.membership.live
    peer = next(peer for peer in plan.peers if peer.name == name)
    first = _files(stage, own, seen, sources)
    if name in plan.membership.stale:
        first.add("data of a cluster that is no more", wire.SetDataAside())
    newcomer = yield from carried(joined(name, peer.peer_url, live), first)
    started = Batch()
    _start(started, own, stage, f"--initial-cluster={newcomer.initial} --initial-cluster-state=existing")
    yield from carried(promoted(name, newcomer, live), started)
    settled = Batch()
    _settle(settled, own, stage)
    yield settled


def _files(stage: str, own: HostPlan, seen: Observation, sources: Sources) -> Batch:
    """Everything of the stage but the restarts, whose stamps are gone by then."""
    _, restarts = own.stage(stage)
    batch = Batch()
    for restart in restarts:
        batch.add(f"unit {restart.unit.name}", wire.Unstamp(unit=restart.unit.name))
    return stage_batch(_without_restarts(own, stage), stage, seen, sources, batch)


def _start(batch: Batch, own: HostPlan, stage: str, flags: str) -> None:
    batch.know(("file", JOIN_FILE))
    batch.add(_MEMBERSHIP, wire.EtcdFlags(flags=flags))
    _, restarts = own.stage(stage)
    for restart in restarts:
        batch.add("systemd", wire.ReloadUnits(enable=(restart.unit.name,)))
        batch.know(("unit", restart.unit.name))
        batch.add(f"unit {restart.unit.name}", wire.Restart(unit=restart.unit.name))


def _settle(batch: Batch, own: HostPlan, stage: str) -> None:
    _, restarts = own.stage(stage)
    for restart in restarts:
        write_gates(batch, restart.unit)
    batch.add(_MEMBERSHIP, wire.EtcdFlags())
    for restart in restarts:
        write_stamp(batch, own, restart)


def _without_restarts(plan: HostPlan, stage: str) -> HostPlan:
    return replace(plan, restarts=tuple(restart for restart in plan.restarts if restart.stage != stage))
