"""Certificates of add-ons: Secrets in the cluster, desired by specification as files on hosts are. Pure; issues nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kprov.addon.exposure import outside_names
from kprov.addon.render import certificate_texts
from kprov.objects.objects import ADDON_LABEL, OWNER, OWNER_LABEL, Identity, Object, identity
from kprov.pki.reissue import key_fits, why_reissue
from kprov.values.addon import Addon, CertificateRow
from kprov.values.certificate import ASKED, NOTHING, CertificateSpec, Renewal
from kprov.values.context import Trust
from kprov.values.model import Cluster


@dataclass(frozen=True, kw_only=True)
class SecretCertificate:
    """A certificate in a Secret. `reason` says why it has to be issued, empty when what lives is right."""

    secret: Object  # without its data when it has to be issued
    spec: CertificateSpec
    reason: str

    @property
    def identity(self) -> Identity:
        metadata = self.secret["metadata"]
        return "", "Secret", metadata["namespace"], metadata["name"]


def secret_certificates(
    cluster: Cluster,
    addon: Addon,
    live: Mapping[Identity, Object],
    values: Mapping[str, Any],
    trust: Trust,
    now: datetime,
    renew: Renewal = NOTHING,
) -> tuple[SecretCertificate, ...]:
    """One for each row. values: what templates see of the cluster; now: aware UTC; renew: those that get a new key."""
    return tuple(
        _one(addon, _spec(cluster, addon, row, values), row.secret, live, trust, now, renew)
        for row in addon.description.certificates
    )


def listed(
    cluster: Cluster, live: Iterable[Object], values: Mapping[str, Any], trust: Trust, now: datetime
) -> Iterator[tuple[CertificateSpec, str, bytes | None, str]]:
    """Every certificate that add-ons have in Secrets: specification, place, PEM, and why it would be issued again.

    live: objects with kprov's label; values: what templates see of the cluster; now: aware UTC.
    """
    lives = {identity(item): item for item in live}
    for addon in cluster.addons:
        for one in secret_certificates(cluster, addon, lives, values, trust, now):
            there = lives.get(one.identity, {}).get("data") or {}
            place = f"Secret {one.identity[2]}/{one.identity[3]}"
            yield one.spec, place, _decoded(there.get("tls.crt")) or None, one.reason


def filled(secret: Object, certificate: bytes, key: bytes, bundle: bytes) -> Object:
    """Return the Secret with what was issued for it, and the CA certificates to trust."""
    data = {"tls.crt": certificate, "tls.key": key, "ca.crt": bundle}
    return {**secret, "data": {name: base64.b64encode(content).decode() for name, content in data.items()}}


def _spec(cluster: Cluster, addon: Addon, row: CertificateRow, values: Mapping[str, Any]) -> CertificateSpec:
    return CertificateSpec(
        name=f"{addon.name}-{row.secret}",
        authority=row.authority,
        common_name=certificate_texts(addon, (row.common_name,), values)[0],
        organizations=row.organizations,
        server=row.usage in ("server", "both"),
        client=row.usage in ("client", "both"),
        dns_names=(*certificate_texts(addon, row.dns_names, values), *outside_names(addon, row.secret)),
        algorithm=cluster.pki.algorithm,
        days=cluster.pki.leaf_days,
        renew_before_days=cluster.pki.renew_before_days,
    )


def _one(
    addon: Addon,
    spec: CertificateSpec,
    name: str,
    live: Mapping[Identity, Object],
    trust: Trust,
    now: datetime,
    renew: Renewal,
) -> SecretCertificate:
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {
            "name": name,
            "namespace": addon.namespace,
            "labels": {OWNER_LABEL: OWNER, ADDON_LABEL: addon.name},
        },
    }
    there = live.get(("", "Secret", addon.namespace, name), {}).get("data") or {}
    reason = why_reissue(_decoded(there.get("tls.crt")), spec, trust.issuer[spec.authority], now) or ""
    if not reason and not there.get("tls.key"):
        reason = "has lost its key"
    if not reason and not key_fits(_decoded(there["tls.key"]), _decoded(there["tls.crt"])):
        reason = "does not match its private key"
    if not reason and _decoded(there.get("ca.crt")).strip() != trust.bundle[spec.authority].strip():
        reason = "comes with another CA bundle"
    if not reason and renew.covers(addon.name, spec.name):
        reason = ASKED
    if not reason:
        secret["data"] = {key: there[key] for key in ("tls.crt", "tls.key", "ca.crt")}
    return SecretCertificate(secret=secret, spec=spec, reason=reason)


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""
