"""`kprov restore`: a cluster out of a backup, or out of the one member that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kprov.cli.apply import confirm_possible, ended
from kprov.cli.backup import chosen, taken_lines
from kprov.cli.exits import DONE, State
from kprov.cli.options import Given, host_options, json_option, yes_option
from kprov.cli.own_key import identity_option, key_text
from kprov.cli.work import Work, confirmed, opened
from kprov.run import backup_verify
from kprov.run import restore as run_restore
from kprov.run.backup_places import local
from kprov.run.one_member import from_member as from_member_alone
from kprov.state.restore_record import read_record
from kprov.values.errors import KprovError
from kprov.values.events import Note


@click.command()
@click.argument("words", nargs=-1, metavar="[FILE|latest] INVENTORY")
@host_options
@identity_option
@click.option("--from-member", metavar="HOST", help="Instead of a backup: the data that this one etcd host has.")
@click.option("--without", metavar="HOST,HOST", help="Servers that are switched off; `kprov up` brings them in later.")
@click.option("--state-only", is_flag=True, help="Only bring back a state folder that is lost; no host is asked.")
@click.option("--no-backup", is_flag=True, help="Do not back up what is there now.")
@json_option
@yes_option
@click.pass_obj
def restore(
    state: State,
    /,
    words: tuple[str, ...],
    *,
    identity: Path | None,
    from_member: str | None,
    without: str | None,
    state_only: bool,
    no_backup: bool,
    yes: bool,
    **options: Any,
) -> int:
    """Bring a cluster back to a backup.

    Says what is lost, asks, stops API servers and etcd, restores etcd's data on every etcd host, and goes on as `kprov up`
    does; API servers start last. Containers go on running. What etcd had is kept beside it. The same command goes on where
    one was cut off. On a new computer it brings the state folder back too.

    \b
    Examples:
      kprov restore latest inventory.yaml
      kprov restore prod-20261130T170000Z.kprov-backup.age inventory.yaml --identity prod-backups.key
      kprov restore prod-20261130T170000Z.kprov-backup.age inventory.yaml --identity prod-backups.key --state-only
      kprov restore --from-member cp2 --without cp1,cp3 inventory.yaml
    """
    file, inventory = _arguments(words, from_member)
    given = Given(inventory=inventory, **options)
    if not state_only:
        confirm_possible(yes=yes, for_program=given.json)
    began = time.monotonic()
    absent = frozenset(name.strip() for name in (without or "").split(",") if name.strip())
    with opened(given, state, keep_log=True) as work:
        _check_names(work, absent | ({from_member} if from_member else set()))
        keys = backup_verify.identities(work.workspace, *key_text(identity))
        path = _path(work, file, from_member)
        adopted = run_restore.adopt_folder(work.workspace, path, keys)
        if adopted:
            work.hub.emit(Note(text=f"the state folder {work.workspace.store.path} came back from the backup"))
        if state_only:
            return _kept_state(work, adopted=adopted)
        with run_restore.intend(work.workspace, path, keys, absent) as intended:
            work.say([f"restore {path}", *(f"  {sentence}" for sentence in intended.prospects)])
            confirmed("Go on?", yes=yes, json=given.json)
            done = run_restore.restore(intended, backup_first=not no_backup)
        work.say(_after(done))
        return ended(work, done.plan, time.monotonic() - began)


def _kept_state(work: Work, *, adopted: bool) -> int:
    if not adopted:
        raise KprovError(
            "there is a state folder, which is never replaced",
            where=str(work.workspace.store.path),
            todo="move it away first, if the one in the backup is the right one",
        )
    return DONE


def _arguments(words: tuple[str, ...], from_member: str | None) -> tuple[str, Path]:
    wanted = 1 if from_member else 2
    if len(words) != wanted:
        raise click.UsageError("write INVENTORY alone with --from-member, and FILE INVENTORY without it")
    inventory = Path(words[-1])
    return ("" if from_member else words[0]), inventory


def _check_names(work: Work, names: frozenset[str]) -> None:
    known = [host.name for host in work.workspace.cluster.hosts]
    for name in sorted(names):
        if name not in known:
            raise KprovError("there is no such host", found=name, needed=f"one of {', '.join(known)}")


def _path(work: Work, file: str, from_member: str | None) -> Path:
    """The backup: the one that was named, or one of the member's data. Of a restore that was cut off, the one it is of."""
    record = read_record(work.workspace.store.path)
    if record is not None and file in ("", "latest"):
        return Path(record.file)
    if from_member is None:
        return chosen(work, file)
    made = from_member_alone(work.workspace, from_member)
    work.say(taken_lines(made))
    return local(work.workspace, made.place, made.name, made.size)


def _after(done: run_restore.Restored) -> Iterator[str]:
    if done.before is not None:
        yield f"what was there before: {done.before.where}"
    if done.absent:
        yield f"not there: {', '.join(done.absent)}; `kprov up` brings them in when they are back"
    if not done.failures:
        yield "etcd's data of before is in /var/lib/etcd/before-… on its hosts; remove it when you are sure"
