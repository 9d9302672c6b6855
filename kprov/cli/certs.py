"""`kprov certs list`: every certificate of a cluster, when it ends, and why `kprov up` would renew it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from kprov.cli.exits import FAILED, State
from kprov.cli.options import Given, inventory_argument, state_options
from kprov.cli.work import opened
from kprov.pki.listing import CertificateRow, authority_rows, certificate_rows, secret_rows
from kprov.report.columns import columns
from kprov.report.jsonlines import document
from kprov.run.certificate_list import desired_certificates, secret_certificates
from kprov.run.status import look


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
            click.echo(document({"certificates": [_values(row) for row in rows]}))
        else:
            head = ("HOST", "NAME", "EXPIRES", "DAYS", "RENEWAL", "PATH")
            work.say(columns([head, *map(_cells, rows)]))
    return FAILED if fleet.failures else 0


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
