"""What a certificate must be, and a CA that is the user's own: values; nothing is read, run or issued here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kprov.values.secret import Secret

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


@dataclass(frozen=True, kw_only=True)
class SignerCommand:
    """A program that gets a request (PEM) on standard input and gives a certificate on standard output.

    words: the program and its arguments. folder: where it is run. timeout: seconds that it may take for one certificate.
    """

    words: tuple[str, ...]
    folder: Path
    timeout: float


@dataclass(frozen=True, kw_only=True)
class OwnAuthority:
    """A CA that kprov did not make.

    chain: the CA's certificate and those above it, PEM. key: its private key, PEM, or else signer.
    """

    chain: bytes
    key: Secret | None = None
    signer: SignerCommand | None = None
