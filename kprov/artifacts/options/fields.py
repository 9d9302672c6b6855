"""The fields of each version's configuration documents, and what in a mapping is none of them, or of another type.

Reads package data only. Nothing here knows an inventory, or which fields kprov sets itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from kprov.artifacts.options.flags import data, minor
from kprov.artifacts.options.values import WORDS, parses

Path = tuple[str | int, ...]
Struct = Mapping[str, str]
Types = Mapping[str, Struct | tuple[str, ...]]  # a struct's fields with their types, or the words a type takes


@dataclass(frozen=True, kw_only=True)
class Slip:
    """What is wrong at a path below a document: an unknown field (`known` are those there are), or a wrong value."""

    path: Path
    needed: str
    known: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def types_of(version: str) -> Types | None:
    """The types of a Kubernetes version, or None where kprov has no data on it."""
    return _types(minor(version))


@lru_cache(maxsize=8)
def _types(line: str) -> Types | None:
    found = data("kubernetes", line)
    if found is None:
        return None
    return MappingProxyType(
        {name: tuple(row) if isinstance(row, list) else row for name, row in found["types"].items()}
    )


def slips(types: Types, kind: str, value: Any, path: Path = ()) -> Iterator[Slip]:
    """Yield what the program would refuse in a value of a type; null is taken everywhere, for "not set"."""
    if value is None or kind == "any":
        return
    if kind.startswith("["):
        yield from _list(types, kind[1:-1], value, path)
    elif kind.startswith("{"):
        yield from _map(types, kind[1:-1], value, path)
    elif kind not in types:
        if not _scalar(kind, value):
            yield Slip(path=path, needed=WORDS.get(kind, "text"))
    elif isinstance(described := types[kind], tuple):
        if value not in described:
            yield Slip(path=path, needed=f"one of {', '.join(filter(None, described))}", words=described)
    else:
        yield from _struct(types, described, value, path)


def _list(types: Types, kind: str, value: Any, path: Path) -> Iterator[Slip]:
    if not isinstance(value, list | tuple):
        yield Slip(path=path, needed="a list ([a, b])")
        return
    for index, item in enumerate(value):
        yield from slips(types, kind, item, (*path, index))


def _map(types: Types, kind: str, value: Any, path: Path) -> Iterator[Slip]:
    if not isinstance(value, Mapping):
        yield Slip(path=path, needed="a mapping (`key: value` lines)")
        return
    for key, item in value.items():
        yield from slips(types, kind, item, (*path, key))


def _struct(types: Types, fields: Struct, value: Any, path: Path) -> Iterator[Slip]:
    if not isinstance(value, Mapping):
        yield Slip(path=path, needed=f"a mapping with {_some(fields)}")
        return
    for key, item in value.items():
        if key not in fields:
            yield Slip(path=(*path, key), needed=f"a field such as {_some(fields)}", known=tuple(fields))
        else:
            yield from slips(types, fields[key], item, (*path, key))


def _some(fields: Struct) -> str:
    names = list(fields)
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def _scalar(kind: str, value: Any) -> bool:
    """Whether a value of YAML is one that Go decodes into this kind."""
    if kind == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind in ("int", "uint"):
        return isinstance(value, int) and (kind == "int" or value >= 0)
    if kind == "float":
        return isinstance(value, int | float)
    if kind == "int or text":
        return isinstance(value, int | str)
    if kind == "quantity":
        return isinstance(value, int | float) or (isinstance(value, str) and parses("quantity", value))
    return isinstance(value, str) and parses(kind, value)
