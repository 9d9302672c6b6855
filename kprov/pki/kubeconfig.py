"""Kubeconfig documents as YAML text. Pure: where they are written, and with which mode, is the caller's affair."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import yaml

from kprov.values import yaml_text
from kprov.values.errors import PkiError

_LISTS = ("clusters", "users", "contexts")


def embedded(cluster_name: str, server: str, ca_pem: bytes, cert_pem: bytes, key_pem: bytes, user: str) -> str:
    """A kubeconfig that holds its certificates and key, for an operator. It is a secret: write it with mode 0600.

    server: URL of the API. The context is `USER@CLUSTER`, and so is the user entry: kubeconfigs of several clusters
    can be merged without one `kubernetes-admin` taking the other's place.
    """
    name = f"{user}@{cluster_name}"
    return document(
        cluster=(cluster_name, {"server": server, "certificate-authority-data": _base64(ca_pem)}),
        user=(name, {"client-certificate-data": _base64(cert_pem), "client-key-data": _base64(key_pem)}),
        context=name,
    )


def referencing(
    server: str, ca_path: str, cert_path: str, key_path: str, user: str, tls_server_name: str | None = None
) -> str:
    """A kubeconfig that names certificate files on a host: client-go reads them again, so renewal needs no restart.

    server: URL of the API. tls_server_name: the name the server's certificate is checked for, when it is not the
    URL's host.
    """
    cluster = {"server": server, "certificate-authority": ca_path}
    if tls_server_name is not None:
        cluster["tls-server-name"] = tls_server_name
    return document(
        cluster=("kubernetes", cluster),
        user=(user, {"client-certificate": cert_path, "client-key": key_path}),
        context=f"{user}@kubernetes",
    )


def merge(existing_text: str, new: str, *, make_current: bool = True) -> str:
    """The existing kubeconfig with the clusters, users and contexts of `new` put in; everything else stays.

    Entries of the same name are replaced where they stand. Comments are not kept: YAML's values are. make_current:
    switch to the new context; one is chosen in any case when the existing text has none. Raises PkiError when the
    existing text is no kubeconfig (its content, which may hold keys, is not quoted).
    """
    merged = _parsed(existing_text)
    added: dict[str, Any] = yaml.safe_load(new)
    for kind in _LISTS:
        merged[kind] = _replaced(merged.get(kind) or [], added[kind])
    if make_current or not merged.get("current-context"):
        merged["current-context"] = added["current-context"]
    return _dump({"apiVersion": "v1", "kind": "Config", **merged})


def document(cluster: tuple[str, dict[str, str]], user: tuple[str, dict[str, Any]], context: str) -> str:
    """Return a kubeconfig of one cluster, one user and the context of both."""
    return _dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster[0], "cluster": cluster[1]}],
            "users": [{"name": user[0], "user": user[1]}],
            "contexts": [{"name": context, "context": {"cluster": cluster[0], "user": user[0]}}],
            "current-context": context,
        }
    )


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _not_a_kubeconfig(f"broken YAML at line {line}") from None
    except yaml.YAMLError:
        raise _not_a_kubeconfig("broken YAML") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _not_a_kubeconfig(f"a {type(document).__name__} at the top")
    if document.get("kind", "Config") != "Config":
        raise _not_a_kubeconfig(f"kind: {document['kind']}")
    for kind in _LISTS:
        entries = document.get(kind) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
            raise _not_a_kubeconfig(f"{kind} is not a list of named entries")
    return document


def _not_a_kubeconfig(found: str) -> PkiError:
    return PkiError(
        "the existing kubeconfig cannot be extended",
        found=found,
        needed="a YAML document of kind Config",
        todo="repair or move it away, or write the new kubeconfig to a file of its own",
    )


def _replaced(entries: list[dict[str, Any]], added: list[dict[str, Any]]) -> list[dict[str, Any]]:
    new = {entry["name"]: entry for entry in added}
    return [new.pop(entry["name"], entry) for entry in entries] + list(new.values())


def _dump(document: dict[str, Any]) -> str:
    return yaml_text.dump(document, width=80)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
