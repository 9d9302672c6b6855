"""A kubeconfig beside the inventory → one that stands for itself, with the files that it names inside. Reads those."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import yaml

from kprov.values import yaml_text
from kprov.values.secret import Secret

_NAMED = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


class Incomplete(Exception):
    """A kubeconfig that the API server could not use; the text says why, and shows nothing of it."""


def self_contained(text: Secret, folder: Path) -> Secret:
    """The kubeconfig with certificates, keys and tokens in the place of paths. folder: where relative paths start.

    Raises Incomplete.
    """
    try:
        document = yaml_text.load(text.reveal())
    except yaml.YAMLError:
        raise Incomplete("the kubeconfig is not valid YAML") from None
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise Incomplete("this is no kubeconfig: a mapping with clusters, users and contexts is needed")
    clusters = _entries(document, "clusters", "cluster")
    if not any(str(cluster.get("server", "")).startswith("https://") for cluster in clusters):
        raise Incomplete("the kubeconfig names no server that begins with https://")
    names = {item.get("name") for item in document.get("contexts") or () if isinstance(item, dict)}
    if document.get("current-context") not in names:
        raise Incomplete("the kubeconfig's current-context is none of its contexts")
    for entry in (*clusters, *_entries(document, "users", "user")):
        _take_in(entry, folder)
    return Secret(yaml_text.dump({"apiVersion": "v1", "kind": "Config", **document}))


def _entries(document: dict[str, Any], key: str, inner: str) -> list[dict[str, Any]]:
    items = document.get(key) or []
    found = [item.get(inner) or {} for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [entry for entry in found if isinstance(entry, dict)]


def _take_in(entry: dict[str, Any], folder: Path) -> None:
    for name, inside in _NAMED.items():
        if isinstance(path := entry.pop(name, None), str):
            entry[inside] = b64encode(_read(folder, path, name)).decode("ascii")
    if isinstance(path := entry.pop("tokenFile", None), str):
        entry["token"] = _read(folder, path, "tokenFile").decode(errors="replace").strip()


def _read(folder: Path, path: str, name: str) -> bytes:
    file = folder / Path(path).expanduser()
    try:
        return file.read_bytes()
    except OSError as error:
        raise Incomplete(f"{file}, the {name} that the kubeconfig names, cannot be read: {error.strerror}") from error
