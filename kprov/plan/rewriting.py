"""Writing every encrypted object again, in pages: a conversation with a control plane.

Objects never leave their host: what comes back is what lists say of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from kprov.plan.conversation import Answer, Request, Talk
from kprov.plan.kube_answers import PASSING, error
from kprov.values.errors import ApplyError

PAGE = 500  # objects
_ABOUT = "objects that are encrypted"
# Of single objects: another writer came first, who wrote by the new configuration, or it is gone.
_GONE = re.compile(r"^Error from server \((Conflict|NotFound)\)")
_NONE = "no objects passed to replace"


def rewritten(resources: Iterable[str]) -> Talk[Mapping[str, int]]:
    """Write every object of these resources again; returns how many of each. Raises ApplyError.

    resources: as EncryptionConfiguration names them, with wildcards.
    """
    counts: dict[str, int] = {}
    for name, path in (yield from _paths(list(resources))).items():
        counts[name] = yield from _pages(name, path)
    return counts


def _pages(name: str, path: str) -> Talk[int]:
    count, token = 0, ""
    while True:
        more = f"&continue={quote(token)}" if token else ""
        request = Request(
            program="rewrite",
            about=f"{_ABOUT}: {name}",
            arguments=(f"{path}?limit={PAGE}{more}",),
            again=PASSING,
            seconds=60,
            changes=True,
        )
        (answer,) = yield [request]
        if token and "(Expired)" in answer.words:
            count, token = 0, ""  # from the start: what was written again already is not written twice
            continue
        metadata, written = _read(name, answer)
        count += written
        token = metadata
        if not token:
            return count


def _read(name: str, answer: Answer) -> tuple[str, int]:
    """The token of the next page, empty after the last one, and how many objects were written."""
    lines = answer.text.splitlines()
    wrong = [
        line
        for line in answer.words.splitlines()
        if line.strip() and not _GONE.match(line) and _NONE not in line and not line.startswith("Warning:")
    ]
    if not answer.ok or not lines or wrong or not lines[-1].isdecimal():
        raise ApplyError(
            f"not every object of {name} could be written again",
            found=wrong[0] if wrong else error(answer),
            needed="every object written by the new encryption configuration; the old key is kept until then",
            todo="fix what is said there, such as a webhook that refuses it, then run the same command again",
        )
    token = re.search(r'"continue":"([^"]*)"', lines[0])
    return (token[1] if token and len(lines) > 1 else ""), int(lines[-1])


def _paths(resources: Sequence[str]) -> Talk[Mapping[str, str]]:
    """The path of the list of each resource, wildcards resolved by what the API server serves."""
    found: dict[str, str] = {}
    for group in dict.fromkeys(_group(name) for name in resources):
        groups = (yield from _groups()) if group == "*" else [group]
        for one in groups:
            served = yield from _served(one)
            for name in resources:
                resource, asked = name.partition(".")[0], _group(name)
                if asked in (one, "*"):
                    found |= {
                        key: path
                        for key, path in served.items()
                        if resource == "*" or key.partition(".")[0] == resource
                    }
    return found


def _group(name: str) -> str:
    """`secrets` and `*.` → the core group, `*.*` → all."""
    return name.partition(".")[2]


def _groups() -> Talk[list[str]]:
    (answer,) = yield [_get("/apis")]
    found = answer.json()
    if not isinstance(found, dict):
        raise _unlisted("/apis", answer)
    return ["", *(str(group["name"]) for group in found.get("groups", ()))]


def _served(group: str) -> Talk[Mapping[str, str]]:
    """The resources of a group that can be listed and put back, with the path of each."""
    base = "/api/v1"
    if group:
        (answer,) = yield [_get(f"/apis/{group}")]
        found = answer.json()
        if "(NotFound)" in answer.words:
            return {}  # nothing of that group lives
        if not isinstance(found, dict):
            raise _unlisted(f"/apis/{group}", answer)
        base = f"/apis/{found['preferredVersion']['groupVersion']}"
    (answer,) = yield [_get(base)]
    listed = answer.json()
    if not isinstance(listed, dict):
        raise _unlisted(base, answer)
    return {
        f"{row['name']}.{group}".strip("."): f"{base}/{row['name']}"
        for row in listed.get("resources", ())
        if {"list", "update"} <= set(row.get("verbs", ())) and "/" not in row["name"]
    }


def _get(path: str) -> Request:
    return Request(program="kubectl", about=_ABOUT, arguments=("get", "--raw", path), again=PASSING, seconds=30)


def _unlisted(path: str, answer: Answer) -> ApplyError:
    return ApplyError("the API server does not say what it serves", where=path, found=error(answer))
