"""`kprov init`, `kprov validate` and `kprov schema`: inventories, without asking any host."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kprov.cli.options import FILE, inventory_argument
from kprov.inventory import load
from kprov.inventory.schema import json_schema
from kprov.inventory.starter import starter
from kprov.report.words import count
from kprov.values.errors import KprovError


@click.command()
@click.argument("hosts", nargs=-1, required=True, metavar="HOST…")
@click.option("-o", "--output", type=FILE, default=Path("inventory.yaml"), show_default=True, help="File to write.")
@click.option("--name", default="cluster1", show_default=True, help="Name of the cluster.")
def init(hosts: tuple[str, ...], output: Path, name: str) -> None:
    """Write a first inventory for some hosts.

    HOST is [NAME=][USER@]ADDRESS[:PORT]. The first host becomes the control plane, of five and more the first three.
    A file that is there is never replaced.

    \b
    Examples:
      kprov init admin@192.0.2.11
      kprov init cp1=admin@192.0.2.11 w1=admin@192.0.2.21 -o prod.yaml --name prod
    """
    text = starter(hosts, name)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise KprovError(
            "there is a file already, and it stays as it is", where=str(output), todo="name another with -o"
        ) from None
    except OSError as error:
        raise KprovError("the inventory cannot be written", where=str(output), found=error.strerror or "") from None
    click.echo(f"wrote {output}; look at it, then: kprov up {output}")


@click.command()
@inventory_argument
def validate(inventory: Path) -> None:
    """Check an inventory without asking any host.

    Tells every mistake at once, each with its file, line and column. Documents for the API server, expressions too, are
    shown to kube-apiserver itself where its program is in the cache of artifacts.

    \b
    Example:
      kprov validate inventory.yaml
    """
    loaded = load(inventory)
    for caution in loaded.warnings:
        click.secho(f"warning: {caution}", fg="yellow", err=True)
    cluster = loaded.cluster
    if cluster.api.authentication or cluster.api.authorizers or cluster.api.audit.policy:
        from kprov.artifacts.cache import default_root  # most inventories have none, and this takes long to import
        from kprov.run.judge import judge

        judge(loaded, inventory, default_root())
    click.echo(
        f"{inventory}: cluster {cluster.name}, Kubernetes {cluster.versions['kubernetes']}, "
        f"{count(len(cluster.hosts), 'host')}: in order"
    )


@click.command()
def schema() -> None:
    """Print the JSON Schema of inventories, for editors.

    \b
    Example:
      kprov schema > kprov.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2))
