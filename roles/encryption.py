"""Encryption of what is in etcd: EncryptionConfiguration, and the steps from one to another. Values only, all secret."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from kprov.roles.api_policies import APISERVER
from kprov.values.api_settings import EncryptionSettings
from kprov.values.model import Secret

Document = dict[str, Any]
Provider = dict[str, Any]


def settled(given: EncryptionSettings, key: bytes) -> Document:
    """The configuration of a cluster whose objects are all written by it. key: kprov's own, 32 bytes.

    The first provider writes; kprov's secretbox and identity read what was there before, whatever is given.
    """
    return _document([(given.resources, _providers(given, key))])


def _providers(given: EncryptionSettings, key: bytes) -> list[Provider]:
    own: Provider = {"secretbox": {"keys": [{"name": "key1", "secret": b64encode(key).decode("ascii")}]}}
    chosen = [_revealed(provider) for provider in given.providers] or [own]
    return _unique([own if _is_own(provider) else provider for provider in chosen] + [own, {"identity": {}}])


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
