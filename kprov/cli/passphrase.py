"""`kprov passphrase`: encrypts the keys in the state folder, changes what opens them, or leaves them plain again."""

from __future__ import annotations

from pathlib import Path

import click

from kprov.cli.options import FILE, Given, inventory_argument, read_passphrase, state_options
from kprov.cli.work import can_ask, passphrase_for
from kprov.inventory import load
from kprov.state.store import Store, state_folder
from kprov.values.errors import KprovError
from kprov.values.secret import Secret


@click.command()
@inventory_argument
@state_options
@click.option("--new-passphrase-file", type=FILE, help="File of mode 0600 with the new passphrase; else it is asked.")
@click.option("--remove", is_flag=True, help="Leave the keys unencrypted.")
def passphrase(
    inventory: Path,
    state_dir: Path | None,
    passphrase_file: Path | None,
    *,
    new_passphrase_file: Path | None,
    remove: bool,
) -> None:
    """Set, change or remove the passphrase of the cluster's keys.

    The keys themselves stay the same, and no host is asked. Copies of the state folder that were made before still open
    with the old passphrase.

    \b
    Examples:
      kprov passphrase inventory.yaml
      kprov passphrase inventory.yaml --new-passphrase-file new.txt
      kprov passphrase inventory.yaml --remove
    """
    if remove and new_passphrase_file is not None:
        raise KprovError(
            "a passphrase cannot be set and removed at once",
            found="--remove and --new-passphrase-file",
            needed="one of them",
        )
    cluster = load(inventory).cluster
    folder = state_folder(inventory, cluster.name, state_dir)
    given = Given(inventory=inventory, passphrase_file=passphrase_file)
    store = Store.open(folder, cluster.name, passphrase_for(given, folder))
    sealed = Store.is_sealed(folder)
    store.trust()  # what is given opens the keys: say so before a new passphrase is asked for
    new = None if remove else _new(new_passphrase_file)
    with store.lock("kprov passphrase"):
        store.change_passphrase(new)
    if remove:
        click.echo(
            f"The keys in {folder} are not encrypted any more."
            if sealed
            else f"The keys in {folder} had no passphrase."
        )
    else:
        click.echo(f"The passphrase of the keys in {folder} is {'changed' if sealed else 'set'}.")


def _new(file: Path | None) -> Secret:
    """Raises KprovError without a terminal to ask at, and for an empty passphrase."""
    if file is not None:
        return read_passphrase(file)
    if not can_ask():
        raise KprovError(
            "a new passphrase is required, but no terminal is attached; nothing was changed",
            needed="a terminal, or a file with the new passphrase",
            todo="pass --new-passphrase-file",
        )
    return Secret(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))
