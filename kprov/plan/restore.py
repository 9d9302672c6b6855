"""Restoring a cluster from a backup: what it takes, what is lost with it, and in which order it is done. Pure.

API servers stop first and start last, so that nobody reads or writes data that is about to be another. Revisions go on
from the clock: whatever a client has seen, what it sees next is newer, also after a second restore of the same backup.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kprov.observe.observation import Observation
from kprov.values.backup import Manifest
from kprov.values.components import ETCD, KUBE_APISERVER
from kprov.values.errors import ApplyError, BackupError
from kprov.values.model import Cluster

_LEAST = 1_000_000_000  # what etcd's recovery guide advises
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_A_SECOND = 1_000  # more writes than a cluster makes for long


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop a unit on these hosts, all at once. kill: without waiting for what it has begun."""

    unit: str
    hosts: tuple[str, ...]
    kill: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """Let the members found etcd again out of the snapshot, and everything else of `kprov up` follow."""


@dataclass(frozen=True, kw_only=True)
class Proceed:
    """Do what is left to do, as `kprov up` does: etcd is restored."""


Step = Stop | Found | Proceed
Failures = Mapping[str, str]  # host → what went wrong there


def restoring(
    planes: Sequence[str], members: Sequence[str], *, serves: bool, founded: bool
) -> Generator[Step, Failures, None]:
    """Yield what is done, step by step; each is answered with the hosts on which it failed. Raises ApplyError.

    serves: whether etcd does: without it, API servers would wait a minute for answers before they stop.
    founded: whether an earlier try came to the point where etcd served again: then its data is not made again.
    """
    if founded:
        yield Proceed()
        return
    failures = yield Stop(unit=KUBE_APISERVER.unit, hosts=tuple(planes), kill=not serves)
    _refuse(failures, "an API server did not stop; no data was touched")
    failures = yield Stop(unit=ETCD.unit, hosts=tuple(members))
    _refuse(failures, "an etcd member did not stop; no data was touched")
    failures = yield Found()
    if not failures:
        # What the backup knows and the inventory does not, such as nodes of other hosts, is seen only now.
        yield Proceed()


def _refuse(failures: Failures, what: str) -> None:
    if failures:
        raise ApplyError(
            what,
            where=", ".join(failures),
            found="; ".join(dict.fromkeys(failures.values())),
            needed="every host that takes part to answer",
            todo="run the same command again; leave a host that is switched off out with --without",
        )


def revision_bump(manifest: Manifest, present: int, now: datetime) -> int:
    """Return how far revisions go on from the snapshot's: to one that no earlier life of this cluster had.

    That is what the clock says, whichever of its lives the snapshot is of. present: the newest that a member told of, 0
    when none did. Where the clock is behind it, what etcd's guide advises and the backup's age are laid on top.
    """
    clock = int((now - _EPOCH).total_seconds()) * _A_SECOND
    newest = max(manifest.snapshot.revision, present)
    if clock <= newest:
        clock = newest + _LEAST + int((now - manifest.made).total_seconds()) * _A_SECOND
    return clock - manifest.snapshot.revision


def refuse_absent(cluster: Cluster, reached: Collection[str], without: Collection[str]) -> None:
    """Raise BackupError unless each server is reached, or was said to be switched off, and enough are left."""
    servers = [host.name for host in cluster.hosts if host.groups & {"etcd", "control_plane"}]
    silent = [name for name in servers if name not in reached and name not in without]
    if silent:
        raise BackupError(
            "servers that do not answer might still serve the old data; nothing was touched",
            where=", ".join(silent),
            needed="every host of etcd and the control plane, or your word that it is switched off",
            todo=f"bring them back, or make sure that they are off and pass --without {','.join(silent)}",
        )
    for group, what in (("etcd", "etcd host"), ("control_plane", "control plane host")):
        if not any(host.name in reached and host.name not in without for host in cluster.group(group)):  # type: ignore[arg-type]
            raise BackupError(f"no {what} is left to restore to", needed="one at least", todo="bring one back")


def refuse_versions(manifest: Manifest, cluster: Cluster, where: str) -> None:
    """Raise BackupError for data of a newer minor than the inventory's programs read."""
    for name in ("etcd", "kubernetes"):
        old, new = (_minor(versions[name]) for versions in (manifest.versions, cluster.versions))
        if old > new or (name == "kubernetes" and new > (old[0], old[1] + 1)):
            raise BackupError(
                "the inventory's version does not fit the data in this backup",
                where=where,
                found=f"{name} {manifest.versions[name]} in the backup, {cluster.versions[name]} in the inventory",
                needed=f"{name} {old[0]}.{old[1]}",
                todo="write the version that the backup was taken with into the inventory; upgrade afterwards",
            )


def prospects(
    manifest: Manifest,
    observations: Mapping[str, Observation],
    members: Sequence[str],
    now: datetime,
    *,
    without: Sequence[str] = (),
) -> Iterator[str]:
    """Yield what will be done and what is lost, for whoever is asked. now: aware UTC. without: etcd hosts that are off."""
    snapshot = manifest.snapshot
    yield (
        f"etcd on {', '.join(members)} begins again with {snapshot.objects} objects, "
        f"as of {manifest.made:%Y-%m-%d %H:%M} UTC (revision {snapshot.revision}; taken for: {manifest.why})"
    )
    present = max((seen.etcd.revision for seen in observations.values()), default=0)
    ago = now - manifest.made
    since = f"{ago.days} days" if ago.days > 1 else f"{int(ago.total_seconds()) // 60} min"
    if present - snapshot.revision > _LEAST:
        yield f"LOST: whatever changed since then ({since} ago); the cluster was restored in between"
    elif present > snapshot.revision:
        yield (
            f"LOST: {present - snapshot.revision} changes since then ({since} ago), "
            f"revisions {snapshot.revision + 1} to {present}"
        )
    elif present:
        yield "nothing is lost that the members have: they are at the same revision"
    else:
        yield f"LOST: whatever changed since then ({since} ago); no member says how much that is"
    if any(seen.etcd.members for seen in observations.values()):
        yield "the cluster is alive: etcd serves at this moment"
    if len(without) > (len(members) + len(without)) // 2:
        yield (
            f"DANGER: {', '.join(without)} are most of the old members: switched on again, they serve the old data; "
            "remove /var/lib/etcd/member there before they can reach each other"
        )
    elif without:
        yield f"{', '.join(without)} must stay off until `kprov up` can bring {'it' if len(without) == 1 else 'them'} in"
    yield "API servers stop now and start when etcd serves again; containers go on running meanwhile"
    yield "what etcd has now is kept beside it, as /var/lib/etcd/before-…"


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
