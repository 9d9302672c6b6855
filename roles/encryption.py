"""Encryption of what is in etcd: EncryptionConfiguration, and the steps from one to another. Values only, all secret."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kprov.roles.api_policies import APISERVER
from kprov.values.api_settings import EncryptionSettings
from kprov.values.context import Trust
from kprov.values.secret import Secret

Document = dict[str, Any]
Provider = dict[str, Any]


Named = Sequence[tuple[str, bytes]]  # kprov's own keys, 32 bytes each, with their names; the first of them writes


def settled(given: EncryptionSettings, keys: Named) -> Document:
    """The configuration of a cluster whose objects are all written by it.

    The first provider writes; kprov's secretbox and identity read what was there before, whatever is given.
    """
    return _document([(given.resources, _providers(given, keys))])


def _providers(given: EncryptionSettings, keys: Named) -> list[Provider]:
    own = [_own(name, key) for name, key in keys]
    chosen = [_revealed(provider) for provider in given.providers] or own[:1]
    return _unique([own[0] if _is_own(provider) else provider for provider in chosen] + [*own, {"identity": {}}])


def _own(name: str, key: bytes) -> Provider:
    return {"secretbox": {"keys": [{"name": name, "secret": b64encode(key).decode("ascii")}]}}


def _is_own(provider: Provider) -> bool:
    return "secretbox" in provider and not (provider["secretbox"] or {}).get("keys")


def _revealed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: _revealed(item) for key, item in value.items()}
    return [_revealed(item) for item in value] if isinstance(value, list | tuple) else value


def _unique(providers: Sequence[Provider]) -> list[Provider]:
    """Each provider once, at its first place."""
    return [provider for number, provider in enumerate(providers) if provider not in providers[:number]]


def _document(rows: Sequence[tuple[Sequence[str], Sequence[Provider]]]) -> Document:
    return {
        "apiVersion": APISERVER,
        "kind": "EncryptionConfiguration",
        "resources": [
            {"resources": list(resources), "providers": list(providers)} for resources, providers in rows if resources
        ],
    }


def written_by(trust: Trust) -> Document:
    """The configuration by which all objects of a living cluster are written, as the operator's folder knows it."""
    if trust.encrypted_by:
        known: Document = json.loads(trust.encrypted_by)
        return known
    return settled(EncryptionSettings(), trust.encryption_keys[:1])


def beside(old: Document, new: Document, *, writes: Literal["old", "new"]) -> Document:
    """Both configurations in one: the first provider of `writes` writes, and all of both read."""
    names = dict.fromkeys(name for document in (new, old) for row in document["resources"] for name in row["resources"])
    rows = []
    for name in sorted(names, key=_width):  # of rows that match, the first decides
        pair = (_providers_of(old, name), _providers_of(new, name))
        first, second = pair if writes == "old" else reversed(pair)
        rows.append(([name], _readable([*first, *second])))
    return _document(rows)


def same_writers(one: Document, other: Document) -> bool:
    """Return whether both write every resource alike, so that they differ only in what is read besides."""
    return all(_providers_of(one, name)[0] == _providers_of(other, name)[0] for name in resource_names(one, other))


def secrets_of(*documents: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys in these configurations that are given as text."""
    return frozenset(
        str(key.get("secret", ""))
        for document in documents
        for row in document.get("resources", ())
        for provider in row.get("providers", ())
        for settings in provider.values()
        for key in (settings or {}).get("keys", ())
    )


def resource_names(*documents: Document) -> tuple[str, ...]:
    """The names of all resources in these configurations."""
    rows = (row for document in documents for row in document["resources"])
    return tuple(dict.fromkeys(name for row in rows for name in row["resources"]))


def _width(name: str) -> int:
    return 2 if name == "*.*" else 1 if name.startswith("*.") else 0


def _providers_of(document: Document, name: str) -> list[Provider]:
    """What is done with a resource: by the first row that names it or covers it, else nothing is encrypted."""
    wildcards = (name, f"*.{name.partition('.')[2]}", "*.*")
    for row in document["resources"]:
        if any(wildcard in row["resources"] for wildcard in wildcards):
            return list(row["providers"])
    return [{"identity": {}}]


def _readable(providers: Sequence[Provider]) -> list[Provider]:
    """Each provider once; identity, which reads whatever no other one wrote, last unless it writes."""
    first, *rest = _unique(providers)
    return [first, *(item for item in rest if "identity" not in item), *(item for item in rest if "identity" in item)]
