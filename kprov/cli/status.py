"""`kprov status`: the cluster as its hosts tell of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from kprov.cli.exits import FAILED, State
from kprov.cli.options import Given, inventory_argument, state_options
from kprov.cli.work import opened
from kprov.status import ComponentStatus, HostStatus, Status, summarize


@click.command()
@inventory_argument
@state_options
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
@click.pass_obj
def status(
    state: State, inventory: Path, state_dir: Path | None, passphrase_file: Path | None, *, as_json: bool
) -> int:
    """Show versions, units, health and expiry of a cluster.

    Asks every host once and changes nothing. Exit code 1 when something is not as it should be.

    \b
    Examples:
      kprov status inventory.yaml
      kprov status inventory.yaml --json
    """
    given = Given(inventory=inventory, state_dir=state_dir, passphrase_file=passphrase_file, json=as_json)
    with opened(given, state, keep_log=False, quiet=True) as work:
        fleet = work.operator.look(work.cluster, work.store)
        found = summarize(work.cluster, fleet.observations, fleet.failures, datetime.now(UTC))
        if as_json:
            click.echo(json.dumps({**asdict(found), "good": found.good}, indent=2))
        else:
            work.say(lines(found))
    return 0 if found.good else FAILED


def lines(found: Status) -> Iterator[str]:
    """The table as text: hosts and components, then etcd, API servers and nodes."""
    yield f"{'HOST':<16}{'COMPONENT':<26}{'VERSION':<12}{'UNIT':<10}{'HEALTH':<10}CERTIFICATE"
    for host in found.hosts:
        yield from _host(host)
    yield ""
    for member in found.members:
        role = "leader" if member.leader else "learner" if member.learner else "follower"
        yield f"etcd        {member.name:<16}{role}"
    for name, ready in found.api_servers.items():
        yield f"API server  {name:<16}{'ready' if ready else 'NOT READY'}"
    if found.nodes is None:
        yield "nodes       no API server could be asked"
    for node in found.nodes or ():
        yield f"node        {node.name:<16}{'Ready' if node.ready else 'NOT READY':<10}{node.version}"


def _host(host: HostStatus) -> Iterator[str]:
    if host.error:
        yield f"{host.name:<16}could not be asked: {host.error}"
    elif not host.components:
        yield f"{host.name:<16}nothing of kprov's is here"
    for component in host.components:
        yield f"{host.name:<16}{_component(component)}"


def _component(component: ComponentStatus) -> str:
    expiry = "" if component.expires_in is None else f"{component.expires_in} days left"
    return f"{component.name:<26}{component.version:<12}{component.unit:<10}{component.health:<10}{expiry}".rstrip()
