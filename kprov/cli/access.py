"""`kprov kubeconfig`: an administrator's access to the cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509

from kprov.cli.exits import State
from kprov.cli.options import FILE, Given, inventory_argument, state_options
from kprov.cli.work import opened, passphrase_for
from kprov.inventory import load
from kprov.pki.kubeconfig import embedded, merge
from kprov.pki.sign_on import signing_on
from kprov.pki.table import admin_spec, user_spec
from kprov.report.columns import columns
from kprov.roles.layout import API_PORT
from kprov.run import rights
from kprov.run.api_client import api_client
from kprov.state.issued import Issued, add_issued, read_issued
from kprov.state.issued import take_back as write_taken_back
from kprov.state.private import make_folder, sync_folder
from kprov.state.store import Store, operator_name, state_folder
from kprov.values.addresses import hostport
from kprov.values.certificate import CertificateSpec
from kprov.values.errors import KprovError
from kprov.values.model import Cluster


@click.command()
@inventory_argument
@state_options
@click.option(
    "--user", metavar="NAME", help="For this person, who has what rights bindings give; default: an administrator."
)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Group of the person; may be repeated.")
@click.option(
    "--namespace", metavar="NS", help="Give the person a role in this namespace, with --role: a RoleBinding is made."
)
@click.option("--role", metavar="ROLE", help="That role: view, edit, admin, or another ClusterRole or Role.")
@click.option("--take-back", metavar="NAME", help="End what --role gave this person, in all namespaces.")
@click.option("--merge", "into", is_flag=True, help="Put it into ~/.kube/config (or $KUBECONFIG) and switch to it.")
@click.option("-o", "--output", type=FILE, help="Write it to this file, mode 0600.")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Life of its certificate; default: the inventory's leaf_days."
)
@click.option("--server", help="URL of the API; default: api_endpoint, else the first control plane.")
@click.option(
    "--oidc", is_flag=True, help="For everybody who signs on with the issuer of the inventory: it holds no key."
)
@click.option("--issuer", metavar="URL", default="", help="Of several issuers the one to sign on with; for --oidc.")
@click.option("--client-id", metavar="ID", default="", help="Client to sign on with; default: the issuer's audience.")
@click.option("--scope", "scopes", metavar="SCOPE", multiple=True, help="Further scope to ask for; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="Show what was given out, to whom and until when.")
@click.pass_obj
def kubeconfig(
    state: State,
    /,
    inventory: Path,
    state_dir: Path | None,
    passphrase_file: Path | None,
    *,
    user: str | None,
    groups: tuple[str, ...],
    namespace: str | None,
    role: str | None,
    take_back: str | None,
    into: bool,
    output: Path | None,
    days: int | None,
    server: str | None,
    oidc: bool,
    issuer: str,
    client_id: str,
    scopes: tuple[str, ...],
    listing: bool,
) -> None:
    """Write a kubeconfig for an administrator, for a person, or for everybody who signs on.

    It holds a fresh client certificate and its key, so it is a secret. Each is written down in the state folder. No host
    is asked, except where a role is given or taken back. Kubernetes cannot take a certificate back: give people few days,
    and end their rights with --take-back.
    With --oidc it holds no key: kubectl asks its plugin oidc-login (kubelogin), which opens the issuer's page.

    \b
    Examples:
      kprov kubeconfig inventory.yaml --merge
      kprov kubeconfig inventory.yaml --user anna --group developers --days 30 -o anna.conf
      kprov kubeconfig inventory.yaml --user anna --namespace shop --role edit -o anna.conf
      kprov kubeconfig inventory.yaml --take-back anna
      kprov kubeconfig inventory.yaml --oidc -o everybody.conf
      kprov kubeconfig inventory.yaml --list
    """
    cluster = load(inventory).cluster
    folder = state_folder(inventory, cluster.name, state_dir)
    if listing:
        for line in issued_lines(read_issued(folder), datetime.now(UTC)):
            click.echo(line)
        return
    if (namespace is None) != (role is None) or (role is not None and user is None):
        raise click.UsageError("a role is given by --user, --namespace and --role together")
    given = Given(inventory=inventory, state_dir=state_dir, passphrase_file=passphrase_file)
    if take_back is not None:
        if user is not None or oidc or into or output is not None:
            raise click.UsageError("--take-back goes with no other option: it gives out nothing")
        for line in _taken_back(given, state, folder, take_back):
            click.echo(line)
        return
    if groups and user is None:
        raise click.UsageError("--group needs --user: an administrator is in a group already")
    if oidc and (user is not None or days is not None):
        raise click.UsageError("--oidc goes with neither --user nor --days: who somebody is, the issuer says")
    if not oidc and (issuer or client_id or scopes):
        raise click.UsageError("--issuer, --client-id and --scope need --oidc")
    store = Store.open(folder, cluster.name, passphrase_for(given, folder), cluster.pki.authorities)
    url = server or api_url(cluster)
    if oidc:
        ca = store.given_out("kubernetes")
        text = signing_on(cluster, url, ca, issuer=issuer, client_id=client_id, scopes=scopes)
    else:
        life = days or cluster.pki.leaf_days
        spec = admin_spec(cluster, days) if user is None else user_spec(cluster, user, groups, life)
        if user is not None and namespace is not None and role is not None:
            with opened(given, state, keep_log=False, quiet=True) as work, api_client(work.workspace) as client:
                rights.give(client, user, namespace, role)
        text = given_out(cluster, store, url, spec, role=role or "", namespace=namespace or "")
    if into:
        path = merge_target()
        existing = path.read_text(encoding="utf-8") if path.exists() else ""
        write_private(path, merge(existing, text))
        click.echo(f"{path} now points at cluster {cluster.name}; next: kubectl get nodes")
    elif output is not None:
        write_private(output, text)
        click.echo(f"wrote {output}")
    else:
        click.echo(text, nl=False)
    if user is not None and not groups and role is None:
        click.echo(
            f"{user} has no rights yet: give a role with --namespace NAMESPACE --role edit",
            err=True,
        )


def _taken_back(given: Given, state: State, folder: Path, user: str) -> Iterator[str]:
    """End a person's rights, and tell what is left of them."""
    rows = [row for row in read_issued(folder) if row.user == user]
    with opened(given, state, keep_log=False, quiet=True) as work, api_client(work.workspace) as client:
        done = rights.take_back(client, user, sorted({group for row in rows for group in row.groups}))
    if rows:
        write_taken_back(folder, user, datetime.now(UTC))
    yield f"removed: {', '.join(done.removed) or 'nothing: kprov gave this name no role'}"
    yield from (f"still gives rights: {line}" for line in done.left)
    last = max((row.ends for row in rows), default=None)
    if last is not None and last > datetime.now(UTC):
        yield f"{user}'s certificate is good until {last:%Y-%m-%d}: without bindings it says who it is, and nothing more"


