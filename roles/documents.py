"""Small pure builders for what roles write: YAML text, laid-over settings, command lines. No file names, no hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kprov.values import yaml_text
from kprov.values.resources import Check

Values = str | tuple[str, ...]


def dump(document: Mapping[str, Any]) -> bytes:
    """A YAML document in the order of its keys."""
    return yaml_text.dump(_plain(document)).encode()


def laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the settings of `over` in place: mappings are merged, everything else is replaced."""
    merged = {key: _plain(value) for key, value in base.items()}
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = laid_over(below, value) if both else _plain(value)  # type: ignore[arg-type]
    return merged


def arguments(flags: Mapping[str, Values], over: Mapping[str, Values]) -> tuple[str, ...]:
    """`--name=value` for each flag, the user's laid over ours; order is ours, then theirs by name.

    A flag with several values is written once for each.
    """
    merged = {**flags, **{name: over[name] for name in sorted(over)}}
    return tuple(f"--{name}={value}" for name, values in merged.items() for value in each(values))


def parsing(program: str, words: tuple[str, ...]) -> Check:
    """How a program that is to run with these words is asked whether it takes them: it parses all, and then ends.

    That holds for every component of Kubernetes, etcd and every container runtime: none of them looks at `--version` before.
    """
    return (program, *words, "--version")


def each(values: Values) -> tuple[str, ...]:
    """The values of a flag."""
    return (values,) if isinstance(values, str) else values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
