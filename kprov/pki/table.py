"""The tree of certificates of a cluster: three CAs and the leaves of components below them; it issues nothing.

Sources: kubernetes.io "PKI certificates and requirements"; etcd "Transport security model". Departures on purpose:
the API server's kubelet client is in a group of its own instead of an administrators' group (CIS 5.1.7), and only
etcd members have a certificate that is good for both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

from kprov.pki.addresses import LOOPBACK, api_names, etcd_names, host_names, split_names
from kprov.values.certificate import AUTHORITIES, Authority, CertificateSpec
from kprov.values.component import Leaf
from kprov.values.components import COMPONENTS
from kprov.values.errors import PkiError
from kprov.values.model import Cluster, ClusterFacts, Host

CLUSTER_ADMINS = "kubeadm:cluster-admins"  # bound to ClusterRole cluster-admin; the name other tools look for
ADMIN = "kubernetes-admin"
SUPER_ADMIN = "kubernetes-super-admin"

_COMMON_NAME_LIMIT = 64  # ub-common-name, RFC 5280 appendix A

TREE: Mapping[Authority, tuple[Leaf, ...]] = MappingProxyType(
    {
        authority: tuple(leaf for component in COMPONENTS for leaf in component.leaves if leaf.authority == authority)
        for authority in AUTHORITIES
    }
)


def leaf_specs(cluster: Cluster, host: Host, facts: ClusterFacts) -> Mapping[str, CertificateSpec]:
    """The certificates this host must have, by name, for the groups it is in.

    Deterministic: equal input gives equal values in equal order. Raises KeyError when the host has not answered,
    ValueError when it has no node IP, PkiError when its name does not fit into a certificate.
    """
    return {
        leaf.name: _spec(leaf, cluster, host, facts)
        for component in COMPONENTS
        for leaf in component.leaves
        if component.groups & host.groups
    }


def names(leaf: Leaf, cluster: Cluster, host: Host, facts: ClusterFacts) -> tuple[str, ...]:
    """Return the names and addresses that a leaf has on a host; a client is known by its subject and has none."""
    match leaf.names:
        case "none":
            return ()
        case "loopback":
            return LOOPBACK
        case "host":
            return host_names(cluster, host, facts)
        case "etcd":
            return etcd_names(cluster, host, facts)
        case "api":
            return api_names(cluster, host, facts)
        case unknown:
            assert_never(unknown)


def _spec(leaf: Leaf, cluster: Cluster, host: Host, facts: ClusterFacts) -> CertificateSpec:
    common_name = leaf.cn.format(host=host.name)
    if len(common_name) > _COMMON_NAME_LIMIT:
        raise PkiError(
            f"the common name of certificate {leaf.name} is too long",
            where=host.name,
            found=f"{common_name} ({len(common_name)} characters)",
            needed=f"at most {_COMMON_NAME_LIMIT} characters",
            todo="give the host a shorter name, in the inventory and on the machine",
        )
    dns_names, ip_addresses = split_names(names(leaf, cluster, host, facts))
    return CertificateSpec(
        name=leaf.name,
        authority=leaf.authority,
        common_name=common_name,
        organizations=leaf.o,
        server=leaf.usage in ("server", "both"),
        client=leaf.usage in ("client", "both"),
        dns_names=dns_names,
        ip_addresses=ip_addresses,
        algorithm=cluster.pki.algorithm,
        days=cluster.pki.leaf_days,
        renew_before_days=cluster.pki.renew_before_days,
    )


def admin_spec(cluster: Cluster, days: int | None = None) -> CertificateSpec:
    """The operator's client certificate; its rights come from a binding of its group, so they can be taken back.

    days: its life; None means the inventory's pki.leaf_days.
    """
    return _operator_spec(cluster, ADMIN, CLUSTER_ADMINS, cluster.pki.leaf_days if days is None else days)


def user_spec(cluster: Cluster, user: str, groups: tuple[str, ...], days: int) -> CertificateSpec:
    """A person's client certificate: rights come from bindings of the user or the groups. Raises PkiError.

    Names that begin with `system:` are those of components: system:masters may do everything, asked of nobody.
    """
    for what, name in (("user", user), *(("group", group) for group in groups)):
        if name.startswith("system:") or not name.strip() or len(name) > _COMMON_NAME_LIMIT or not name.isprintable():
            raise PkiError(
                f"this {what} cannot be given out",
                found=repr(name),
                needed=f"a name of at most {_COMMON_NAME_LIMIT} characters that does not begin with system:",
                todo="give rights with a binding: `kubectl create clusterrolebinding NAME --clusterrole edit --user USER`",
            )
    return replace(_operator_spec(cluster, user, "", days), organizations=groups)


def super_admin_spec(cluster: Cluster, days: int = 1) -> CertificateSpec:
    """The break-glass client certificate (system:masters): no authorizer is asked, so keep its life short.

    kprov's own server-side apply needs it before any binding exists, and gives it an hour (`issue(…, life=…)`).
    """
    return _operator_spec(cluster, SUPER_ADMIN, "system:masters", days)


def _operator_spec(cluster: Cluster, name: str, group: str, days: int) -> CertificateSpec:
    return CertificateSpec(
        name=name,
        authority="kubernetes",
        common_name=name,
        organizations=(group,),
        client=True,
        algorithm=cluster.pki.algorithm,
        days=days,
        renew_before_days=cluster.pki.renew_before_days,
    )
