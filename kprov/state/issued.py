"""What was given out: each kubeconfig for a person, to whom and until when. A list in the state folder; no keys are in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from kprov.state.private import private_folder, read_private, replace_private
from kprov.values.errors import StoreError

NAME = "issued.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A client certificate of a person. made, ends: aware UTC; by: who gave it out; serial: hexadecimal.

    role, namespace: what was bound to the person with it. taken_back: when the person's rights were, aware UTC.
    """

    user: str
    groups: tuple[str, ...]
    made: datetime
    ends: datetime
    by: str
    serial: str
    role: str = ""
    namespace: str = ""
    taken_back: datetime | None = None


def read_issued(folder: Path) -> tuple[Issued, ...]:
    """Return what was given out, the oldest first. Raises StoreError."""
    try:
        with private_folder(folder) as descriptor:
            content = read_private(descriptor, folder / NAME)
    except FileNotFoundError:
        return ()
    if content is None:
        return ()
    try:
        rows = json.loads(content)["issued"]
        return tuple(
            Issued(
                **{
                    **row,
                    "groups": tuple(row["groups"]),
                    "made": datetime.fromisoformat(row["made"]),
                    "ends": datetime.fromisoformat(row["ends"]),
                    "taken_back": _time(row.get("taken_back")),
                }
            )
            for row in rows
        )
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            "the list of what was given out is damaged",
            where=str(folder / NAME),
            todo="move it away: a new one is begun, and what it held is not known any more",
        ) from None


def old_holders(rows: Sequence[Issued], signs: datetime, now: datetime) -> list[str]:
    """Return who has no certificate that was made since a new CA signs, and one that would not have ended yet.

    Whose rights were taken back needs none.
    """
    new = {row.user for row in rows if row.made >= signs}
    return sorted({row.user for row in rows if row.ends > now and row.taken_back is None} - new)


def add_issued(folder: Path, one: Issued) -> None:
    """Write down what is about to be given out. Raises StoreError."""
    _write(folder, (*read_issued(folder), one))


def take_back(folder: Path, user: str, now: datetime) -> None:
    """Write down that a person's rights were taken back. Raises StoreError."""
    rows = [
        replace(row, taken_back=now) if row.user == user and row.taken_back is None else row
        for row in read_issued(folder)
    ]
    _write(folder, rows)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _write(folder: Path, rows: Sequence[Issued]) -> None:
    values = [
        {
            key: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
            for key, value in row.items()
        }
        for row in map(asdict, rows)
    ]
    text = json.dumps({"format": _FORMAT, "issued": values}, indent=2).encode() + b"\n"
    try:
        with private_folder(folder) as descriptor:
            replace_private(descriptor, NAME, text)
    except OSError as error:
        raise StoreError("it cannot be written down", where=str(folder / NAME), found=error.strerror or "") from None
