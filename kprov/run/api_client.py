"""The API server, asked in HTTP through a host's connection by what needs no program there. It prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kprov.pki.table import super_admin_spec
from kprov.roles.layout import API_PORT
from kprov.run.workspace import Workspace
from kprov.state.credential import LIFE, client_tls
from kprov.tunnel.client import Client, port_to
from kprov.tunnel.way import Way
from kprov.values.errors import KprovError

_PAGE = 100  # objects
_PATIENCE = 30.0  # seconds for one answer


@contextmanager
def api_client(workspace: Workspace) -> Iterator[Client]:
    """Yield a client of the first control plane that can be reached. Raises TransportError, StoreError, PkiError."""
    way = Way(workspace.transport, workspace.cluster.group("control_plane"), lambda _: None)
    context = client_tls(workspace.store, super_admin_spec(workspace.cluster), LIFE)
    way.settle(lambda _: None)
    try:
        with port_to(way, "127.0.0.1", API_PORT) as port:
            client = Client(port, lambda: context, timeout=_PATIENCE)
            try:
                yield client
            finally:
                client.close()
    finally:
        way.close()


def all_of(client: Client, path: str, more: str = "") -> list[Any]:
    """Return all objects of a list, page by page. Raises KprovError where the cluster does not say."""
    found: list[Any] = []
    token = ""
    while True:
        said = client.ask("GET", f"{path}?limit={_PAGE}{more}{f'&continue={token}' if token else ''}")
        if said.why:
            raise silent(path, said.why)
        found += said.body["items"]
        token = said.body["metadata"].get("continue", "")
        if not token:
            return found


def silent(what: str, why: str) -> KprovError:
    """Return the error for an answer that cannot be gone on with."""
    return KprovError(
        "the API server does not say what has to be known",
        where=what,
        found=why,
        todo="look at `kprov status`, then run the same command again",
    )
