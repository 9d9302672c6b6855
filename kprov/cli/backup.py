"""`kprov backup`: taking backups, listing and proving them, and the key that opens them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kprov.cli.access import write_private
from kprov.cli.backup_keeping import collect, prune
from kprov.cli.exits import DONE, FAILED, State
from kprov.cli.options import FILE, Given, host_options, inventory_argument, json_option, state_options
from kprov.cli.own_key import identity_option, key_text, new_passphrase
from kprov.cli.work import Work, opened
from kprov.report.columns import columns
from kprov.report.jsonlines import document
from kprov.report.words import age, size
from kprov.run import backup as run_backup
from kprov.run import backup_verify, host_backups
from kprov.run.backup_places import local, place_of
from kprov.state import backup_file
from kprov.state.backup_place import Kept, Place, kept, made_at
from kprov.state.sealed import lock_text, recipient_of
from kprov.values.backup import Manifest
from kprov.values.backup_place import NEEDED
from kprov.values.errors import BackupError


class _Backup(click.Group):
    """`kprov backup INVENTORY` takes one; the other words are commands."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["take", *args])

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("kprov backup", "[take] INVENTORY [OPTIONS] | list | verify | collect | prune | key …")


@click.group(cls=_Backup)
def backup() -> None:
    """Take, list and prove backups of a cluster: etcd's data, keys and inventory in one encrypted file.

    \b
    Examples:
      kprov backup inventory.yaml
      kprov backup inventory.yaml --to /mnt/backups
      kprov backup verify latest inventory.yaml
    """


backup.add_command(collect)
backup.add_command(prune)


@backup.command()
@inventory_argument
@host_options
@json_option
@click.option(
    "--to", metavar="PLACE", help=f"Where to write it: {NEEDED}; it must be there. Default: the inventory's backup.to."
)
@click.pass_obj
def take(state: State, /, inventory: Path, *, to: str | None, **options: Any) -> int:
    """Take a backup: a snapshot of etcd from a healthy member, the state folder, inventory and lock file.

    The cluster serves on, and nothing of it is changed. The file is encrypted for the key in the state folder, and for the
    recipients that the inventory names.

    \b
    Examples:
      kprov backup inventory.yaml
      kprov backup take inventory.yaml --to /mnt/backups
      kprov backup inventory.yaml --to sftp://backup@store.example.org/srv/backups
    """
    with opened(Given(inventory=inventory, **options), state, keep_log=False, quiet=True) as work:
        made = run_backup.backup(work.workspace, place_of(work.workspace, to))
        if work.given.json:
            click.echo(document({"path": made.where, "bytes": made.size, **summary(made.manifest)}))
        else:
            work.say(taken_lines(made))
    return DONE


def taken_lines(made: run_backup.Backup) -> Iterator[str]:
    """What a backup is, for people."""
    snapshot = made.manifest.snapshot
    yield f"backup {made.where}"
    yield (
        f"  {size(made.size)}, from {made.manifest.member}: revision {snapshot.revision}, "
        f"{snapshot.objects} objects of {len(snapshot.counts)} kinds"
    )


@backup.command(name="list")
@inventory_argument
@state_options
@identity_option
@click.option("--from", "source", metavar="PLACE", help=f"Where to look: {NEEDED}. Default: where they are written to.")
@json_option
@click.pass_obj
def list_backups(
    state: State, /, inventory: Path, *, identity: Path | None, source: str | None, json: bool, **options: Any
) -> int:
    """List the backups of a cluster, the newest last.

    Hosts are asked only where they take backups by themselves; what they have is named `HOST:FILE`, as `verify` and
    `kprov restore` take it.

    \b
    Example:
      kprov backup list inventory.yaml
    """
    with opened(Given(inventory=inventory, json=json, **options), state, keep_log=False, quiet=True) as work:
        place = place_of(work.workspace, source)
        found = kept(place, work.workspace.cluster.name)
        keys = backup_verify.identities(work.workspace, *key_text(identity)) if found else ()
        rows = [(one, _opened(place, one, keys)) for one in found]
        hosts = host_backups.on_hosts(work.workspace) if work.workspace.cluster.backup.every else None
        if json:
            there = {} if hosts is None else {"on_hosts": [_of_host(one) for one in hosts.backups]}
            click.echo(document({"folder": place.where(""), "backups": [_values(*row) for row in rows], **there}))
        elif not rows:
            work.say(f"no backup of cluster {work.workspace.cluster.name} in {place.where('')}")
        else:
            head = ("BACKUP", "AGE", "SIZE", "REVISION", "OBJECTS", "KUBERNETES", "TAKEN FOR")
            work.say(columns([head, *(_cells(*row) for row in rows)]))
            work.say(f"in {place.where('')}")
        if hosts is not None and not json:
            work.say(_on_hosts(work, hosts))
    return FAILED if any(isinstance(manifest, BackupError) for _, manifest in rows) else DONE


def _on_hosts(work: Work, found: host_backups.Listed) -> Iterator[str]:
    now = datetime.now(UTC)
    yield ""
    if found.backups:
        rows = [(one.word, age((now - one.made).total_seconds()), size(one.size)) for one in found.backups]
        yield from columns([("TAKEN BY THE HOSTS", "AGE", "SIZE"), *rows])
        yield f"in {work.workspace.cluster.backup.folder} there"
    else:
        yield "the hosts have not taken a backup yet"
    for error in found.silent:
        yield f"{error.where}: {error.what}"


def _of_host(one: host_backups.OnHost) -> dict[str, object]:
    return {"host": one.host, "name": one.name, "bytes": one.size, "made": one.made.isoformat()}


