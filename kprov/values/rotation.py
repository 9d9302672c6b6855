"""Replacing CAs and keys of a living cluster: which ones, and how far it is. Values and their words; nothing is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["kubernetes", "etcd", "front-proxy", "service-account", "encryption", "backups"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TITLES: Mapping[Kind, str] = {
    "kubernetes": "the kubernetes CA",
    "etcd": "the etcd CA",
    "front-proxy": "the front-proxy CA",
    "service-account": "the key of service accounts",
    "encryption": "the encryption key",
    "backups": "the key of backups",
}

Phase = Literal["trust", "issue", "drop", "back"]
PHASES: tuple[Phase, ...] = ("trust", "issue", "drop")  # in order; `back` leads from the first of them to nothing
MEANINGS: Mapping[Phase, str] = {
    "trust": "the new one is trusted beside the old one, which still signs",
    "issue": "the new one signs; the old one is still trusted",
    "drop": "the old one is trusted no more",
    "back": "the new one goes again",
}


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """A rotation that has begun.

    done: whether all hosts have what this phase means. since: when they had it, or when the phase began; ISO 8601, UTC.
    signs: since when the new one signs. leaving: kind → SHA-256 of the CA certificate that hosts may still trust and are
    to lose.
    """

    kinds: tuple[Kind, ...]
    phase: Phase
    since: str
    done: bool = False
    signs: str = ""
    leaving: Mapping[str, str] = field(default_factory=dict)

    @property
    def ends(self) -> bool:
        """Whether nothing but its end comes after this phase."""
        return self.phase in ("drop", "back")

    def __str__(self) -> str:
        names = ", ".join(TITLES[kind] for kind in self.kinds)
        state = "on all hosts" if self.done else "not on all hosts yet"
        return f"rotation of {names}: phase {self.phase}, {state} ({MEANINGS[self.phase]})"
