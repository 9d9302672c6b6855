"""A private key of the user's that opens backups: the option that names its file, and the passphrases around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kprov.cli.options import FILE, read_passphrase
from kprov.cli.work import can_ask
from kprov.state.sealed import unlock_text
from kprov.values.errors import KprovError
from kprov.values.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])


def identity_option(function: F) -> F:
    return click.option(
        "--identity", type=FILE, help="File with a private key that opens backups; default: the state folder's."
    )(function)


def key_text(file: Path | None) -> tuple[str, str]:
    """Return the text of a private key and where it is; nothing where none was named. Raises KprovError.

    One that is encrypted with a passphrase is opened with what the user types.
    """
    if file is None:
        return "", ""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise KprovError("the key cannot be read", where=str(file), found=error.strerror or "") from None
    if content.startswith((b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")):
        return unlock_text(content, _asked(f"Passphrase of the key {file}").reveal(), str(file)), str(file)
    return content.decode(errors="replace"), str(file)


def new_passphrase(file: Path | None) -> Secret:
    """Return the passphrase that a key gets. Raises KprovError without a terminal or a file."""
    if file is not None:
        return read_passphrase(file)
    return _asked("Passphrase for the key", again=True)


def _asked(question: str, *, again: bool = False) -> Secret:
    if not can_ask():
        raise KprovError(
            f"{question.lower()}: no terminal is attached",
            needed="a terminal",
            todo="run it in a terminal; `age -d` opens the key too, and --key-passphrase-file names a new passphrase",
        )
    return Secret(click.prompt(question, hide_input=True, confirmation_prompt=again, err=True))
