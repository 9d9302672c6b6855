"""`kprov probe`: how a cluster serves while a command runs: a table of what its users would have met."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from kprov.cli.exits import DONE, FAILED, State
from kprov.cli.options import Given, inventory_argument, json_option, state_options
from kprov.cli.work import opened
from kprov.plan.probe_judge import faults, markdown, table, values
from kprov.report.columns import columns
from kprov.report.jsonlines import document
from kprov.run.probe import probe as run_probe
from kprov.run.probe_lanes import Bounds
from kprov.values.errors import KprovError


@click.command(context_settings={"ignore_unknown_options": True})
@inventory_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@state_options
@click.option(
    "--rate", type=click.IntRange(1, 50), default=10, show_default=True, help="Requests a second of each kind."
)
@click.option(
    "--patience", type=click.FloatRange(0, 600), default=2.0, show_default=True,
    help="Seconds that a client asks again before a request has failed.",
)  # fmt: skip
@click.option(
    "--most", type=click.IntRange(1, 1440), default=120, show_default=True, help="Minutes that it asks at most."
)
@click.option("--markdown", "page", is_flag=True, help="Write the table as Markdown.")
@json_option
@click.pass_obj
def probe(
    state: State,
    inventory: Path,
    command: tuple[str, ...],
    state_dir: Path | None,
    passphrase_file: Path | None,
    *,
    rate: int,
    patience: float,
    most: int,
    page: bool,
    json: bool,
) -> int:
    """Ask a cluster what its users ask, all the time that a command runs.

    Reads and writes of ConfigMaps through every API server and through each node's local proxy, a watch, HTTP through a
    Service to two pods, names, and pods that use their tokens. In the end etcd itself is asked for what was acknowledged.
    It makes the namespace kprov-probe for this and takes it away again. Exit code 0: the command ended well, no request
    failed and nothing is lost; else 1.

    \b
    Examples:
      kprov probe inventory.yaml -- kprov up inventory.yaml --yes
      kprov probe inventory.yaml --patience 60 --json -- sleep 60
    """
    given = Given(inventory=inventory, state_dir=state_dir, passphrase_file=passphrase_file, json=json)
    with opened(given, state, keep_log=False, quiet=True) as work:
        if not work.workspace.store.exists:
            raise KprovError("there is no cluster to ask", where=str(work.workspace.store.path), todo="run `kprov up`")

        def run() -> int:
            try:
                # What it prints must not mix with the table that programs read.
                return subprocess.run(command, stdout=sys.stderr if json or page else None, check=False).returncode
            except OSError as error:
                raise KprovError("the command cannot be run", where=command[0], found=error.strerror or "") from None

        status, rows = run_probe(work.workspace, Bounds(rate=rate, patience=patience, most=most * 60.0), run)
    found = faults(rows)
    if json:
        click.echo(document({"command": status, "passed": not found, "faults": found, "probe": values(rows)}))
    else:
        click.echo(markdown(rows) if page else "\n".join(columns(table(rows))))
        for line in (*found, *([f"the command ended with {status}"] if status else [])):
            click.echo(line, err=True)
    return FAILED if found or status else DONE
