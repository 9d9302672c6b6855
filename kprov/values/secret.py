"""Secrets by type: text that no output shows, and where it stands in values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass


class Secret:
    """Text that must never be shown: it is no `str`, and its repr, text and format are masked, so that neither a traceback
    nor a log, a template, JSON or a pickle can leak it. It is no dataclass either: `asdict` would take it apart.

    Use `reveal()` at the one place where the text is really needed.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        return str(object.__getattribute__(self, "_text"))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a secret does not change")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __deepcopy__(self, _: object) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"


def secrets_in(value: object) -> Iterator[Secret]:
    """Yield every secret in a value: in fields of dataclasses, in mappings and sequences."""
    if isinstance(value, Secret):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from secrets_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)
