"""What a backup is taken from, what is counted in it, and whether what came back is the same. Pure: it reads nothing.

Keys of etcd are those of Kubernetes: /registry/KIND/… of its own kinds, /registry/GROUP/KIND/… of all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kprov.observe.observation import Observation
from kprov.values.backup import Manifest, Snapshot
from kprov.values.certificate import Authority
from kprov.values.errors import BackupError
from kprov.values.model import Cluster

PREFIX = "/registry/"
SECRETS = f"{PREFIX}secrets/"
_SPLIT = frozenset({"services"})  # its own kinds are one level deeper: specs, endpoints


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a snapshot was found to be when it was restored for trial.

    secret: of the Secret that was read, its name; empty when there is none. readable: whether it opened.
    """

    hash: int
    revision: int
    keys: int
    counts: Mapping[str, int]
    secret: str = ""
    readable: bool = True


def kind_of(key: str) -> str:
    """Return the kind of object that a key is of, empty for keys of others."""
    first, _, rest = key.removeprefix(PREFIX).partition("/")
    if not key.startswith(PREFIX) or not rest:
        return ""
    return f"{first}/{rest.partition('/')[0]}" if "." in first or first in _SPLIT else first


def count(keys: Iterable[str]) -> dict[str, int]:
    """Return kind → number of objects."""
    found = Counter(kind_of(key) for key in keys)
    del found[""]
    return dict(sorted(found.items()))


def member_to_ask(cluster: Cluster, observations: Mapping[str, Observation], named: str = "") -> str:
    """Return the etcd host that gives the snapshot: one whose member answers and does not lead, if there is a choice.

    named: the only one that is to be asked. Raises BackupError.
    """
    hosts = [host.name for host in cluster.group("etcd") if host.name in observations]
    if named:
        return _named(named, hosts, observations)
    well = [name for name in hosts if observations[name].etcd.members and not observations[name].surroundings.etcd]
    full = [name for name in hosts if observations[name].etcd.members]
    if not full:
        raise BackupError(
            "no etcd member answers, so that no backup can be taken",
            found=", ".join(f"{name}: {_state(observations[name])}" for name in hosts) or "no etcd host was reached",
            needed="one healthy member",
            todo="look at `kprov status`; of one member alone, `kprov restore --from-member HOST` makes a cluster again",
        )
    return (well or full)[-1]


def _named(name: str, hosts: Sequence[str], observations: Mapping[str, Observation]) -> str:
    if name not in hosts or not observations[name].etcd.has_data:
        raise BackupError(
            f"there is no etcd member with data on {name}",
            found=", ".join(f"{host}: {_state(observations[host])}" for host in hosts) or "no etcd host was reached",
            needed="an etcd host with its data",
            todo="name one of those that have data",
        )
    return name


def _state(seen: Observation) -> str:
    if not seen.etcd.has_data:
        return "no data"
    unit = seen.units.get("etcd.service")
    return f"data, its unit is {unit}" if unit is not None else "data, and no unit"


def backup_reason(steps: Sequence[str], leaving: Sequence[str]) -> str:
    """Return for which of a run's deeds a backup is taken first; empty where none needs it.

    steps: what goes to another minor version, which cannot be taken back. leaving: members of etcd.
    """
    if steps:
        return f"before {', '.join(steps)}"
    if leaving:
        return f"before {', '.join(leaving)} {'leaves' if len(leaving) == 1 else 'leave'} etcd"
    return ""


def make_manifest(
    cluster: Cluster,
    identity: str,
    authorities: Mapping[Authority, str],
    member: str,
    members: Sequence[str],
    snapshot: Snapshot,
    *,
    why: str,
    now: datetime,
) -> Manifest:
    """Return what a backup says of itself. identity: the cluster's id; authorities: fingerprints; now: aware UTC."""
    return Manifest(
        cluster=cluster.name,
        cluster_id=identity,
        made=now.replace(microsecond=0),
        member=member,
        members=tuple(members),
        authorities=dict(authorities),
        versions={name: cluster.versions[name] for name in ("kubernetes", "etcd")},
        why=why,
        snapshot=snapshot,
    )


def refuse_foreign(manifest: Manifest, cluster: str, identity: str, where: str) -> None:
    """Raise BackupError for the backup of another cluster. where: the file."""
    if manifest.cluster_id != identity:
        raise BackupError(
            "this is a backup of another cluster",
            where=where,
            found=f"cluster {manifest.cluster}, identity {manifest.cluster_id}",
            needed=f"cluster {cluster}, identity {identity}",
            todo="name a backup of this cluster: `kprov backup list`",
        )


def disagreements(manifest: Manifest, found: Restored) -> Iterator[str]:
    """Yield what of a snapshot is not as its manifest says, in words; nothing where all is the same."""
    want = manifest.snapshot
    for what, old, new in (
        ("etcd's hash", want.hash, found.hash),
        ("the revision", want.revision, found.revision),
        ("the number of keys", want.keys, found.keys),
    ):
        if old != new:
            yield f"{what} is {new}, and was {old}"
    for kind in sorted({*want.counts, *found.counts}):
        old, new = want.counts.get(kind, 0), found.counts.get(kind, 0)
        if old != new:
            yield f"there are {new} of {kind}, and were {old}"
    if not found.readable:
        yield f"the Secret {found.secret} does not open with the encryption key of this backup"
