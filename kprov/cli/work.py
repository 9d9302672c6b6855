"""Opens what a command on hosts needs (inventory, keys, connections, views of the run) and closes it again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from kprov.artifacts.cache import default_root
from kprov.artifacts.provide import LOCK_NAME
from kprov.cli.exits import State
from kprov.cli.limit import hosts_within
from kprov.cli.options import Given, read_passphrase
from kprov.inventory import load
from kprov.report.console import Terminal
from kprov.report.hub import Hub, View
from kprov.report.jsonlines import JsonLines, object_line
from kprov.report.lines import Lines
from kprov.report.log import LogFile
from kprov.roles import registries
from kprov.run.workspace import Options, Workspace
from kprov.state.store import Store, state_folder
from kprov.transport import SshTransport
from kprov.values.errors import KprovError
from kprov.values.events import Note
from kprov.values.model import Cluster
from kprov.values.secret import Secret, secrets_in


@dataclass(frozen=True, kw_only=True)
class Work:
    """An opened run. `say` prints a line for people; it is silent when JSON was asked for."""

    given: Given
    workspace: Workspace
    hub: Hub

    def say(self, lines: Iterable[str] | str) -> None:
        if not self.given.json:
            text = lines if isinstance(lines, str) else "\n".join(lines)
            click.echo(self.hub.redactor.clean(text))


@contextmanager
def opened(given: Given, state: State, *, keep_log: bool, quiet: bool = False) -> Iterator[Work]:
    """Args:
    keep_log: whether this command changes things, so that a state folder is made for its log.
    quiet: show nothing of what happens, because the command prints one document only.

    Raises InventoryError, StoreError, KprovError.
    """
    loaded = load(given.inventory)
    cluster = _with_become_password(loaded.cluster, given)
    folder = state_folder(given.inventory, cluster.name, given.state_dir)
    store = Store.open(folder, cluster.name, passphrase_for(given, folder), cluster.pki.authorities)
    hub = Hub([] if quiet else [_view(given)], state.redactor)
    state.verbose, state.touched, state.close = given.verbose, lambda: hub.tally.touched, hub.close
    if given.json:
        state.tell = _tell_json
    _learn_secrets(state, cluster, store)
    _open_log(state, hub, store, keep_log)
    for caution in loaded.warnings:
        hub.emit(Note(text=str(caution), warning=True))
    workspace = Workspace(
        cluster=cluster,
        store=store,
        transport=SshTransport(ask_passphrase=_ask_key_passphrase if can_ask() else None),
        cache=default_root(),
        lock_file=given.inventory.absolute().parent / LOCK_NAME,
        inventory=given.inventory,
        emit=hub.emit,
        progress=hub,
        options=Options(
            limit=hosts_within(cluster, given.limit),
            forks=given.forks,
            deep=given.deep,
            backup=not given.no_backup,
            renew=given.renew,
            delete_data=given.delete_data,
            recreate=_addons_named(cluster, given.recreate),
        ),
        places={key: f"{given.inventory}:{line}" for key, line in loaded.source_lines.items()},
    )
    try:
        yield Work(given=given, workspace=workspace, hub=hub)
    finally:
        hub.close()


def _addons_named(cluster: Cluster, names: Iterable[str]) -> frozenset[str]:
    """Raises KprovError for a name of no add-on that is on."""
    on = [addon.name for addon in cluster.addons]
    for name in names:
        if name not in on:
            needed = f"one of {', '.join(on) or 'none: no add-on is on'}"
            raise KprovError(
                "--recreate names no add-on that is on", found=name, needed=needed, todo="check the spelling"
            )
    return frozenset(names)


def _view(given: Given) -> View:
    if given.json:
        return JsonLines(click.echo)
    if sys.stdout.isatty():
        return Terminal(Console(), verbose=given.verbose)
    return Lines(click.echo, verbose=given.verbose)


def _open_log(state: State, hub: Hub, store: Store, keep: bool) -> None:
    if keep:
        store.prepare()
    if keep or store.exists:
        log = LogFile(store.path, [state.redactor.clean(word) for word in sys.argv[1:]])
        hub.add(log)
        state.log, state.keep = log.path, log.write


def _learn_secrets(state: State, cluster: Cluster, store: Store) -> None:
    state.redactor.learn(*(secret.reveal() for secret in secrets_in(cluster)))
    state.redactor.learn(*registries.secrets(cluster.registry))
    if store.passphrase is not None:
        state.redactor.learn(store.passphrase.reveal())


def _with_become_password(cluster: Cluster, given: Given) -> Cluster:
    if not given.ask_become_pass:
        return cluster
    password = _ask("Password for sudo")
    hosts = tuple(
        host
        if host.connection.become_password is not None
        else replace(host, connection=replace(host.connection, become_password=password))
        for host in cluster.hosts
    )
    return replace(cluster, hosts=hosts)


def passphrase_for(given: Given, folder: Path) -> Secret | None:
    if given.passphrase_file is not None:
        return read_passphrase(given.passphrase_file)
    if from_environment := os.environ.get("KPROV_PASSPHRASE"):
        return Secret(from_environment)
    if not Store.is_sealed(folder):
        return None
    return _ask(f"Passphrase of the keys in {folder}")


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(question: str) -> Secret:
    """A secret typed by the user. Raises KprovError without a terminal."""
    if not can_ask():
        raise KprovError(
            f"{question.lower()}: no terminal is attached",
            needed="a terminal, or the answer where programs can find it",
            todo="name a file with --passphrase-file, or a become_password in the inventory",
        )
    return Secret(click.prompt(question, hide_input=True, err=True))


def _ask_key_passphrase(path: Path) -> Secret | None:
    return Secret(click.prompt(f"Passphrase of the SSH key {path}", hide_input=True, err=True))


def _tell_json(error: KprovError) -> None:
    names = ("what", "where", "found", "needed", "todo", "log")
    click.echo(object_line("error", {name: getattr(error, name) for name in names}))


def confirmed(question: str, *, yes: bool, json: bool) -> None:
    """Returns when the user agrees. Raises KprovError without a terminal, click.Abort for a no."""
    if yes:
        return
    if json or not can_ask():
        raise KprovError(
            "Confirmation required, but no terminal is attached; nothing was changed",
            found="output for programs" if json else "no terminal",
            needed="a yes",
            todo="look at `kprov plan`, then pass --yes to proceed",
        )
    click.confirm(question, abort=True, err=True)
