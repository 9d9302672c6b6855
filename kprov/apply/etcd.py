"""What is sent to etcd hosts: members that found, join, restart or leave, in an order that keeps the quorum. Pure.

Source: etcd operations guide, runtime reconfiguration: one change at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kprov.apply import wire
from kprov.apply.batch import Batch, Step
from kprov.apply.operations import Sources, stage_batch, write_gates, write_stamp
from kprov.observe.observation import Observation
from kprov.plan.cluster import ClusterPlan
from kprov.plan.etcd import Membership, initial_cluster
from kprov.plan.host import JOIN_FILE, HostPlan
from kprov.plan.rolls import Members, host_batches

_MEMBERSHIP = "etcd membership"
_PROMOTION_SECONDS = 120
_CHANGE_SECONDS = 30


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


def etcd_batch(stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources, *, token: str) -> Batch:
    """What one member is sent. `token`: etcd's initial-cluster-token, the same for all who found a cluster."""
    if name in plan.membership.bootstrap or name in plan.membership.join:
        return _newcomer(stage, name, plan, seen, sources, token)
    batch = Batch()
    _, restarts = plan.hosts[name].stage(stage)
    others = [peer.client_url for peer in plan.peers if peer.name != name]
    if others and any(restart.running for restart in restarts):
        needed = (len(others) + 1) // 2 + 1
        batch.add("quorum", wire.Quorum(endpoints=",".join(others), needed=min(needed, len(others))))
    stage_batch(plan.hosts[name], stage, seen, sources, batch)
    if name in plan.membership.settle:
        batch.add(_MEMBERSHIP, wire.EtcdSettled())
    return batch


def removals(membership: Membership) -> Batch:
    """Takes members out that no host of the inventory is any more; sent to one member that stays."""
    batch = Batch()
    for member in membership.remove:
        write_member_removal(batch, f"etcd member {member.name}", member.id, membership.live)
    return batch


def write_member_removal(batch: Batch, title: str, member: str, endpoints: Iterable[str]) -> None:
    """member: its id, hexadecimal; endpoints: client URLs of members that stay."""
    batch.add(title, wire.EtcdRemove(member=member, endpoints=",".join(endpoints), seconds=_CHANGE_SECONDS))


def _newcomer(stage: str, name: str, plan: ClusterPlan, seen: Observation, sources: Sources, token: str) -> Batch:
    """A member that founds or joins: its files, then the join, then its unit with gates and stamp."""
    membership, own = plan.membership, plan.hosts[name]
    _, restarts = own.stage(stage)
    batch = stage_batch(_without_restarts(own, stage), stage, seen, sources)
    batch.steps[:0] = [
        Step(title=f"unit {restart.unit.name}", operation=wire.Unstamp(unit=restart.unit.name)) for restart in restarts
    ]
    peer = next(peer for peer in plan.peers if peer.name == name)
    live = ",".join(membership.live)
    batch.know(("file", JOIN_FILE))
    if name in membership.bootstrap:
        batch.add(_MEMBERSHIP, wire.EtcdBootstrap(initial_cluster=initial_cluster(plan.peers), token=token))
    else:
        join = wire.EtcdJoin(name=name, peer_url=peer.peer_url, endpoints=live, seconds=_CHANGE_SECONDS)
        batch.add(_MEMBERSHIP, join)
    for restart in restarts:
        batch.add("systemd", wire.ReloadUnits(enable=(restart.unit.name,)))
        batch.know(("unit", restart.unit.name))
        batch.add(f"unit {restart.unit.name}", wire.Restart(unit=restart.unit.name))
    if name in membership.join:
        promotion = wire.EtcdPromote(peer_url=peer.peer_url, endpoints=live, seconds=_PROMOTION_SECONDS)
        batch.add(_MEMBERSHIP, promotion)
    for restart in restarts:
        write_gates(batch, restart.unit)
    batch.add(_MEMBERSHIP, wire.EtcdSettled())
    for restart in restarts:
        write_stamp(batch, own, restart)
    return batch


def _without_restarts(plan: HostPlan, stage: str) -> HostPlan:
    return replace(plan, restarts=tuple(restart for restart in plan.restarts if restart.stage != stage))
