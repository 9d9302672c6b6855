"""The flags of each version of each component: which there are, what kind of value they take, what is deprecated.

Reads package data only. Nothing here knows an inventory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from kprov.artifacts.catalog import numbers

RELEASES: Mapping[str, str] = MappingProxyType(
    {
        "kube-apiserver": "kubernetes",
        "kube-controller-manager": "kubernetes",
        "kube-scheduler": "kubernetes",
        "kubelet": "kubernetes",
        "kube-proxy": "kubernetes",
        "etcd": "etcd",
    }
)  # component → what upstream releases it with, whose version counts

LISTS = frozenset({"list", "repeated", "map", "switches"})  # kinds that hold several values


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag of one version.

    kind: a word of `values.WORDS`, `text`, `list` (text that the program splits at commas), `repeated` (a flag that is
    written once for each value, as nothing splits it) or `ignored` (taken, and without any effect).
    choices: the words it takes, of a list each of its parts, of switches their names; empty when any will do.
    deprecated: upstream's own word on it, else empty. overruled: it means nothing beside a configuration file.
    """

    name: str
    kind: str
    choices: tuple[str, ...] = ()
    deprecated: str = ""
    overruled: bool = False


def minor(version: str) -> str:
    """`1.37.2` → `1.37`."""
    return ".".join(version.split(".")[:2])


def file_name(release: str, version: str) -> str:
    """The name of the data on one release's minor version."""
    return f"{release}-{minor(version)}.json"


@lru_cache(maxsize=8)
def data(release: str, line: str) -> Mapping[str, Any] | None:
    """The data on a minor version (`1.37`) of a release, or None when kprov holds none."""
    file = files("kprov.artifacts.options").joinpath("data", file_name(release, line))
    if not file.is_file():
        return None
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def flags_of(component: str, version: str) -> Mapping[str, Flag] | None:
    """The flags of a component by name, or None where kprov has no data on it or on this version."""
    release = RELEASES.get(component)
    return _flags(component, minor(version)) if release else None


@lru_cache(maxsize=32)
def _flags(component: str, line: str) -> Mapping[str, Flag] | None:
    found = data(RELEASES[component], line)
    if found is None:
        return None
    gates = found["gates"]
    return MappingProxyType({name: _flag(name, row, gates) for name, row in found["flags"][component].items()})


def _flag(name: str, row: str | Mapping[str, Any], gates: Sequence[str]) -> Flag:
    if isinstance(row, str):
        return Flag(name=name, kind=row)
    choices = row.get("choices", ())
    return Flag(
        name=name,
        kind=row["kind"],
        choices=tuple(gates if choices == "gates" else choices),
        deprecated=row.get("deprecated", ""),
        overruled=row.get("overruled", False),
    )


def written(flag: Flag | None, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return a value as a command line takes it: a list in one, unless nothing but the flag's repetition splits it."""
    return value if isinstance(value, str) or (flag is not None and flag.kind == "repeated") else ",".join(value)


def lines_with(component: str, flag: str) -> list[str]:
    """The minor versions that have this flag, of those kprov knows, the oldest first."""
    release = RELEASES[component]
    folder = files("kprov.artifacts.options").joinpath("data")
    lines = [
        entry.name.removeprefix(f"{release}-").removesuffix(".json")
        for entry in folder.iterdir()
        if entry.name.startswith(f"{release}-")
    ]
    return sorted((line for line in lines if flag in (_flags(component, line) or {})), key=numbers)
