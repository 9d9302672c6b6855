"""Whether etcd can still decide anything, and what leads out where it cannot. Pure.

A member that has lost its majority goes on running and answers for itself alone; nothing is written any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kprov.observe.observation import Observation
from kprov.plan.etcd import Peer
from kprov.plan.findings import Finding
from kprov.values.components import ETCD, KUBELET
from kprov.values.errors import ApplyError, PreflightError
from kprov.values.model import Cluster

NAME = "EtcdQuorum"


def quorum_finding(
    cluster: Cluster, observations: Mapping[str, Observation], unreachable: Collection[str]
) -> Finding | None:
    """Return the finding of a cluster whose etcd has no quorum; None where it has one, or was never made.

    The member with the newest data is named, as far as it was asked.
    """
    hosts = [host.name for host in cluster.group("etcd")]
    seen = {name: observations[name] for name in hosts if name in observations}
    if not any(one.stamps.get(ETCD.unit) or one.etcd.has_data for one in seen.values() if one.records):
        return None
    # An API server that lists objects has asked etcd, also where the client that lists members is gone.
    if any(one.etcd.members for one in seen.values()) or any(one.objects is not None for one in observations.values()):
        return None
    states = {name: _state(seen[name]) if name in seen else "unreachable" for name in hosts}
    return Finding(
        name=NAME,
        host="etcd",
        what=f"no quorum, so that nothing can be read or changed: {_listed(states)}",
        todo=_way_out(hosts, seen, [name for name in hosts if name in unreachable or name not in seen]),
    )


def refuse_lost_quorum(cluster: Cluster, observations: Mapping[str, Observation], unreachable: Collection[str]) -> None:
    """Raise PreflightError where no run can bring the quorum back: too few members have data and can be reached."""
    finding = quorum_finding(cluster, observations, unreachable)
    hosts = [host.name for host in cluster.group("etcd")]
    able = [name for name in hosts if name in observations and observations[name].etcd.has_data]
    if finding is not None and len(able) <= len(hosts) // 2:
        raise PreflightError(f"etcd has {finding.what}; nothing was touched", todo=finding.todo)


def refuse_new_beginning(observations: Mapping[str, Observation], peers: Sequence[Peer]) -> None:
    """Raise ApplyError when every member lost its data, or none of those that are desired ever had it: founding anew would
    begin an empty cluster in silence, beside the one that lives.
    """
    seen = [(peer.name, observations[peer.name]) for peer in peers if peer.name in observations]
    if len(seen) == len(peers) and not any(one.etcd.has_data or one.etcd.members for _, one in seen):
        _refuse_to_leave_all(observations, [peer.name for peer in peers])
    served = [name for name, one in seen if ETCD.unit in one.stamps and not one.etcd.has_data]
    if served and not any(one.etcd.has_data or one.etcd.members for _, one in seen):
        raise ApplyError(
            "the data of all etcd members is gone; nothing was touched",
            where=", ".join(served),
            found="etcd has served there, and there is no /var/lib/etcd/member",
            needed="a backup to begin with again, or hosts that kprov has not made a cluster of",
            todo="`kprov restore latest INVENTORY`; or, for a new and empty cluster, `kprov down INVENTORY` first",
        )


def _refuse_to_leave_all(observations: Mapping[str, Observation], names: Sequence[str]) -> None:
    elsewhere = [
        name for name, one in observations.items() if name not in names and (one.etcd.has_data or one.etcd.members)
    ]
    if elsewhere:
        raise ApplyError(
            "an empty etcd would take the place of the one that lives; nothing was touched",
            where=", ".join(names),
            found=f"the cluster's data on {', '.join(elsewhere)}, and none on these",
            needed="members that stay while others join: each gets the data from those before it",
            todo=f"let {', '.join(elsewhere)} stay in the group etcd beside {', '.join(names)} and run `kprov up`; when that "
            "is done, take out of the group what is to leave, and run it again",
        )
    lived = [name for name, one in observations.items() if KUBELET.unit in one.stamps]
    if lived and not any(ETCD.unit in observations[name].stamps for name in names):
        raise ApplyError(
            "an empty cluster would take the place of the one that these nodes are of; nothing was touched",
            where=", ".join(names),
            found=f"kubelet has served on {', '.join(lived)}, and no host of the inventory has its etcd",
            needed="the hosts with that cluster's etcd in the inventory",
            todo="write them again; where they are lost, `kprov restore latest INVENTORY`; for a new and empty cluster, "
            f"first `kprov down --limit {','.join(lived)}`",
        )


def newest(observations: Mapping[str, Observation], hosts: Sequence[str]) -> str:
    """Return the host with the newest data of those that have some, as far as they said; empty when none has."""
    holders = [name for name in hosts if name in observations and observations[name].etcd.has_data]
    return max(holders, key=lambda name: observations[name].etcd.revision, default="")


def _state(seen: Observation) -> str:
    if not seen.etcd.has_data:
        return "its data is gone"
    state = seen.units.get(ETCD.unit)
    if state is None or not state.running:
        return f"has data, and is not running ({state or 'no unit'})"
    return f"runs, at revision {seen.etcd.revision}" if seen.etcd.revision else "runs"


def _listed(states: Mapping[str, str]) -> str:
    return "; ".join(
        f"{name} {state}" if state != "unreachable" else f"{name} is unreachable" for name, state in states.items()
    )


def _way_out(hosts: Sequence[str], seen: Mapping[str, Observation], away: Sequence[str]) -> str:
    holders = [name for name in hosts if name in seen and seen[name].etcd.has_data]
    needed = len(hosts) // 2 + 1
    if len(holders) >= needed:
        return "look at `journalctl -u etcd -n 50` on them; `kprov up` starts members that are stopped"
    ways = []
    if len(holders) + len(away) >= needed:
        ways.append(f"bring {' and '.join(away)} back")
    without = f" --without {','.join(away)}" if away else ""
    if alone := newest(seen, hosts):
        ways.append(f"keep what {alone} has with `kprov restore --from-member {alone}{without} INVENTORY`")
    ways.append(f"go back to a backup with `kprov restore latest{without} INVENTORY`")
    return "; or ".join(ways)
