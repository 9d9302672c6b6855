"""`kprov artifacts`: the binaries and images of a cluster in the operator's cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from kprov.addon.choose import by_name
from kprov.artifacts import mirror as mirror_folder
from kprov.artifacts.cache import default_root
from kprov.artifacts.catalog import ARCHITECTURES, resolve_versions
from kprov.artifacts.listing import listing
from kprov.artifacts.manifests import manifests
from kprov.artifacts.needed import needed
from kprov.artifacts.provide import LOCK_NAME, provide
from kprov.artifacts.toolchain import native
from kprov.cli.exits import State
from kprov.cli.options import FILE, json_option
from kprov.inventory import load as load_inventory
from kprov.report.console import Terminal
from kprov.report.hub import Hub
from kprov.report.jsonlines import document
from kprov.report.lines import Lines
from kprov.report.words import count, size
from kprov.values.addon import is_url
from kprov.values.errors import ArtifactError
from kprov.values.model import ArtifactSettings, Cluster

_version = click.option("--kubernetes", default="", help="Version or line; default: kprov's.")
_archs = click.option(
    "--arch", "archs", multiple=True, type=click.Choice(ARCHITECTURES), help="Architecture; default: this machine's."
)
_inventory = click.argument("inventory", type=FILE, required=False)
_addons = click.option(
    "--addon",
    "addons",
    multiple=True,
    help="An add-on of kprov's, or NAME=VERSION; those on by default come without being named.",
)


@click.group()
def artifacts() -> None:
    """Binaries and images: fetch, build, list, lock, mirror.

    They lie in $KPROV_CACHE, else in $XDG_CACHE_HOME/kprov, else in ~/.cache/kprov. `kprov up` gets what is missing by
    itself; these commands do it beforehand.
    """


@artifacts.command()
@_inventory
@_version
@_archs
@_addons
@click.option("--images", "extra", multiple=True, help="A further image of the catalog, such as image-agnhost.")
@click.pass_obj
def fetch(
    state: State,
    /,
    inventory: Path | None,
    kubernetes: str,
    archs: tuple[str, ...],
    addons: tuple[str, ...],
    extra: tuple[str, ...],
) -> None:
    """Get every artifact from where the inventory says: upstream, or built from pinned modules.

    \b
    Examples:
      kprov artifacts fetch inventory.yaml
      kprov artifacts fetch --kubernetes 1.36 --arch arm64
    """
    cluster = _cluster(inventory, kubernetes, addons)
    lock = inventory.absolute().parent / LOCK_NAME if inventory is not None else None
    with _progress(state) as hub:
        found = provide(cluster, archs or (native(),), default_root(), hub, lock=lock, extra=extra)
        manifests(cluster, default_root(), hub, lock=lock)
    click.echo(f"{count(len(found), 'artifact')} in {default_root()}")


@artifacts.command()
@_version
@_archs
@_addons
@click.option("--images", "extra", multiple=True, help="A further image of the catalog, such as image-agnhost.")
@click.pass_obj
def build(
    state: State, /, kubernetes: str, archs: tuple[str, ...], addons: tuple[str, ...], extra: tuple[str, ...]
) -> None:
    """Build every program from pinned Go modules, and the images around them.

    Needs Go; what is built already is not built again.

    \b
    Examples:
      kprov artifacts build
      kprov artifacts build --kubernetes 1.36
    """
    cluster = _cluster(None, kubernetes, addons)
    cluster = replace(cluster, artifacts=ArtifactSettings(source="modules"))
    root = default_root()
    with _progress(state) as hub:
        made = provide(cluster, archs or (native(),), root, hub, extra=extra)
    click.echo(f"{count(len(made), 'artifact')} in {root}")


@artifacts.command("list")
@_inventory
@_version
@_archs
@json_option
@click.option("--deep", is_flag=True, help="Hash every file; one that changed is put away.")
def show(inventory: Path | None, kubernetes: str, archs: tuple[str, ...], *, json: bool, deep: bool) -> None:
    """Show what a cluster needs, and what of it is in the cache.

    \b
    Examples:
      kprov artifacts list
      kprov artifacts list inventory.yaml --json
    """
    rows = listing(needed(_cluster(inventory, kubernetes)), archs or (native(),), default_root(), deep=deep)
    if json:
        click.echo(document({"artifacts": [vars(row) for row in rows]}))
        return
    for row in rows:
        there = f"{row.source:<9} {size(row.size):>10}  {row.sha256[:12]}" if row.cached else row.fault or "not here"
        click.echo(f"{row.name:<26} {row.version:<9} {row.arch:<6} {there}")


@artifacts.command()
@click.argument("name")
@_inventory
@_version
def path(name: str, inventory: Path | None, kubernetes: str) -> None:
    """Print where a program of the cache lies on this machine.

    \b
    Example:
      $(kprov artifacts path kubectl) get nodes
    """
    rows = listing(needed(_cluster(inventory, kubernetes)), (native(),), default_root())
    there = [row.path for row in rows if row.name == name and row.cached]
    if not there:
        known = sorted({row.name for row in rows})
        raise ArtifactError(
            f"{name} is not in the cache",
            where=str(default_root()),
            needed=f"one of {', '.join(known)}" if name not in known else "",
            todo="kprov artifacts fetch" if name in known else "check the name",
        )
    click.echo(there[0])


@artifacts.command()
@click.argument("inventory", type=FILE)
@_archs
@click.pass_obj
def lock(state: State, /, inventory: Path, archs: tuple[str, ...]) -> None:
    """Pin the checksum of every download of an inventory, in artifacts.lock.yaml beside it.

    Downloads what is not in the cache yet. Keep the file under version control.

    \b
    Example:
      kprov artifacts lock inventory.yaml
    """
    path = inventory.absolute().parent / LOCK_NAME
    with _progress(state) as hub:
        cluster = _cluster(inventory, "")
        provide(cluster, archs or (native(),), default_root(), hub, lock=path)
        manifests(cluster, default_root(), hub, lock=path)
    click.echo(f"pinned in {path}")


@artifacts.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_inventory
@_version
@_archs
@click.pass_obj
def mirror(state: State, /, folder: Path, inventory: Path | None, kubernetes: str, archs: tuple[str, ...]) -> None:
    """Fill a folder that any web server can serve to hosts, also with what was built here.

    Every program and image lies in it under its sha256, as sha256/HEX; hosts check what they get. Gets first what is not
    in the cache. Serve the folder, then name its URL in the inventory: artifacts: {mirror: https://HOST/PATH}.

    \b
    Examples:
      kprov artifacts mirror /srv/www/kprov inventory.yaml
      kprov artifacts mirror /srv/www/kprov --kubernetes 1.36 --arch amd64 --arch arm64
    """
    cluster = _cluster(inventory, kubernetes)
    lock = inventory.absolute().parent / LOCK_NAME if inventory is not None else None
    with _progress(state) as hub:
        found = provide(cluster, archs or (native(),), default_root(), hub, lock=lock)
        written = mirror_folder.write(found.values(), folder, hub)
        for name, text in manifests(cluster, default_root(), hub, lock=lock).items():
            addon = cluster.addon(name)
            if addon is not None and is_url(addon.manifest):
                mirror_folder.write_manifest(addon.manifest, text, folder)
    click.echo(f"{count(len(found), 'artifact')} in {folder}, {written} of them new")


def _cluster(inventory: Path | None, kubernetes: str, addons: Sequence[str] = ()) -> Cluster:
    """Without an inventory: a cluster as it comes, with these add-ons."""
    if inventory is None:
        bare = Cluster(name="artifacts", versions=resolve_versions(kubernetes), hosts=())
        return replace(bare, addons=by_name(addons, bare.kubernetes_minor))
    if addons:
        raise ArtifactError("the inventory names the add-ons", found=f"--addon {addons[0]}", todo="leave one out")
    if kubernetes:
        raise ArtifactError("the inventory names the version", found=f"--kubernetes {kubernetes}", todo="leave one out")
    return load_inventory(inventory).cluster


@contextmanager
def _progress(state: State) -> Iterator[Hub]:
    view = Terminal(Console()) if sys.stdout.isatty() else Lines(click.echo)
    hub = Hub([view], state.redactor)
    state.close = hub.close
    try:
        yield hub
    finally:
        hub.close()
