"""What a certificate must be: a value, compared with a parsed certificate elsewhere; nothing is issued here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Authority = Literal["kubernetes", "etcd", "front-proxy"]
AUTHORITIES: tuple[Authority, ...] = ("kubernetes", "etcd", "front-proxy")


@dataclass(frozen=True, kw_only=True)
class CertificateSpec:
    """Subject, names, usages and life of a leaf (source: hardening table of the docs, kubeadm's layout).

    ip_addresses are in text form. days is the life of a new leaf; renew_before_days the remaining life that makes kprov
    renew it.
    """

    name: str  # `kube-apiserver`, `etcd-peer`, `kubelet-client` …
    authority: Authority
    common_name: str
    organizations: tuple[str, ...] = ()
    server: bool = False
    client: bool = False
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    algorithm: Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"] = "ecdsa-p256"
    days: int = 365
    renew_before_days: int = 120


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """Which certificates are issued again with a new key though nothing is wrong with them: all, or those of these names.

    names: of certificates, hosts or add-ons.
    """

    names: frozenset[str] = frozenset()
    everything: bool = False

    def covers(self, *names: str) -> bool:
        """Return whether one of a certificate's names is among them: its own, and that of the host or add-on it is of."""
        return self.everything or not self.names.isdisjoint(names)


NOTHING = Renewal()
ASKED = "is to get a new key, as was asked for"
