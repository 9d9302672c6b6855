"""The tree of certificates of a cluster: three authorities and their leaves, as a literal table; it issues nothing.

Sources: kubernetes.io "PKI certificates and requirements"; etcd "Transport security model". Departures on purpose:
the API server's kubelet client is in a group of its own instead of an administrators' group (CIS 5.1.7), and only
etcd members have a certificate that is good for both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from kprov.pki.addresses import api_names, etcd_names, host_names, loopback_names, no_names, split_names
from kprov.values.certificate import Authority, CertificateSpec
from kprov.values.errors import PkiError
from kprov.values.model import Cluster, ClusterFacts, Group, Host

KUBELET_API_ADMINS = "kprov:kubelet-api-admins"  # bound to ClusterRole system:kubelet-api-admin
CLUSTER_ADMINS = "kubeadm:cluster-admins"  # bound to ClusterRole cluster-admin; the name other tools look for
ADMIN = "kubernetes-admin"
SUPER_ADMIN = "kubernetes-super-admin"

_COMMON_NAME_LIMIT = 64  # ub-common-name, RFC 5280 appendix A
_ETCD: frozenset[Group] = frozenset({"etcd"})
_CONTROL_PLANE: frozenset[Group] = frozenset({"control_plane"})
_NODE: frozenset[Group] = frozenset({"control_plane", "worker"})
_ALL: frozenset[Group] = _ETCD | _NODE
_KUBELETS = ("system:nodes",)  # the group the Node authorizer knows


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A row: which groups have this certificate and what it says. `{host}` in `cn` stands for the node name."""

    name: str
    on: frozenset[Group]
    cn: str
    o: tuple[str, ...] = ()
    usage: Literal["server", "client", "both"]
    names: Callable[[Cluster, Host, ClusterFacts], tuple[str, ...]] = no_names


TREE: Mapping[Authority, tuple[Leaf, ...]] = MappingProxyType(
    {
        "kubernetes": (
            Leaf(name="kube-apiserver", on=_CONTROL_PLANE, cn="kube-apiserver", usage="server", names=api_names),
            Leaf(
                name="kube-apiserver-kubelet-client",
                on=_CONTROL_PLANE,
                cn="kube-apiserver-kubelet-client",
                o=(KUBELET_API_ADMINS,),
                usage="client",
            ),
            Leaf(
                name="kube-controller-manager",
                on=_CONTROL_PLANE,
                cn="system:kube-controller-manager",
                usage="client",
            ),
            Leaf(
                name="kube-controller-manager-serving",
                on=_CONTROL_PLANE,
                cn="kube-controller-manager",
                usage="server",
                names=loopback_names,
            ),
            Leaf(name="kube-scheduler", on=_CONTROL_PLANE, cn="system:kube-scheduler", usage="client"),
            Leaf(
                name="kube-scheduler-serving",
                on=_CONTROL_PLANE,
                cn="kube-scheduler",
                usage="server",
                names=loopback_names,
            ),
            Leaf(name="kubelet-client", on=_NODE, cn="system:node:{host}", o=_KUBELETS, usage="client"),
            Leaf(
                name="kubelet-serving", on=_NODE, cn="system:node:{host}", o=_KUBELETS, usage="server", names=host_names
            ),
            Leaf(name="kube-proxy", on=_NODE, cn="system:kube-proxy", usage="client"),
            Leaf(name="metrics-proxy", on=_ALL, cn="kprov-metrics-proxy", usage="server", names=host_names),
        ),
        "etcd": (
            Leaf(name="etcd-server", on=_ETCD, cn="{host}", usage="both", names=etcd_names),
            Leaf(name="etcd-peer", on=_ETCD, cn="{host}", usage="both", names=etcd_names),
            Leaf(name="etcd-healthcheck-client", on=_ETCD, cn="kube-etcd-healthcheck-client", usage="client"),
            Leaf(
                name="kube-apiserver-etcd-client",
                on=_CONTROL_PLANE,
                cn="kube-apiserver-etcd-client",
                usage="client",
            ),
        ),
        "front-proxy": (Leaf(name="front-proxy-client", on=_CONTROL_PLANE, cn="front-proxy-client", usage="client"),),
    }
)


def leaf_specs(cluster: Cluster, host: Host, facts: ClusterFacts) -> Mapping[str, CertificateSpec]:
    """The certificates this host must have, by name, for the groups it is in.

    Deterministic: equal input gives equal values in equal order. Raises KeyError when the host has not answered,
    ValueError when it has no node IP, PkiError when its name does not fit into a certificate.
    """
    return {
        leaf.name: _spec(leaf, authority, cluster, host, facts)
        for authority, leaves in TREE.items()
        for leaf in leaves
        if leaf.on & host.groups
    }


def _spec(leaf: Leaf, authority: Authority, cluster: Cluster, host: Host, facts: ClusterFacts) -> CertificateSpec:
    common_name = leaf.cn.format(host=host.name)
    if len(common_name) > _COMMON_NAME_LIMIT:
        raise PkiError(
            f"the common name of certificate {leaf.name} is too long",
            where=host.name,
            found=f"{common_name} ({len(common_name)} characters)",
            needed=f"at most {_COMMON_NAME_LIMIT} characters",
            todo="give the host a shorter name, in the inventory and on the machine",
        )
    dns_names, ip_addresses = split_names(leaf.names(cluster, host, facts))
    return CertificateSpec(
        name=leaf.name,
        authority=authority,
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
