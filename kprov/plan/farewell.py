"""What a cluster that stays is told of hosts that leave it: their nodes and etcd members, as far as these are there. Pure.

Every step is decided by what is there now, so that a run goes on where an earlier one was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kprov.observe.observation import EtcdMember, Observation
from kprov.observe.silent_hosts import cluster_facts
from kprov.roles import etcd
from kprov.values.components import ETCD
from kprov.values.errors import KprovError
from kprov.values.model import Cluster, Host


@dataclass(frozen=True, kw_only=True)
class Farewell:
    """How a host that leaves is taken out of the cluster: by which peer, and what of it is there.

    node, member: empty when there is none; a member's id is hexadecimal. endpoints: client URLs of members that stay.
    """

    host: str
    peer: str
    node: str
    member: str
    endpoints: tuple[str, ...]


def farewells(
    cluster: Cluster, observations: Mapping[str, Observation], leaving: Sequence[str]
) -> tuple[Farewell, ...]:
    """Return what must be said to the hosts that stay; empty when the whole cluster goes, or nothing of the hosts is left.

    `observations`: of all hosts that answered; control planes that stay must have been asked for nodes
    (questions.leaving_questions). Raises KprovError when a host cannot be taken out safely: nobody to ask for its node or
    member, or no control plane or etcd member that would stay.
    """
    staying = [host for host in cluster.hosts if host.name not in leaving]
    if not staying:
        return ()
    found = (_farewell(cluster, observations, cluster.host(name), leaving) for name in leaving)
    return tuple(farewell for farewell in found if farewell.node or farewell.member)


def _farewell(
    cluster: Cluster, observations: Mapping[str, Observation], host: Host, leaving: Sequence[str]
) -> Farewell:
    peers = _peers(cluster, observations, leaving)
    if not peers:
        raise KprovError(
            "no control plane would be left",
            where=host.name,
            needed="a control plane that stays and answers, or `kprov down` without --limit for the whole cluster",
        )
    member, endpoints = _member(cluster, observations, host, leaving)
    node = host.name if host.is_node and host.name in _node_names(host, observations, peers) else ""
    return Farewell(host=host.name, peer=peers[0], node=node, member=member, endpoints=endpoints)


def _peers(cluster: Cluster, observations: Mapping[str, Observation], leaving: Sequence[str]) -> list[str]:
    """Control planes that stay and answered, those first whose API server listed the nodes."""
    names = [
        host.name for host in cluster.group("control_plane") if host.name not in leaving and host.name in observations
    ]
    return sorted(names, key=lambda name: observations[name].objects is None)


def _node_names(host: Host, observations: Mapping[str, Observation], peers: Sequence[str]) -> frozenset[str]:
    """Names of the nodes that are there."""
    objects = observations[peers[0]].objects
    if objects is None:
        raise KprovError(
            "no API server that stays could be asked for the host's node; nothing was changed",
            where=host.name,
            found=next((seen for seen in (observations[name].objects_error for name in peers) if seen), "no answer"),
            needed=f"an API server that answers on {' or '.join(peers)}",
            todo="repair the control plane first (kprov status, kprov up --limit), then run the same command again",
        )
    return frozenset(item["metadata"]["name"] for item in objects if item["kind"] == "Node")


def _member(
    cluster: Cluster, observations: Mapping[str, Observation], host: Host, leaving: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The id of the host's etcd member, empty when it has none, and whom to ask to remove it.

    Members that stay are believed first: one that was cut off from the others may know an older list.
    """
    staying = [peer.name for peer in cluster.group("etcd") if peer.name not in leaving]
    order = sorted(observations, key=lambda name: name not in staying)
    members = next((seen.etcd.members for seen in map(observations.__getitem__, order) if seen.etcd.members), None)
    if members is None:
        if host.in_group("etcd") and staying:
            raise KprovError(
                "no etcd member could be asked for the others; nothing was changed",
                where=host.name,
                needed=f"an etcd that answers on {' or '.join(staying)}",
                todo="repair etcd first (kprov status), then run the same command again",
            )
        return "", ()
    own = next((member for member in members if _is_of(member, cluster, observations, host)), None)
    if own is None:
        return "", ()
    endpoints = tuple(
        url.replace(f":{ETCD.port('peers')}", f":{ETCD.port('clients')}")
        for other in members
        if other is not own and other.name not in leaving and not other.learner
        for url in other.peer_urls
    )
    if not endpoints:
        raise KprovError(
            "no etcd member would be left", where=host.name, todo="keep one, or take the whole cluster down"
        )
    return own.id, endpoints


def _is_of(member: EtcdMember, cluster: Cluster, observations: Mapping[str, Observation], host: Host) -> bool:
    """A member that never started has no name: it is known by its URL."""
    if member.name:
        return member.name == etcd.member_name(host)
    return etcd.peer_url(host, cluster_facts(observations)) in member.peer_urls