def given_out(
    cluster: Cluster, store: Store, server: str, spec: CertificateSpec, *, role: str = "", namespace: str = ""
) -> str:
    """Return a kubeconfig with a fresh certificate, once it is written down. Raises StoreError without keys."""
    issued = store.authority("kubernetes").issue(spec, datetime.now(UTC))
    certificate = x509.load_pem_x509_certificate(issued.cert_pem)
    add_issued(
        store.path,
        Issued(
            user=spec.common_name,
            groups=spec.organizations,
            made=datetime.now(UTC),
            ends=certificate.not_valid_after_utc,
            by=operator_name(),
            serial=f"{certificate.serial_number:x}",
            role=role,
            namespace=namespace,
        ),
    )
    return embedded(
        cluster.name, server, store.given_out("kubernetes"), issued.cert_pem, issued.key_pem, spec.common_name
    )


def issued_lines(rows: Sequence[Issued], now: datetime) -> Iterator[str]:
    """What was given out, as a table; what has ended stays in it."""
    if not rows:
        yield "nothing was given out"
        return
    head = ("USER", "GROUPS", "ROLE", "GIVEN OUT", "BY", "ENDS", "DAYS", "SERIAL")
    yield from columns(
        [
            head,
            *(
                (
                    row.user,
                    ", ".join(row.groups) or "-",
                    _rights(row),
                    f"{row.made:%Y-%m-%d}",
                    row.by,
                    f"{row.ends:%Y-%m-%d}",
                    "ended" if row.ends <= now else str((row.ends - now).days),
                    row.serial[:16],
                )
                for row in rows
            ),
        ]
    )


def _rights(row: Issued) -> str:
    given = f"{row.role} in {row.namespace}" if row.role else "-"
    return given if row.taken_back is None else f"taken back {row.taken_back:%Y-%m-%d}"


def api_url(cluster: Cluster) -> str:
    """Where an administrator reaches the API: the endpoint of the inventory, else a control plane."""
    if cluster.api_endpoint is not None:
        return f"https://{cluster.api_endpoint}"
    host = cluster.group("control_plane")[0]
    return f"https://{hostport(str(host.node_ip or host.connection.address), API_PORT)}"


def merge_target() -> Path:
    """The first file of $KUBECONFIG, else ~/.kube/config, as kubectl itself writes."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


def write_private(path: Path, text: str, what: str = "the kubeconfig") -> None:
    """Writes a file with mode 0600 that appears whole or not at all. Raises KprovError."""
    target = path.resolve()  # a link stays a link: what it points at is replaced
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise KprovError(f"{what} cannot be written", where=str(path), found=error.strerror or "") from None
