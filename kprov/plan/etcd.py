"""etcd membership: from what every etcd host knows, which members start, join or leave. Pure: it asks and tells nobody.

No host is special: the members that answer are found first, and whoever lives is asked. Source: etcd runtime
reconfiguration guide (learners first, one change at a time, remove before add, quorum before every change).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kprov.observe.observation import EtcdMember, EtcdView
from kprov.values.errors import ApplyError


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A desired member: its name is the host's name."""

    name: str
    peer_url: str
    client_url: str


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A snapshot that founders begin with in the place of nothing. bump: how far revisions go on from those in it.

    token: of this restore, the same when it is run again: data that it finds and data that it made are told apart by it.
    """

    snapshot: Path
    token: str
    bump: int


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What is to be done, in this order: start, then join one by one, then remove one by one.

    bootstrap: names that found a new cluster together (all desired ones), or finish a bootstrap that was cut off.
    seed: what they begin with, nothing for a cluster that is new. stale: of those that join, the ones with data of a
    cluster that is no more.
    join: names that are added as learners. remove: members that the inventory does not have.
    settle: names that are members already, where an earlier run was cut off before it said so.
    live: client URLs of members that answered.
    """

    bootstrap: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    remove: tuple[EtcdMember, ...] = ()
    settle: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    seed: Seed | None = None
    stale: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.bootstrap or self.join or self.remove or self.settle)


def decide(desired: Sequence[Peer], views: Mapping[str, EtcdView]) -> Membership:
    """The membership work of a cluster. `views`: etcd host name → what it knows.

    Raises ApplyError when going on could lose data or quorum: a member without its data, or data of unknown origin.
    """
    answers = {name: view.members for name, view in views.items() if view.members}
    if not answers:
        return _without_a_live_member(desired, views)
    _refuse_two_clusters(answers)
    members = max(answers.values(), key=len)
    known = {url: member for member in members for url in member.peer_urls}
    live = tuple(
        peer.client_url
        for peer in desired
        if peer.name in answers and (member := known.get(peer.peer_url)) is not None and not member.learner
    )
    join: list[str] = []
    settle: list[str] = []
    stale: list[str] = []
    for peer in desired:
        member, view = known.get(peer.peer_url), views[peer.name]
        if member is None or not member.name or member.learner:
            join.append(peer.name)
            if member is None and view.has_data:
                stale.append(peer.name)
        elif not view.has_data:
            raise _lost_data(peer, member)
        elif view.joining:
            settle.append(peer.name)
    urls = {peer.peer_url for peer in desired}
    gone = tuple(member for member in members if not urls & set(member.peer_urls))
    return Membership(join=tuple(join), settle=tuple(settle), remove=gone, live=live, stale=tuple(stale))


def _refuse_two_clusters(answers: Mapping[str, Sequence[EtcdMember]]) -> None:
    """Raise ApplyError when hosts know members of which none is the same: each restore gives all of them new ids."""
    groups: list[tuple[set[str], list[str]]] = []
    for name, members in answers.items():
        ids = {member.id for member in members}
        for known, names in groups:
            if known & ids:
                known |= ids
                names.append(name)
                break
        else:
            groups.append((ids, [name]))
    if len(groups) > 1:
        raise ApplyError(
            "the etcd hosts are of two clusters, as after a restore without some of them; nothing was touched",
            where=", ".join(answers),
            found="; ".join(f"{', '.join(names)} together" for _, names in groups),
            needed="one cluster",
            todo="on the hosts with the data that is not wanted any more: `systemctl stop kube-apiserver etcd` and "
            "`mv /var/lib/etcd/member /var/lib/etcd/before-restore`; then `kprov up`, which lets them join the others",
        )


def _without_a_live_member(desired: Sequence[Peer], views: Mapping[str, EtcdView]) -> Membership:
    holders = [peer.name for peer in desired if views[peer.name].has_data]
    if not holders:
        return Membership(bootstrap=tuple(peer.name for peer in desired))
    unfinished = [name for name in holders if views[name].joining]
    if unfinished:
        # Cut off while it was founded: the same list and token give the same cluster, so everybody starts as before.
        return Membership(bootstrap=tuple(peer.name for peer in desired))
    # Data everywhere it is expected: the members are only stopped and start again with their unit.
    empty = [peer.name for peer in desired if peer.name not in holders]
    if len(holders) <= len(desired) // 2:
        raise ApplyError(
            "no etcd member answers, and most of them have no data",
            where=", ".join(empty),
            found=f"data on {', '.join(holders)} only",
            needed="a majority of the members with their data",
            todo="bring the missing data directories back, or restore a backup: `kprov restore latest INVENTORY`, or "
            f"`kprov restore --from-member {holders[0]} INVENTORY` with the data that is left; nothing was touched",
        )
    return Membership(join=tuple(empty), live=tuple(peer.client_url for peer in desired if peer.name in holders))


def _lost_data(peer: Peer, member: EtcdMember) -> ApplyError:
    return ApplyError(
        f"etcd member {peer.name} is in the member list, but its data directory is empty",
        where=peer.name,
        found=f"member {member.id} without /var/lib/etcd/member",
        needed="its data, or a new member in its place",
        todo=(
            "bring the disk back; or, if the data is lost for good, run on another etcd host "
            f"`etcdctl member remove {member.id}` and then `kprov up` again: it joins as a new member"
        ),
    )


def initial_cluster(peers: Sequence[Peer]) -> str:
    """etcd's --initial-cluster for a new cluster."""
    return ",".join(f"{peer.name}={peer.peer_url}" for peer in peers)
