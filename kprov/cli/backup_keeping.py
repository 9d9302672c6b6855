"""`kprov backup collect` and `prune`: backups of hosts are copied to the place of backups, old ones leave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kprov.cli.exits import DONE, PARTLY, State
from kprov.cli.options import Given, host_options, inventory_argument, json_option, state_options, yes_option
from kprov.cli.work import confirmed, opened
from kprov.report.jsonlines import document
from kprov.run import backup_collect
from kprov.run.backup_places import place_of
from kprov.values.backup_place import NEEDED


@click.command()
@inventory_argument
@host_options
@json_option
@click.option("--to", metavar="PLACE", help=f"Where to copy them to: {NEEDED}. Default: the inventory's backup.to.")
@click.pass_obj
def collect(state: State, /, inventory: Path, *, to: str | None, **options: Any) -> int:
    """Copy the backups that hosts took by themselves to where yours are kept.

    Those that are there already are left alone; nothing is removed, here or on hosts. Exit code 3 when a host could not be
    asked.

    \b
    Examples:
      kprov backup collect inventory.yaml
      kprov backup collect inventory.yaml --to s3://cluster-backups/prod
    """
    with opened(Given(inventory=inventory, **options), state, keep_log=False, quiet=True) as work:
        place = place_of(work.workspace, to)
        done = backup_collect.collect(work.workspace, place)
        if work.given.json:
            silent = {error.where: error.what for error in done.silent}
            click.echo(document({"place": place.where(""), "new": list(done.new), "silent": silent}))
        else:
            work.say([f"copied {name}" for name in done.new] or "there is nothing new on the hosts")
            work.say(f"in {place.where('')}")
            work.say([f"{error.where}: {error.what}" for error in done.silent])
    return PARTLY if done.silent else DONE


@click.command()
@inventory_argument
@state_options
@json_option
@yes_option
@click.option("--from", "source", metavar="PLACE", help=f"Where to look: {NEEDED}. Default: the inventory's backup.to.")
@click.option("--dry-run", is_flag=True, help="Say which would go, and remove none.")
@click.pass_obj
def prune(
    state: State, /, inventory: Path, *, source: str | None, dry_run: bool, yes: bool, json: bool, **options: Any
) -> int:
    """Remove backups that no rule of `backup.keep` in the inventory keeps. The newest always stays.

    \b
    Examples:
      kprov backup prune inventory.yaml --dry-run
      kprov backup prune inventory.yaml --yes
    """
    with opened(Given(inventory=inventory, json=json, **options), state, keep_log=False, quiet=True) as work:
        place = place_of(work.workspace, source)
        found = backup_collect.outdated(work.workspace, place)
        if not json:
            word = "would go" if dry_run else "goes"
            work.say([f"{word}: {one.where}" for one in found] or "there is nothing that the rules do not keep")
        if found and not dry_run:
            confirmed("Remove them?", yes=yes, json=json)
            backup_collect.remove(work.workspace, place, found)
        if json:
            click.echo(document({"place": place.where(""), "removed": [one.name for one in found], "dry_run": dry_run}))
    return DONE
