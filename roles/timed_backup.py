"""Timed backups on hosts of etcd: the script, its unit, and the state folder's keys as they go into each backup: sealed.

A unit that stays up and looks, and no timer: any host must notice that the one whose turn it was did not take it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from kprov.roles.etcd import CLIENT_PORT, DATA, PKI
from kprov.roles.layout import program
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.backup import FORMAT
from kprov.values.context import Context, Timed
from kprov.values.paths import BACKUP_METRICS, BACKUP_WORK, BIN, KEPT_BACKUPS
from kprov.values.resources import Directory, File, Gate, Resource, Unit

FOLDER = "/etc/kprov/backup"
STATE = f"{FOLDER}/state.age"
SCRIPT = f"{BIN}/{components.TIMED_BACKUP.name}"
_RECORD = components.TIMED_BACKUP
_USER = "etcd"  # whose certificate asks etcd
_LOOKS = 20  # times an interval
_OFTEN, _SELDOM = 15, 300  # seconds between two looks, at least and at most


def resources(ctx: Context) -> Iterable[Resource]:
    timed = ctx.trust.timed
    if not ctx.cluster.backup.every or timed is None or not ctx.host.in_group("etcd"):
        return
    folder = ctx.cluster.backup.folder
    yield Directory(path=FOLDER, group=_USER, mode=0o750)
    yield File(path=STATE, content=timed.state, group=_USER, mode=0o640, secret=True)
    yield Directory(path=BACKUP_WORK, owner=_USER, group=_USER, mode=0o700, data=True)
    if folder == KEPT_BACKUPS:
        # No part of the cluster's data: backups are there for when that is gone, also by `down`.
        yield Directory(path=folder, owner=_USER, group=_USER, mode=0o700)
    yield program(ctx, "age")
    yield File(path=SCRIPT, content=_script(ctx, timed), mode=0o755)
    yield Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "backup/kprov-backup.service.j2",
            program=SCRIPT,
            write_paths=[BACKUP_WORK, folder if folder == KEPT_BACKUPS else f"-{folder}"],
        ),
        reads=frozenset({SCRIPT}),
        gates=(Gate(kind="active", argument=_RECORD.unit),),
    )


def _script(ctx: Context, timed: Timed) -> bytes:
    every = ctx.cluster.backup.every
    look = min(max(every // _LOOKS, _OFTEN), _SELDOM)
    hosts = [host.name for host in ctx.cluster.group("etcd")]
    head, tail = _manifest(ctx, timed, hosts)
    return render(
        ctx.cluster.templates_dir,
        "backup/kprov-backup.sh.j2",
        bin=BIN,
        host=ctx.host.name,
        cluster=ctx.cluster.name,
        folder=ctx.cluster.backup.folder,
        work=BACKUP_WORK,
        metrics=BACKUP_METRICS,
        state=STATE,
        every=every,
        look=look,
        # The first one takes it while it is well: the others look later than it does.
        late=5 + hosts.index(ctx.host.name) * look // len(hosts),
        keep=asdict(ctx.cluster.backup.keep),
        head=head,
        tail=tail,
        port=CLIENT_PORT,
        pki=PKI,
        client=components.ETCD.leaf("etcd-healthcheck-client"),
        data=DATA,
        recipients=timed.recipients,
    )


def _manifest(ctx: Context, timed: Timed, members: list[str]) -> tuple[str, str]:
    """The manifest's text before and after what only the host can say: an object without its end, and that end."""
    versions = {name: ctx.cluster.versions[name] for name in ("kubernetes", "etcd")}
    known = {
        "format": FORMAT,
        "cluster": ctx.cluster.name,
        "cluster_id": timed.cluster_id,
        "members": members,
        "authorities": dict(timed.authorities),
        "versions": versions,
        "why": "taken by the hosts",
    }
    return f"{json.dumps(known)[:-1]}, ", "}"
