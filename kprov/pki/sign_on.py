"""Kubeconfigs for people who sign on with an issuer of the inventory: no key is in them, kubectl asks kubelogin for a token.

Pure. It must hold nothing secret: such a file can be given to everybody.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from kprov.pki.kubeconfig import document
from kprov.values.errors import KprovError
from kprov.values.model import Cluster

_USER = "oidc"
_HINT = """\
kubectl needs kubelogin as its plugin `oidc-login`: https://github.com/int128/kubelogin
(kubectl krew install oidc-login)
"""


def signing_on(
    cluster: Cluster, server: str, ca_pem: bytes, *, issuer: str = "", client_id: str = "", scopes: Sequence[str] = ()
) -> str:
    """Return a kubeconfig whose user is whoever signs on.

    issuer: one of the inventory's, by its URL; empty where it names one alone. client_id: of the program that people sign
    on with; the issuer's only audience where it has one alone. Raises KprovError where it is not clear which is meant.
    """
    chosen = _issuer(cluster, issuer)
    words = [
        *("oidc-login", "get-token", f"--oidc-issuer-url={chosen.get('discoveryURL') or chosen['url']}"),
        f"--oidc-client-id={client_id or _audience(chosen)}",
        *(f"--oidc-extra-scope={scope}" for scope in scopes),
    ]
    if authority := chosen.get("certificateAuthority"):
        words.append(f"--certificate-authority-data={b64encode(str(authority).encode()).decode()}")
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "kubectl",
        "args": words,
        "interactiveMode": "IfAvailable",
        "installHint": _HINT,
    }
    name = f"{_USER}@{cluster.name}"
    return document(
        cluster=(cluster.name, {"server": server, "certificate-authority-data": b64encode(ca_pem).decode()}),
        user=(name, {"exec": plugin}),
        context=name,
    )


def _issuer(cluster: Cluster, url: str) -> Mapping[str, Any]:
    issuers = [each["issuer"] for each in cluster.api.authentication.get("jwt", ())]
    named = [each for each in issuers if not url or each["url"] == url]
    if len(named) == 1:
        return named[0]  # type: ignore[no-any-return]
    urls = ", ".join(str(each["url"]) for each in issuers)
    if not issuers:
        raise KprovError(
            "the cluster knows no issuer to sign on with",
            needed="`authentication: {jwt: […]}` below `cluster` of the inventory",
            todo="add it and run `kprov up` (docs/access.md)",
        )
    raise KprovError(
        "the cluster knows several issuers" if not url else "the cluster does not know this issuer",
        found=url or urls,
        needed=f"one of {urls}",
        todo="name it with --issuer",
    )


def _audience(issuer: Mapping[str, Any]) -> str:
    audiences = [str(each) for each in issuer["audiences"]]
    if len(audiences) == 1:
        return audiences[0]
    raise KprovError(
        "the issuer has several audiences, and people sign on with one of them",
        where=str(issuer["url"]),
        found=", ".join(audiences),
        needed="the client that they sign on with",
        todo="name it with --client-id",
    )
