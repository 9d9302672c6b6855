"""`kprov kubeconfig`: an administrator's access to the cluster."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from kprov.cli.options import FILE, Given, inventory_argument, state_options
from kprov.cli.work import passphrase_for
from kprov.inventory import load
from kprov.pki.kubeconfig import embedded, merge
from kprov.pki.table import admin_spec
from kprov.roles.layout import API_PORT
from kprov.state.private import make_folder, sync_folder
from kprov.state.store import Store, state_folder
from kprov.values.addresses import hostport
from kprov.values.errors import KprovError
from kprov.values.model import Cluster


@click.command()
@inventory_argument
@state_options
@click.option("--merge", "into", is_flag=True, help="Put it into ~/.kube/config (or $KUBECONFIG) and switch to it.")
@click.option("-o", "--output", type=FILE, help="Write it to this file, mode 0600.")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Life of its certificate; default: the inventory's leaf_days."
)
@click.option("--server", help="URL of the API; default: api_endpoint, else the first control plane.")
def kubeconfig(
    inventory: Path,
    state_dir: Path | None,
    passphrase_file: Path | None,
    *,
    into: bool,
    output: Path | None,
    days: int | None,
    server: str | None,
) -> None:
    """Write a kubeconfig for an administrator.

    It holds a fresh client certificate and its key, so it is a secret. Asks no host.

    \b
    Examples:
      kprov kubeconfig inventory.yaml --merge
      kprov kubeconfig inventory.yaml --days 7 -o colleague.conf
    """
    cluster = load(inventory).cluster
    folder = state_folder(inventory, cluster.name, state_dir)
    given = Given(inventory=inventory, passphrase_file=passphrase_file)
    store = Store.open(folder, cluster.name, passphrase_for(given, folder))
    text = administrator(cluster, store, server or api_url(cluster), days)
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


def administrator(cluster: Cluster, store: Store, server: str, days: int | None) -> str:
    """A kubeconfig with a fresh certificate. Raises StoreError without keys."""
    issued = store.authority("kubernetes").issue(admin_spec(cluster, days), datetime.now(UTC))
    return embedded(cluster.name, server, store.ca["kubernetes"], issued.cert_pem, issued.key_pem, "kubernetes-admin")


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


def write_private(path: Path, text: str) -> None:
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
        raise KprovError("the kubeconfig cannot be written", where=str(path), found=error.strerror or "") from None
