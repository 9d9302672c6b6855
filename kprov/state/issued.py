"""What was given out: each kubeconfig for a person, to whom and until when. A list in the state folder; no keys are in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from kprov.state.private import private_folder, read_private, replace_private
from kprov.values.errors import StoreError

NAME = "issued.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A client certificate of a person. made, ends: aware UTC; by: who gave it out; serial: hexadecimal."""

    user: str
    groups: tuple[str, ...]
    made: datetime
    ends: datetime
    by: str
    serial: str


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
    """Return who has no certificate that was made since a new CA signs, and one that would not have ended yet."""
    new = {row.user for row in rows if row.made >= signs}
    return sorted({row.user for row in rows if row.ends > now} - new)


def add_issued(folder: Path, one: Issued) -> None:
    """Write down what is about to be given out. Raises StoreError."""
    rows: Sequence[Issued] = (*read_issued(folder), one)
    values = [
        {**asdict(row), "made": row.made.isoformat(timespec="seconds"), "ends": row.ends.isoformat(timespec="seconds")}
        for row in rows
    ]
    text = json.dumps({"format": _FORMAT, "issued": values}, indent=2).encode() + b"\n"
    try:
        with private_folder(folder) as descriptor:
            replace_private(descriptor, NAME, text)
    except OSError as error:
        raise StoreError("it cannot be written down", where=str(folder / NAME), found=error.strerror or "") from None
