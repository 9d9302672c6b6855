"""`kprov status`: the cluster as its hosts tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from kprov.addon.state import OFF, AddonStatus
from kprov.cli.exits import FAILED, State
from kprov.cli.options import Given, inventory_argument, state_options
from kprov.cli.work import opened
from kprov.report.columns import columns
from kprov.report.jsonlines import document
from kprov.report.words import age, size
from kprov.run.status import MISSING, BackupStatus, HostStatus, Status, ask


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
        found = ask(work.workspace)
        rotation = work.workspace.store.rotation
        if as_json:
            told = asdict(rotation) if rotation is not None else None
            click.echo(document({**asdict(found), "rotation": told, "good": found.good}))
        else:
            work.say(lines(found))
            if rotation is not None:
                work.say(["", f"{rotation}", "go on with it: kprov certs rotate INVENTORY"])
    return 0 if found.good else FAILED


def lines(found: Status) -> Iterator[str]:
    """The table as text: hosts and components, then etcd, API servers, nodes and add-ons."""
    head = ("HOST", "COMPONENT", "VERSION", "UNIT", "HEALTH", "CERTIFICATE")
    yield from columns([head, *(row for host in found.hosts for row in _rows(host))])
    for host in found.hosts:
        if host.error:
            yield f"{host.name} is unreachable: {host.error}"
        elif all(component.unit == MISSING for component in host.components):
            yield f"{host.name}: not managed by kprov"
    yield ""
    yield from columns(
        [*_etcd(found), *_api_servers(found), *_nodes(found), _backup(found.backup), *_timed(found.timed)]
    )
    if found.findings:
        yield ""
        for finding in found.findings:
            yield from f"{finding}".splitlines()
    if found.addons:
        yield ""
        yield from columns([("ADD-ON", "VERSION", "STATE"), *map(_addon, found.addons)])


def _rows(host: HostStatus) -> Iterator[tuple[str, ...]]:
    for one in host.components:
        expiry = "" if one.expires_in is None else f"{one.expires_in} days left"
        yield host.name, one.name, one.version, one.unit, one.health, expiry


def _etcd(found: Status) -> Iterator[tuple[str, ...]]:
    for member in found.members:
        yield "etcd", member.name, "leader" if member.leader else "learner" if member.learner else "follower"
    if not any(member.leader for member in found.members):
        yield "etcd", "no leader is known"


def _api_servers(found: Status) -> Iterator[tuple[str, ...]]:
    for name, ready in found.api_servers.items():
        yield "API server", name, "ready" if ready else "NOT READY"


def _nodes(found: Status) -> Iterator[tuple[str, ...]]:
    if found.nodes is None:
        yield "nodes", "no API server is reachable"
    for node in found.nodes or ():
        yield "node", node.name, "Ready" if node.ready else "NOT READY", node.version


def _backup(last: BackupStatus) -> tuple[str, ...]:
    if last.error:
        return "backup", "-", f"nobody can say: {last.error}"
    if not last.path:
        return "backup", "none", "take one: kprov backup INVENTORY"
    return "backup", f"{age(last.age)} ago", size(last.size), last.path


def _timed(last: BackupStatus | None) -> Iterator[tuple[str, ...]]:
    """That of hosts; what went wrong with the next one is among the findings."""
    if last is None:
        return
    if not last.path:
        yield "timed backup", "none", last.error or "the hosts have not taken one yet"
    else:
        yield "timed backup", f"{age(last.age)} ago", size(last.size), f"{last.host}:{last.path}"


def _addon(one: AddonStatus) -> tuple[str, ...]:
    state = "ready" if one.good else "NOT READY"
    if one.version == OFF:
        return one.name, "-", f"off: {one.reason}"
    return one.name, one.version or "-", f"{state}: {one.reason}" if one.reason else state
