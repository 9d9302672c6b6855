"""Changes of text files as unified diffs. Content of secret files, keys and certificates is never shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from kprov.observe.observation import printable
from kprov.plan.host import Change
from kprov.values.resources import (
    Binary,
    Certificate,
    Directory,
    File,
    Image,
    KernelModule,
    Package,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

_LARGEST = 2000  # lines; what is longer is not read by anybody


def shown_paths(changes: Iterable[Change]) -> tuple[str, ...]:
    """Paths whose present content is needed: files that are replaced and hold no secret."""
    found = (_plain(change) for change in changes if change.action == "update")
    return tuple(dict.fromkeys(resource.path for resource in found if resource is not None))


def file_diffs(host: str, changes: Sequence[Change], present: Mapping[str, bytes]) -> list[str]:
    """A unified diff for each file that appears or changes, with `HOST:PATH` in its heading.

    present: content by path, of the paths that `shown_paths` names.
    """
    texts: list[str] = []
    for change in changes:
        if change.action not in ("create", "update"):
            continue
        resource = _plain(change)
        if resource is not None:
            texts.append(_diff(host, resource, present.get(resource.path), change.action == "update"))
        elif isinstance(change.resource, File):
            texts.append(f"--- {host}:{change.resource.path}\n    secret content, not shown")
    return [text for text in texts if text]


def _plain(change: Change) -> File | Unit | None:
    match change.resource:
        case File() as file:
            return None if file.secret else file
        case Unit() as unit:
            return unit
        case None | Binary() | Certificate() | Directory() | Image():
            return None
        case Sysctl() | KernelModule() | User() | Package() | SwapOff():
            return None
        case unknown:
            assert_never(unknown)


def _diff(host: str, resource: File | Unit, before: bytes | None, there: bool) -> str:
    old, new = _lines(before or b""), _lines(resource.content)
    if old is None or new is None:
        return f"--- {host}:{resource.path}\n    not text, {len(before or b'')} → {len(resource.content)} bytes"
    known = "now" if there else "not there"
    names = (f"{host}:{resource.path} ({known})", f"{host}:{resource.path} (wanted)")
    return printable("\n".join(difflib.unified_diff(old, new, *names, lineterm="")))


def _lines(content: bytes) -> list[str] | None:
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= _LARGEST else None
