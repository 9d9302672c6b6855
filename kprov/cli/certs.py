"""`kprov certs`: every certificate of a cluster, when it ends and why it would be renewed; and new keys before that."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import click

from kprov.cli.apply import confirm_possible, run_up
from kprov.cli.exits import FAILED, State
from kprov.cli.options import (
    Given,
    backup_option,
    host_options,
    inventory_argument,
    json_option,
    state_options,
    yes_option,
)
from kprov.cli.rotation import Asked, carry_out, preview
from kprov.cli.work import Work, opened
from kprov.pki.listing import CertificateRow, authority_rows, certificate_rows, secret_rows
from kprov.pki.table import TREE
from kprov.plan.own_authority import all_kinds
from kprov.report.columns import columns
from kprov.report.jsonlines import document
from kprov.run.certificate_list import desired_certificates, secret_certificates
from kprov.run.status import look
from kprov.values.certificate import Renewal
from kprov.values.errors import KprovError
from kprov.values.events import Note
from kprov.values.rotation import KINDS, TITLES, Kind
from kprov.values.spelling import did_you_mean


@click.group()
def certs() -> None:
    """Certificates and when they expire."""


@certs.command(name="list")
@inventory_argument
@state_options
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
@click.pass_obj
def list_certificates(
    state: State, inventory: Path, state_dir: Path | None, passphrase_file: Path | None, *, as_json: bool
) -> int:
    """List all certificates: the CAs, what the hosts have, and what add-ons have in Secrets.

    Asks every host once and changes nothing; nothing is downloaded or built. Exit code 1 when a host could not be
    asked, or the cluster has no certificates yet.

    \b
    Example:
      kprov certs list inventory.yaml
    """
    given = Given(inventory=inventory, state_dir=state_dir, passphrase_file=passphrase_file, json=as_json)
    with opened(given, state, keep_log=False, quiet=True) as work:
        now = datetime.now(UTC)
        fleet = look(work.workspace)
        for error in fleet.failures.values():
            click.echo(state.redactor.clean(str(error)), err=True)
        desired = desired_certificates(work.workspace, fleet)
        observed = {name: seen.texts for name, seen in fleet.observations.items()}
        secrets = secret_certificates(work.workspace, fleet, now)
        if secrets is None and any(addon.description.certificates for addon in work.workspace.cluster.addons):
            click.echo("no API server is reachable: certificates of add-ons are not in the list", err=True)
        rows = [
            *authority_rows(work.workspace.store.ca, now),
            *certificate_rows(desired, observed, work.workspace.store.ca, now),
            *secret_rows(secrets or (), now),
        ]
        if as_json:
            rotation = work.workspace.store.rotation
            told = asdict(rotation) if rotation is not None else None
            click.echo(document({"certificates": [_values(row) for row in rows], "rotation": told}))
        else:
            if work.workspace.store.rotation is not None:
                work.say([f"{work.workspace.store.rotation}", ""])
            head = ("HOST", "NAME", "EXPIRES", "DAYS", "RENEWAL", "PATH")
            work.say(columns([head, *map(_cells, rows)]))
    return FAILED if fleet.failures else 0


@certs.command()
@inventory_argument
@click.argument("names", nargs=-1, metavar="[NAME|HOST|ADD-ON]...")
@host_options
@json_option
@yes_option
@click.option("--all", "everything", is_flag=True, help="All of them: every host's, and those of add-ons.")
@click.pass_obj
def renew(
    state: State, /, inventory: Path, names: tuple[str, ...], *, everything: bool, yes: bool, **options: Any
) -> int:
    """Give certificates new keys before they end, as after a key has leaked.

    NAME is one that `kprov certs list` shows, HOST means all of that host's. It is a `kprov up` in which these certificates
    are issued again: what reads them restarts, one host after the other where they serve together. The CAs stay, so that
    the old certificates stay valid until they end: against whoever holds an old key of a client only a new CA helps (rotate).

    \b
    Examples:
      kprov certs renew inventory.yaml etcd-peer
      kprov certs renew inventory.yaml cp1
      kprov certs renew inventory.yaml --all --yes
    """
    if everything == bool(names):
        raise click.UsageError("name certificates, hosts or add-ons, or pass --all")
    given = Given(inventory=inventory, renew=Renewal(names=frozenset(names), everything=everything), **options)
    return run_up(state, given, yes=yes, check=partial(_refuse_unknown, names))


@certs.command()
@inventory_argument
@click.argument("kind", required=False, metavar="[KIND]", type=click.Choice([*KINDS, "all"]))
@host_options
@backup_option
@json_option
@yes_option
@click.option("--stop-after", type=click.Choice(["trust", "issue"]), help="End when this phase is on all hosts.")
@click.option("--back", is_flag=True, help="Take the rotation back; possible until the old one is dropped.")
@click.option("--wait", is_flag=True, help="Wait here for what pods still hold, up to an hour and more.")
@click.option("--now", is_flag=True, help="Do not wait for what pods still hold: what is listed breaks.")
@click.option("--restart-pods", is_flag=True, help="Restart users' workloads too, where they must read a new CA.")
@click.option("--dry-run", is_flag=True, help="Show what the next phase would change, and change nothing.")
@click.pass_obj
def rotate(
    state: State,
    /,
    inventory: Path,
    kind: str | None,
    *,
    stop_after: str | None,
    back: bool,
    now: bool,
    wait: bool,
    restart_pods: bool,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> int:
    """Replace CAs and keys of a living cluster by new ones, without an outage.

    KIND is kubernetes, etcd, front-proxy, service-account, encryption, backups or all; leave it out to go on with what
    has begun. It goes in phases: the new one is trusted beside the old one; the new one signs; the old one is dropped.
    Each phase is an ordinary `kprov up` of all hosts, and stands in the state folder. Where pods still hold what is old, it
    ends and says until when; the same command goes on from there. --wait stays until then.

    \b
    Examples:
      kprov certs rotate inventory.yaml etcd --dry-run
      kprov certs rotate inventory.yaml all --stop-after trust
      kprov certs rotate inventory.yaml --back
    """
    given = Given(inventory=inventory, **options)
    if given.limit is not None:
        raise click.UsageError("a phase is for all hosts: leave --limit out")
    if not dry_run:
        confirm_possible(yes=yes, for_program=given.json)
    with opened(given, state, keep_log=not dry_run, quiet=dry_run and given.json) as work:
        asked = Asked(
            kinds=_kinds(kind, work),
            back=back,
            now=now,
            wait=wait,
            restart_pods=restart_pods,
            yes=yes,
            stop_after=stop_after,
        )
        return preview(work, asked) if dry_run else carry_out(work, asked)


def _kinds(kind: str | None, work: Work) -> tuple[Kind, ...]:
    """What a word on the command line means for this cluster."""
    store = work.workspace.store
    if kind != "all" or not store.exists:
        return (cast(Kind, kind),) if kind and kind != "all" else KINDS if kind else ()
    kinds = all_kinds(store.own, store.ca, store.rotation)
    left = [TITLES[one] for one in KINDS if one not in kinds]
    if left:
        text = f"{', '.join(left)}: your own, and the inventory names no other; left out"
        work.hub.emit(Note(text=text))
    return kinds


def _refuse_unknown(names: tuple[str, ...], work: Work) -> None:
    """Raise KprovError for a name of nothing that has a certificate."""
    cluster = work.workspace.cluster
    known = {
        *(host.name for host in cluster.hosts),
        *(leaf.name for leaves in TREE.values() for leaf in leaves),
        *(addon.name for addon in cluster.addons if addon.description.certificates),
        *(f"{addon.name}-{row.secret}" for addon in cluster.addons for row in addon.description.certificates),
    }
    for name in names:
        if name not in known:
            raise KprovError(
                "there is no certificate, host or add-on of that name",
                found=name,
                needed="a name that `kprov certs list` shows",
                todo=did_you_mean(name, sorted(known)),
            )


def _values(row: CertificateRow) -> dict[str, object]:
    return {
        "host": row.host,
        "name": row.name,
        "path": row.path,
        "expires": row.expires.isoformat() if row.expires else None,
        "days_left": row.days_left,
        "reason": row.reason,
    }


def _cells(row: CertificateRow) -> tuple[str, ...]:
    expires = f"{row.expires:%Y-%m-%d}" if row.expires else "-"
    days = "-" if row.days_left is None else str(row.days_left)
    return row.host, row.name, expires, days, row.reason or "-", row.path
