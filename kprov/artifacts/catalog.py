"""The catalog: which versions fit together, and where their files come from. Reads package data only.

`catalog.yaml` is the table; this module gives it types and answers questions on it. It must not fetch, build or touch
the cache, so that an inventory can be validated without any of that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from kprov.values import yaml_text
from kprov.values.errors import ArtifactError
from kprov.values.release import Build, Component, ImageEntry
from kprov.values.spelling import did_you_mean

ARCHITECTURES: tuple[str, ...] = ("amd64", "arm64")

_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){1,2}")
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Catalog:
    default: str
    lines: Mapping[str, Mapping[str, str]]
    refused: tuple[tuple[str, tuple[int, ...], str], ...]  # component, first version that will do, why
    components: Mapping[str, Component]
    images: Mapping[str, ImageEntry]
    build_seconds: Mapping[str, int]

    @property
    def keys(self) -> tuple[str, ...]:
        """The components an inventory can name a version of."""
        return tuple(self.lines[self.default])


def numbers(version: str) -> tuple[int, ...]:
    """`1.37.2` → (1, 37, 2)."""
    return tuple(int(part) for part in version.split("."))


@lru_cache(maxsize=1)
def load() -> Catalog:
    """The catalog of this release of kprov."""
    text = files("kprov.artifacts").joinpath("catalog.yaml").read_text(encoding="utf-8")
    raw = yaml_text.load(text)
    return Catalog(
        default=raw["default"],
        lines=MappingProxyType({line: MappingProxyType(dict(row)) for line, row in raw["lines"].items()}),
        refused=tuple((row["component"], numbers(row["below"]), row["reason"]) for row in raw["refused"]),
        components=MappingProxyType({name: component_entry(name, row) for name, row in raw["components"].items()}),
        images=MappingProxyType({name: image_entry(name, row) for name, row in raw["images"].items()}),
        build_seconds=MappingProxyType(dict(raw["build_seconds"])),
    )


def _build(raw: Mapping[str, Any]) -> Build:
    return Build(
        ldflags=tuple(raw.get("ldflags", ())),
        tags=tuple(raw.get("tags", ())),
        cgo=raw.get("cgo", False),
        mode=raw.get("mode", ""),
    )


def component_entry(name: str, raw: Mapping[str, Any]) -> Component:
    """One row of `components`, or a program that an add-on puts on hosts."""
    return Component(
        name=name,
        module=raw.get("module", ""),
        programs=MappingProxyType(dict(raw["programs"])),
        url=raw["url"],
        checksum=raw.get("checksum", ""),
        member=raw.get("member", ""),
        build=_build(raw.get("build", {})),
        c=MappingProxyType(dict(raw.get("c", {}))),
    )


def image_entry(name: str, raw: Mapping[str, Any]) -> ImageEntry:
    """One row of `images`, of the catalog's or of an add-on's."""
    ((program, package),) = raw.get("program", {"": ""}).items()
    return ImageEntry(
        name=name,
        component=raw["component"],
        reference=raw.get("reference", ""),
        built=raw.get("built", ""),
        program=program,
        package=package,
        user=raw.get("user", "0:0"),
        arguments=tuple(raw.get("arguments", ())),
        build=_build(raw.get("build", {})),
    )


def resolve_versions(kubernetes: str = "", overrides: Mapping[str, str] = _EMPTY) -> Mapping[str, str]:
    """The version of every component, without "v", for a Kubernetes line or an exact version.

    Args:
        kubernetes: a line (`1.37`), a version (`1.37.2`, a leading v is taken off), or empty for the default line.
            Any patch release of a line will do: a newer one can be downloaded, though not built.
        overrides: component → exact version, for those that are to differ from the line's.

    Raises ArtifactError, with the nearest choices, for an unknown line or component and for a version kprov refuses.
    """
    catalog = load()
    desired = (kubernetes or catalog.default).removeprefix("v")
    line = ".".join(desired.split(".")[:2])
    if not _VERSION.fullmatch(desired) or line not in catalog.lines:
        raise ArtifactError(
            "this Kubernetes version is not in kprov's catalog",
            found=kubernetes,
            needed=f"a line ({', '.join(catalog.lines)}) or a patch release of one",
            todo=f"write {_nearest(desired, catalog)}",
        )
    versions = dict(catalog.lines[line])
    if desired != line:
        versions["kubernetes"] = desired
    for component, version in overrides.items():
        versions[component] = _override(catalog, component, version)
    for component, below, reason in catalog.refused:
        if numbers(versions[component]) < below:
            raise ArtifactError(
                f"{component} {versions[component]} cannot be used: {reason}",
                found=versions[component],
                needed=f"{'.'.join(map(str, below))} or later",
                todo=f"leave {component} out to get {catalog.lines[line][component]}",
            )
    return MappingProxyType(versions)


def _nearest(desired: str, catalog: Catalog) -> str:
    lines = sorted(catalog.lines, key=numbers)
    if not _VERSION.fullmatch(desired):
        return catalog.default
    nearest = min(lines, key=lambda line: _distance(numbers(line), numbers(desired)))
    return f"{nearest} or {catalog.lines[nearest]['kubernetes']}"


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(abs(a - b) for a, b in zip(one, other, strict=False))


def _override(catalog: Catalog, component: str, version: str) -> str:
    choices = [name for name in catalog.keys if name != "kubernetes"]
    if component not in choices:
        raise ArtifactError(
            f"there is no component {component!r} to set a version of",
            found=component,
            needed=f"one of {', '.join(choices)}",
            todo=did_you_mean(component, choices) or "take it out",
        )
    bare = str(version).removeprefix("v")
    if not _VERSION.fullmatch(bare) or bare.count(".") != 2:
        example = catalog.lines[catalog.default][component]
        raise ArtifactError(
            f"this is not a version of {component}",
            found=str(version),
            needed=f"an exact version such as {example}",
            todo="write it with its patch number, in quotes",
        )
    return bare