def _opened(place: Place, one: Kept, keys: Any) -> Manifest | BackupError:
    try:
        return backup_file.manifest_in(place.head(one.name, backup_file.HEAD), one.where, keys)
    except BackupError as error:
        return error


def _cells(one: Kept, manifest: Manifest | BackupError) -> tuple[str, ...]:
    head = (one.name, age((datetime.now(UTC) - one.made).total_seconds()), size(one.size))
    if isinstance(manifest, BackupError):
        return (*head, "-", "-", "-", manifest.what)
    snapshot = manifest.snapshot
    return (*head, str(snapshot.revision), str(snapshot.objects), manifest.versions["kubernetes"], manifest.why)


def _values(one: Kept, manifest: Manifest | BackupError) -> dict[str, object]:
    head = {"path": one.where, "bytes": one.size}
    if isinstance(manifest, BackupError):
        return {**head, "error": manifest.what}
    return {**head, **summary(manifest)}


def summary(manifest: Manifest) -> dict[str, object]:
    """What a backup says of itself, for programs."""
    return {
        "cluster": manifest.cluster,
        "made": manifest.made.isoformat(),
        "member": manifest.member,
        "members": list(manifest.members),
        "versions": dict(manifest.versions),
        "why": manifest.why,
        "revision": manifest.snapshot.revision,
        "hash": manifest.snapshot.hash,
        "objects": dict(manifest.snapshot.counts),
    }


def chosen(work: Work, text: str) -> Path:
    """The file that was named, brought here if it is a host's, or the newest one for `latest`. Raises BackupError."""
    there = host_backups.split_word(work.workspace, text) if "://" not in text else None
    if there is not None and not Path(text).exists():
        return host_backups.bring(work.workspace, *there)
    if text == "latest":
        return host_backups.newest(work.workspace)
    return Path(text) if Path(text).exists() else _from_a_store(work, text)


def _from_a_store(work: Work, text: str) -> Path:
    """A name that `list` shows, or a store's own with one; anything else is a path of a file."""
    beginning, slash, name = text.rpartition("/")
    if made_at(name, work.workspace.cluster.name) is None or (slash and "://" not in beginning):
        return Path(text)
    place = place_of(work.workspace, beginning or None)
    size = place.names().get(name)
    return Path(text) if size is None else local(work.workspace, place, name, size)


@backup.command()
@click.argument("file", metavar="FILE|latest")
@inventory_argument
@state_options
@identity_option
@json_option
@click.pass_obj
def verify(state: State, /, file: str, inventory: Path, *, identity: Path | None, json: bool, **options: Any) -> int:
    """Prove a backup: restore it into an etcd of its own on this computer, and compare.

    Compares etcd's hash, the revision and the objects of each kind with what was counted when it was taken, and opens a
    Secret with the encryption key in the backup. Asks no host. Exit code 1 when anything is not as it was.

    \b
    Examples:
      kprov backup verify latest inventory.yaml
      kprov backup verify /mnt/backups/prod-20261130T170000Z.kprov-backup.age inventory.yaml
    """
    with opened(Given(inventory=inventory, json=json, **options), state, keep_log=False, quiet=True) as work:
        keys = backup_verify.identities(work.workspace, *key_text(identity))
        found = backup_verify.verify(work.workspace, chosen(work, file), keys)
        if json:
            values = {
                "path": str(found.path),
                "good": found.good,
                "wrong": list(found.wrong),
                "missing": list(found.missing),
            }
            click.echo(document({**values, **summary(found.manifest)}))
        else:
            work.say(_proof(found))
    return DONE if found.good else FAILED


def _proof(found: backup_verify.Verified) -> Iterator[str]:
    snapshot, secret = found.manifest.snapshot, found.found.secret
    yield f"{found.path}"
    yield f"  taken {found.manifest.made:%Y-%m-%d %H:%M} UTC from {found.manifest.member}, for: {found.manifest.why}"
    if found.good:
        yield f"  restored for trial: revision {snapshot.revision}, hash {snapshot.hash:08x}, {snapshot.keys} keys"
        yield f"  {snapshot.objects} objects of {len(snapshot.counts)} kinds, as many as when it was taken"
        yield f"  the Secret {secret} opens with the key in it" if secret else "  there is no Secret in it"
    for sentence in found.wrong:
        yield f"  WRONG: {sentence}"
    for part in found.missing:
        yield f"  missing: {part}"


@backup.command()
@inventory_argument
@state_options
@click.option("-o", "--output", type=FILE, required=True, help="File to write it to, mode 0600.")
@click.option("--key-passphrase-file", type=FILE, help="File of mode 0600 with the passphrase of it; else it is asked.")
@click.pass_obj
def key(state: State, /, inventory: Path, *, output: Path, key_passphrase_file: Path | None, **options: Any) -> int:
    """Write the private key that opens this cluster's backups, encrypted with a passphrase.

    Keep it, and one backup, away from this computer: with both, `kprov restore` brings state folder and cluster back.

    \b
    Example:
      kprov backup key inventory.yaml -o prod-backups.key
    """
    with opened(Given(inventory=inventory, **options), state, keep_log=False, quiet=True) as work:
        run_backup.identity(work.workspace)
        texts = [key.reveal() for key in work.workspace.store.backup_keys()]
        for text in texts:
            state.redactor.learn(text)
        sealed = lock_text("".join(f"{text}\n" for text in texts), new_passphrase(key_passphrase_file).reveal())
        write_private(output, sealed.decode(), "the key")
        work.say([f"wrote {output}", *(f"  it opens backups for {recipient_of(text)}" for text in texts)])
    return DONE
