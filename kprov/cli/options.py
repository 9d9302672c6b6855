"""Arguments that several commands share, as decorators, and the values they become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from kprov.values.certificate import NOTHING, Renewal
from kprov.values.errors import KprovError
from kprov.values.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the command line says of a run on hosts."""

    inventory: Path
    limit: str | None = None
    forks: int = 50
    deep: bool = False
    no_backup: bool = False
    renew: Renewal = NOTHING
    delete_data: bool = False
    recreate: tuple[str, ...] = ()
    state_dir: Path | None = None
    passphrase_file: Path | None = None
    ask_become_pass: bool = False
    json: bool = False
    verbose: bool = False


def inventory_argument(function: F) -> F:
    return click.argument("inventory", type=FILE)(function)


def json_option(function: F) -> F:
    return click.option("json", "--json", is_flag=True, help="For programs: JSON on standard output.")(function)


def yes_option(function: F) -> F:
    return click.option("-y", "--yes", is_flag=True, help="Skip the confirmation prompt.")(function)


def state_options(function: F) -> F:
    """Where the cluster's keys are, and how they open."""
    function = click.option(
        "--passphrase-file", type=FILE, help="File with the passphrase of the keys; else KPROV_PASSPHRASE, or asked."
    )(function)
    return click.option(
        "--state-dir", type=FOLDER, help="Folder of the cluster's keys; default: .kprov/CLUSTER beside the inventory."
    )(function)


def host_options(function: F) -> F:
    """How hosts are reached, and how much is said about it."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Show every operation, and tracebacks of defects."),
        click.option("--ask-become-pass", is_flag=True, help="Ask for the password of sudo."),
        click.option(
            "--forks",
            type=click.IntRange(1, 1000),
            default=50,
            show_default=True,
            help="Maximum number of hosts to work on in parallel.",
        ),
        click.option("--limit", metavar="HOST,GROUP", help="Only these hosts or groups."),
    ):
        function = option(function)
    return state_options(function)


def backup_option(function: F) -> F:
    return click.option(
        "--no-backup", is_flag=True, help="Take no backup before a minor upgrade, or before a member leaves etcd."
    )(function)


def deep_option(function: F) -> F:
    return click.option("--deep", is_flag=True, help="Hash every managed file again, also unchanged ones.")(function)


def addon_options(function: F) -> F:
    """What may be lost when an add-on changes or goes; nothing is without these."""
    for option in (
        click.option(
            "--recreate", multiple=True, metavar="ADD-ON", help="Delete workloads that cannot be changed in place."
        ),
        click.option("--delete-data", is_flag=True, help="Delete the data of add-ons that are switched off."),
    ):
        function = option(function)
    return function


def read_passphrase(file: Path) -> Secret:
    """The first line of a passphrase file. Raises KprovError when others may read it, or it cannot be read."""
    try:
        if file.stat().st_mode & 0o077:
            raise KprovError(
                "others may read the passphrase", where=str(file), needed="mode 0600", todo=f"chmod 600 {file}"
            )
        return Secret(file.read_text(encoding="utf-8").rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise KprovError("the passphrase cannot be read", where=str(file), found=found or "") from None
