"""Backups that hosts of etcd took by themselves: which there are, and one of them brought here. It prints nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kprov.run.backup_places import brought, local, place_of
from kprov.run.workspace import Workspace
from kprov.state.backup_place import Put, kept, latest, made_at
from kprov.values.errors import BackupError, KprovError
from kprov.values.model import Host

_LIST_TIMEOUT = 60.0  # seconds
FETCH_TIMEOUT = 3600.0


@dataclass(frozen=True, kw_only=True)
class OnHost:
    """A backup in the folder of a host. made: aware UTC; size: bytes."""

    host: str
    name: str
    made: datetime
    size: int

    @property
    def word(self) -> str:
        """As commands take it."""
        return f"{self.host}:{self.name}"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """silent: hosts that could not be asked, and why."""

    backups: tuple[OnHost, ...]
    silent: tuple[KprovError, ...]


def on_hosts(workspace: Workspace) -> Listed:
    """Ask the hosts of etcd for the backups they have, the newest last. A share that several have tells each of them once."""
    cluster = workspace.cluster
    command = f"cd {shlex.quote(cluster.backup.folder)} 2> /dev/null && stat -c '%n %s' -- *.age 2> /dev/null || true"

    def one(host: Host) -> list[OnHost] | KprovError:
        try:
            with closing(workspace.transport.connect(host)) as session:
                answer = session.execute(command, timeout=_LIST_TIMEOUT).stdout
        except KprovError as error:
            return error
        return list(_rows(answer.decode(errors="replace").splitlines(), host.name, cluster.name))

    hosts = cluster.group("etcd")
    with ThreadPoolExecutor(max_workers=max(1, min(workspace.options.forks, len(hosts)))) as pool:
        answers = list(pool.map(one, hosts))
    found: dict[str, OnHost] = {}
    for answer in answers:
        for row in answer if isinstance(answer, list) else ():
            found.setdefault(row.name, row)
    return Listed(
        backups=tuple(sorted(found.values(), key=lambda row: row.made)),
        silent=tuple(answer for answer in answers if isinstance(answer, KprovError)),
    )


def newest(workspace: Workspace) -> Path:
    """Return the newest backup, brought here where hosts or a store have it.

    Raises BackupError when there is none, and as `bring` does.
    """
    place, cluster = place_of(workspace), workspace.cluster
    found = kept(place, cluster.name)
    there = on_hosts(workspace).backups if cluster.backup.every else ()
    if there and (not found or there[-1].made > found[-1].made):
        return bring(workspace, cluster.host(there[-1].host), there[-1].name)
    last = latest(place, cluster.name)
    return local(workspace, place, last.name, last.size)


def _rows(lines: Iterable[str], host: str, cluster: str) -> Iterable[OnHost]:
    for line in lines:
        name, _, size = line.rpartition(" ")
        made = made_at(name, cluster)
        if made is not None and size.isdigit():
            yield OnHost(host=host, name=name, made=made, size=int(size))


def split_word(workspace: Workspace, text: str) -> tuple[Host, str] | None:
    """Return host and name of `HOST:NAME`; None for a file of this computer."""
    name, colon, file = text.partition(":")
    host = next((one for one in workspace.cluster.group("etcd") if one.name == name), None)
    return (host, file) if colon and host is not None else None


def bring(workspace: Workspace, host: Host, name: str) -> Path:
    """Bring a backup of a host here, into the folder of backups; one that is here is taken as it is.

    It is encrypted, and read to its end before anything is done with it. Raises BackupError, LockedError, TransportError.
    """
    cluster = workspace.cluster
    if made_at(name, cluster.name) is None:
        raise BackupError(
            "this is no name of a backup of this cluster",
            where=f"{host.name}:{cluster.backup.folder}",
            found=name,
            todo="look at `kprov backup list`",
        )

    def fetch(put: Put) -> None:
        def each(data: bytes) -> None:
            put(data)

        with closing(workspace.transport.connect(host)) as session:
            session.fetch(f"{cluster.backup.folder}/{name}", each, timeout=FETCH_TIMEOUT)

    return brought(workspace, name, fetch)
