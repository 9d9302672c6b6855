"""How far a restore has come, in the state folder: what a command that was cut off goes on from.

There is one from the moment before anything stops until all is well again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kprov.state.private import private_folder, read_private, replace_private, sync_folder
from kprov.values.errors import StoreError

NAME = "restore.json"


@dataclass(frozen=True, kw_only=True)
class RestoreRecord:
    """file: the backup; sha256: of its snapshot; token, bump: as etcd's data got them. founded: whether etcd served again."""

    file: str
    sha256: str
    token: str
    bump: int
    founded: bool = False


def read_record(folder: Path) -> RestoreRecord | None:
    """Return the restore that was cut off, None where none was. Raises StoreError."""
    try:
        with private_folder(folder) as descriptor:
            content = read_private(descriptor, folder / NAME)
    except FileNotFoundError:
        return None
    if content is None:
        return None
    try:
        return RestoreRecord(**json.loads(content))
    except (ValueError, TypeError):
        raise StoreError(
            "the note of a restore that was cut off is damaged",
            where=str(folder / NAME),
            todo="remove it, and run `kprov restore` again",
        ) from None


def write_record(folder: Path, record: RestoreRecord) -> None:
    """Keep how far it has come. Raises StoreError."""
    try:
        with private_folder(folder) as descriptor:
            replace_private(descriptor, NAME, json.dumps(asdict(record), indent=2).encode() + b"\n")
    except OSError as error:
        raise StoreError(
            "it cannot be noted how far this came", where=str(folder), found=error.strerror or ""
        ) from None


def remove_record(folder: Path) -> None:
    """Forget it: all is well again."""
    if (folder / NAME).exists():
        (folder / NAME).unlink()
        sync_folder(folder)
