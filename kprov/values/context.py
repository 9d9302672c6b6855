"""What a role is given: the whole cluster as values. Roles read it and return resources; nothing here does I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, TypeVar

from kprov.values.certificate import Authority
from kprov.values.model import Cluster, ClusterFacts, Facts, Host
from kprov.values.resources import Artifact

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, repr=False)
class Trust:
    """The cluster's trust material as roles may use it: public CA certificates (PEM) and the keys that hosts must have.

    bundle: what whoever checks a certificate trusts, one CA certificate or several while a CA is replaced. issuer: the
    CA certificate whose key signs now, and which every leaf is compared with; behind it those above it. roots: the CAs above
    those in `bundle`, for programs that must see a root; only of CAs that have any. service_account_key and _public are
    PEM, _public several keys while one is replaced; encryption_key is 32 random bytes (secretbox), and encryption_name
    what API servers call it. encryption_other: name and bytes of a key that is only read, while one is replaced.
    encrypted_by: the configuration by which all objects in etcd are written, JSON; empty: by that key alone. lost: the CAs
    whose private key nobody has any more, so that no leaf of theirs can be issued. timed: for timed backups, where there
    are any. CA private keys are not here: they never leave the operator unsealed.
    """

    bundle: Mapping[Authority, bytes]
    issuer: Mapping[Authority, bytes]
    service_account_key: bytes
    service_account_public: bytes
    encryption_key: bytes
    encrypted_by: str = ""
    encryption_name: str = "key1"
    encryption_other: tuple[str, bytes] | None = None
    lost: frozenset[Authority] = frozenset()
    timed: Timed | None = None
    roots: Mapping[Authority, bytes] = field(default_factory=dict)

    def given_out(self, name: Authority) -> bytes:
        """Return what pods and people are given to check servers by: the CAs, and those above them."""
        return self.bundle[name] + self.roots.get(name, b"")

    @property
    def encryption_keys(self) -> tuple[tuple[str, bytes], ...]:
        """Names and bytes of kprov's own keys: the one that writes, then what is only read."""
        own = (self.encryption_name, self.encryption_key)
        return (own,) if self.encryption_other is None else (own, self.encryption_other)

    def __repr__(self) -> str:
        return "Trust(***)"


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What hosts of etcd need for backups that they take by themselves. Nothing of it is a secret.

    cluster_id, authorities: identity of the cluster, and fingerprints of its CAs. recipients: public keys that backups are
    encrypted for. state: the state folder's keys, encrypted for the same.
    """

    cluster_id: str
    authorities: Mapping[Authority, str]
    recipients: tuple[str, ...]
    state: bytes


@dataclass(frozen=True, kw_only=True, repr=False)
class Held:
    """What the hosts of a living cluster hold of its trust: the CAs' certificates, and the keys that API servers have.

    authorities: the CAs that leaves are of. former: others that hosts trust too. encryption_name: what API servers call the
    key.
    """

    authorities: Mapping[Authority, bytes]
    former: Mapping[Authority, bytes]
    service_account: bytes
    service_account_public: bytes
    encryption: bytes
    encryption_name: str
    encrypted_by: str

    def __repr__(self) -> str:
        return "Held(***)"


@dataclass(frozen=True, kw_only=True)
class Context:
    """One host's view: the cluster, itself, everybody's facts, and what was decided for the whole cluster."""

    cluster: Cluster
    host: Host
    facts: ClusterFacts
    trust: Trust
    artifacts: Mapping[tuple[str, str], Artifact]  # (catalog name, arch)
    pod_cidrs: Mapping[str, IPv4Network]  # host name → its pod network
    # By `once`, for all hosts of a plan: name → what it was made of, and what was made.
    made: dict[object, tuple[tuple[object, ...], Any]] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: object, make: Callable[[], Made]) -> Made:
        """Return what is the same for every host of this cluster, made for the first that asks. name: of it and of all that
        it depends on besides cluster, facts and pod networks.
        """
        given = (self.cluster, self.facts, self.pod_cidrs)
        known = self.made.get(name)
        if known is None or any(one is not other for one, other in zip(known[0], given, strict=True)):
            known = self.made[name] = given, make()
        made: Made = known[1]
        return made

    @property
    def own(self) -> Facts:
        """This host's facts."""
        return self.facts[self.host.name]

    @property
    def node_ip(self) -> str:
        return self.facts.node_ip(self.host)

    def artifact(self, name: str) -> Artifact:
        """The artifact of that catalog name for this host's architecture. Raises KeyError."""
        return self.artifacts[(name, self.own.arch)]
