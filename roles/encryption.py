"""Encryption of what is in etcd: EncryptionConfiguration, and the steps from one to another. Values only, all secret."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kprov.roles.api_policies import APISERVER
from kprov.values.api_settings import EncryptionSettings
from kprov.values.context import Trust
from kprov.values.errors import KprovError
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
    """Both configurations in one: the first provider of `writes` writes, and all of both read. Raises KprovError."""
    names = dict.fromkeys(name for document in (new, old) for row in document["resources"] for name in row["resources"])
    old = _with_settings_of(new, old)
    rows: list[tuple[list[str], list[Provider]]] = []
    for name in sorted(names, key=_width):  # of rows that match, the first decides
        pair = (_providers_of(old, name), _providers_of(new, name))
        first, second = pair if writes == "old" else reversed(pair)
        rows.append(([name], _readable([*first, *second])))
    return _document(_with_each_kms_once(rows))


def _with_each_kms_once(rows: list[tuple[list[str], list[Provider]]]) -> list[tuple[list[str], list[Provider]]]:
    """Return rows that mean the same, in none of which a KMS stands that another one has: API servers refuse that.

    Of a resource that several rows name, the providers of all of them count, in their order. Raises KprovError where the
    rows of wildcards would have to be two, which API servers refuse as well.
    """
    if _has_each_kms_once(rows):
        return rows
    merged: list[tuple[list[str], list[Provider]]] = []
    for names, providers in rows:
        alike = next((row for row in merged if row[1] == providers), None)
        merged = [row for row in merged if row is not alike]
        merged.append(([*(alike[0] if alike else []), *names], providers))
    merged = [(_uncovered(names), providers) for names, providers in merged]
    if _has_each_kms_once(merged):
        return merged
    every = [name for names, _ in rows for name in names]
    if any(_width(name) for name in every):
        raise KprovError(
            "what encrypts objects, and which objects, cannot change in one run where a KMS and wildcards meet",
            where="cluster.encryption",
            found=f"a KMS, and the resources {', '.join(every)}",
            needed="one of both at a time: API servers take a KMS in one row of their configuration alone",
            todo="change `providers` first and leave `resources` as they are, or the other way round; run `kprov up` between",
        )
    firsts = [providers[0] for _, providers in merged]
    writer = [provider for provider in firsts if "kms" in provider][:1]
    before = [(names, providers[:1]) for names, providers in merged if providers[0] not in writer]
    return [*before, (every, _readable([*writer, *(one for _, providers in merged for one in providers)]))]


def _has_each_kms_once(rows: Sequence[tuple[Sequence[str], Sequence[Provider]]]) -> bool:
    names = [provider["kms"].get("name") for _, providers in rows for provider in providers if "kms" in provider]
    return len(names) == len(set(names))


def _uncovered(names: list[str]) -> list[str]:
    """Without those that a wildcard among them covers."""
    wildcards = {name for name in names if _width(name)}
    every = {"*.*"} & wildcards
    return [
        name
        for name in names
        if name == "*.*" or not (every or (name not in wildcards and f"*.{name.partition('.')[2]}" in wildcards))
    ]


def same_writers(one: Document, other: Document) -> bool:
    """Return whether both write every resource alike, so that they differ only in what is read besides."""
    one = _with_settings_of(other, one)
    return all(_providers_of(one, name)[0] == _providers_of(other, name)[0] for name in resource_names(one, other))


def _with_settings_of(new: Document, old: Document) -> Document:
    """Return the old configuration with the new one's socket and limits of each KMS: its name alone is in what it wrote."""
    every = [provider for row in new["resources"] for provider in row["providers"] if "kms" in provider]
    known = {provider["kms"].get("name"): provider for provider in every}
    return _document(
        [
            (row["resources"], [known.get((one.get("kms") or {}).get("name"), one) for one in row["providers"]])
            for row in old["resources"]
        ]
    )


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
