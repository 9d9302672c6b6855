"""YAML read fast and written for readers in Go: text that they would take for a switch or a number stands in quotes.

PyYAML leaves `n`, `1e3` and `0o17` bare, because for itself they are text; Kubernetes' reader makes false, 1000 and 15 of
them, and refuses the field or, worse, takes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times as fast


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # libyaml's, five times as fast
    """Resolvers make a dumper quote the texts that they match."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(0[oObBxX][0-9a-fA-F_]+|([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)([eE][-+]?[0-9]+)?)\Z"),
    list("-+.0123456789"),
)


def load(text: str) -> Any:
    """The one document of a text, by YAML's plain types only. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=LOADER)  # noqa: S506 - it is a safe one


def load_all(text: str) -> list[Any]:
    """All documents of a text, as `load` reads one. Raises yaml.YAMLError."""
    return list(yaml.load_all(text, Loader=LOADER))


def dump(document: Any, *, flow: bool = False, width: int = 1000) -> str:
    """One document in the order of its keys."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, default_flow_style=flow, width=width))


def dump_all(documents: Iterable[Any], *, width: int = 1000) -> str:
    """Documents, each in the order of its keys."""
    return str(yaml.dump_all(list(documents), Dumper=_Dumper, sort_keys=False, width=width))
