"""The record of each lab on this host: read, written, listed. Knows folders and files, starts and stops nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kprov.lab.guest import write_private
from kprov.lab.layout import CACHE, LABS, Lab, check_name, from_record, to_record
from kprov.lab.locks import locked
from kprov.lab.mounts import remove_tree
from kprov.values.errors import LabError
from kprov.values.secret import Secret

_RECORD = "lab.json"
_PASSWORD = "admin-password"  # noqa: S105 - the name of the file, not what is in it
FILES = (_RECORD, _PASSWORD)  # in the order they go: a record without its password could not be read
_HOST_TIMEOUT = 60.0
_LAB_TIMEOUT = 120.0


def password_file(lab: Lab) -> Path:
    """The file, mode 0600, with the password of the machines' user admin."""
    return lab.folder / _PASSWORD


@contextmanager
def host_lock() -> Iterator[None]:
    """Hold what labs share: their numbers, the host's settings. For moments, not for the making of machines."""
    folder = CACHE / "labs.lock"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder, what="the labs of this host", timeout=_HOST_TIMEOUT):
        yield


@contextmanager
def lab_lock(name: str) -> Iterator[None]:
    """Hold one lab while it is made, started or removed. Raises FileNotFoundError when there is none of that name."""
    with locked(LABS / name, what=f"lab {name}", timeout=_LAB_TIMEOUT):
        yield


def save(lab: Lab) -> None:
    lab.folder.mkdir(mode=0o700, exist_ok=True)
    if not password_file(lab).exists():
        write_private(password_file(lab), f"{lab.admin_password.reveal()}\n".encode())
    write_private(lab.folder / _RECORD, json.dumps(to_record(lab), indent=1).encode())


def find(name: str) -> Lab | None:
    """The lab of that name, None when there is none. Raises LabError when its record cannot be read."""
    folder = LABS / name
    try:
        password = Secret((folder / _PASSWORD).read_text(encoding="utf-8").strip())
        return from_record(json.loads((folder / _RECORD).read_text(encoding="utf-8")), password)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"the record of lab {name} cannot be read", where=str(folder / _RECORD), found=repr(error)
        ) from error


def load(name: str) -> Lab:
    """The lab of that name. Raises LabError when there is none, or its record cannot be read."""
    check_name(name)
    lab = find(name)
    if lab is None:
        raise LabError(f"there is no lab {name}", where=str(LABS / name), todo=f"kprov lab up {name}")
    return lab


def forget(name: str) -> None:
    """Remove the record of a lab of which nothing else is left."""
    for file in FILES:
        (LABS / name / file).unlink(missing_ok=True)


def drop_empty() -> None:
    """Remove lab folders without a record that nobody holds: what a killed run made first or removed last."""
    for name in names():
        if not (LABS / name / _RECORD).exists():
            with suppress(LabError, FileNotFoundError), locked(LABS / name, what=f"lab {name}", timeout=0):
                remove_tree(LABS / name)


def names() -> tuple[str, ...]:
    """Names of all labs that have a folder on this host, whether or not they were made to the end."""
    try:
        return tuple(sorted(entry.name for entry in LABS.iterdir() if entry.is_dir()))
    except FileNotFoundError:
        return ()


def load_all() -> tuple[Lab, ...]:
    """All labs that have a record. Raises LabError when one cannot be read."""
    return tuple(lab for lab in map(find, names()) if lab is not None)
