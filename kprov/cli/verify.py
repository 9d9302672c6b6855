"""`kprov verify`: the shipped checks against the machines themselves."""

from __future__ import annotations

from pathlib import Path

import click

from kprov.cli.options import FILE, Given, inventory_argument, state_options
from kprov.cli.work import passphrase_for
from kprov.inventory import load
from kprov.run.verify import run
from kprov.state.store import state_folder


@click.command()
@inventory_argument
@state_options
@click.option("--junit", type=FILE, metavar="FILE", help="Write a JUnit XML report.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def verify(
    inventory: Path,
    state_dir: Path | None,
    passphrase_file: Path | None,
    junit: Path | None,
    pytest_arguments: tuple[str, ...],
) -> int:
    """Check the machines and the cluster themselves.

    Looks at files, units, listeners, certificates, the API and what pods can reach, and trusts no report of kprov's.
    Changes nothing. What follows `--` goes to pytest: options, or files with checks of your own. Exit code 1 when a
    check failed.

    \b
    Examples:
      kprov verify inventory.yaml
      kprov verify inventory.yaml --junit report.xml -- -k dns -v
    """
    cluster = load(inventory).cluster
    folder = state_folder(inventory, cluster.name, state_dir)
    passphrase = passphrase_for(Given(inventory=inventory, passphrase_file=passphrase_file), folder)
    return run(inventory, junit=junit, arguments=pytest_arguments, state_dir=state_dir, passphrase=passphrase)
