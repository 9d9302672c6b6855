"""`kprov adopt`: goes on with a cluster whose state folder is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kprov.cli.apply import confirm_possible
from kprov.cli.exits import DONE, State
from kprov.cli.options import Given, host_options, inventory_argument, json_option, yes_option
from kprov.cli.work import Work, confirmed, opened
from kprov.plan.adoption import Adopted
from kprov.report.jsonlines import object_line
from kprov.run import adopt as run_adopt


@click.command()
@inventory_argument
@host_options
@json_option
@yes_option
@click.pass_obj
def adopt(state: State, /, inventory: Path, *, yes: bool, **options: Any) -> int:
    """Make a state folder for a cluster whose own is lost.

    Reads from the hosts what they hold: the CAs' certificates, the keys of service accounts and of encryption, members,
    versions and networks, which the inventory must agree with. No host is changed. The private keys of the CAs are lost with
    the folder: new CAs are made, which `kprov up` makes all hosts trust beside the old ones before it issues by them.
    With a backup, bring the folder back instead: `kprov restore FILE INVENTORY --state-only`.

    \b
    Examples:
      kprov adopt inventory.yaml
      kprov adopt inventory.yaml --yes && kprov certs rotate inventory.yaml
    """
    given = Given(inventory=inventory, **options)
    confirm_possible(yes=yes, for_program=given.json)
    with opened(given, state, keep_log=False) as work:
        adopted = run_adopt.look(work.workspace)
        work.say([f"cluster {work.workspace.cluster.name}", *(f"  {line}" for line in adopted.lines)])
        confirmed("Make a state folder out of this?", yes=yes, json=given.json)
        run_adopt.keep(work.workspace, adopted)
        if given.json:
            click.echo(object_line("adopted", {"folder": str(work.workspace.store.path), "read": adopted.lines}))
        work.say(_next(work, adopted))
    return DONE


def _next(work: Work, adopted: Adopted) -> Iterator[str]:
    yield f"made the state folder {work.workspace.store.path}"
    if work.workspace.store.rotation is None:
        yield "next: `kprov plan`: all CAs are your own, and nothing has to be replaced"
    elif adopted.ended:
        yield "next: `kprov up`: certificates that no longer serve are issued by the new CAs at once; then"
        yield "  `kprov certs rotate INVENTORY` drops the old ones"
    else:
        yield f"next, before {adopted.first_end:%Y-%m-%d %H:%M} UTC: `kprov certs rotate INVENTORY`, which brings the new CAs"
        yield "  to all hosts, gives every certificate anew and drops the old CAs; until then nothing new can be issued"
    yield "what else was in the folder is gone: the list of kubeconfigs that were given out, and the key of old backups"
    yield "take a backup, and its key (`kprov backup key`) to another place"
