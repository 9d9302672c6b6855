"""Short-lived tokens of Kubernetes at the gate of a store: the one that `kprov open` shows, and those that are not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lab_cluster import LabCluster

from kprov.roles.layout import SERVICE_ACCOUNT_KEY


def password(cluster: LabCluster, namespace: str, secret: str, key: str) -> str:
    """The store's own, which whom `expose` lets in has to know."""
    return base64.b64decode(cluster.get("secret", secret, "-n", namespace)["data"][key]).decode()


def tokens(cluster: LabCluster, namespace: str, name: str, another: str) -> Mapping[str, str]:
    """What is special about it → a token. name: of the store's Service; another: a service account beside the right one."""
    user, audience = f"{namespace}-user", f"{name}.{namespace}.svc"

    def made(account: str, *arguments: str) -> str:
        return cluster.kubectl("-n", namespace, "create", "token", account, "--duration=10m", *arguments).strip()

    good = made(user, f"--audience={audience}")
    head, claims, signature = good.split(".")
    return {
        "made out to the store": good,
        "made out to the API server": made(user),
        "made out to another": made(user, f"--audience=x.{audience}"),
        "of another account": made(another, f"--audience={audience}"),
        "over": _signed(cluster, head, {**_read(claims), "exp": int(time.time()) - 1}),
        "longer than it was signed for": f"{head}.{_written({**_read(claims), 'exp': int(time.time()) + 86400})}.{signature}",
        "of no signature": f"{_written({'alg': 'none'})}.{claims}.",
    }


def statuses(cluster: LabCluster, address: str, name: str, url: str, held: Mapping[str, str]) -> dict[str, str]:
    """What a control plane is answered with each token. address: of the Service with that name, which its certificate has."""
    port = url.split("/")[2].split(":")[1]
    curl = f"curl -s -o /dev/null -w '%{{http_code}}' --cacert /etc/kubernetes/pki/ca.crt --resolve {name}:{port}:{address}"

    def ask(token: str) -> str:
        return cluster.sh("cp1", f"{curl} -H 'Authorization: Bearer {token}' '{url}'")

    with ThreadPoolExecutor(len(held)) as pool:  # the gate lets who is refused wait
        return dict(zip(held, pool.map(ask, held.values()), strict=True))


def only_the_first(held: Mapping[str, str]) -> dict[str, str]:
    first, *others = held
    return {first: "200", **dict.fromkeys(others, "401")}


def _signed(cluster: LabCluster, head: str, claims: Mapping[str, Any]) -> str:
    """By the cluster's own key, as the API server would (ES256, RFC 7518 3.4)."""
    key = load_pem_private_key(cluster.run("cp1", "cat", SERVICE_ACCOUNT_KEY).encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    text = f"{head}.{_written(claims)}"
    pair = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{_coded(b''.join(number.to_bytes(32, 'big') for number in pair))}"


def _read(part: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def _written(value: Mapping[str, Any]) -> str:
    return _coded(json.dumps(value).encode())


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
