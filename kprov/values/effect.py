"""What a change of one setting means on a living cluster, declared beside the setting. Values and words; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic.config import JsonDict

Kind = Literal["free", "restarts", "drains", "procedure", "fixed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SCHEMA_KEY = "x-kprov-change"  # where an editor's schema has it


@dataclass(frozen=True, kw_only=True)
class Effect:
    """free: nothing is interrupted. restarts: these units. drains: nodes are emptied first, then these units restart.
    procedure: only in the steps that `note` names. fixed: refused while the cluster lives; `note` is the way that works.
    """

    kind: Kind
    units: tuple[str, ...] = ()
    note: str = ""

    def __call__(self, schema: JsonDict) -> None:
        """Write itself into the JSON Schema of its key: pydantic's hook for `json_schema_extra`."""
        schema[SCHEMA_KEY] = self.text

    @property
    def text(self) -> str:
        """`KIND[ UNIT, UNIT][; NOTE]`, as `read_effect` takes it."""
        head = " ".join([self.kind, ", ".join(self.units)]).strip()
        return f"{head}; {self.note}" if self.note else head


def free(note: str = "") -> Effect:
    return Effect(kind="free", note=note)


def restarts(*units: str, note: str = "") -> Effect:
    return Effect(kind="restarts", units=units, note=note)


def drains(*units: str, note: str = "") -> Effect:
    return Effect(kind="drains", units=units, note=note)


def procedure(note: str) -> Effect:
    return Effect(kind="procedure", note=note)


def fixed(note: str) -> Effect:
    return Effect(kind="fixed", note=note)


def read_effect(text: str) -> Effect:
    """Parse `KIND[ UNIT, UNIT][; NOTE]`, as addon.yaml has it. Raises ValueError."""
    head, _, note = text.partition(";")
    word, _, units = head.strip().partition(" ")
    kind = next((known for known in KINDS if known == word), None)
    if kind is None:
        raise ValueError(f"{word!r} is not one of {', '.join(KINDS)}")
    names = tuple(name.strip() for name in units.split(",") if name.strip())
    if bool(names) != (kind in ("restarts", "drains")):
        raise ValueError(f"{kind} {'needs the name of what restarts' if not names else 'restarts nothing'}")
    if kind in ("procedure", "fixed") and not note.strip():
        raise ValueError(f"{kind} needs the way after ';'")
    return Effect(kind=kind, units=names, note=note.strip())
