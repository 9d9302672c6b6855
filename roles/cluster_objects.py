"""The Kubernetes objects that make a set of running components a cluster, in the order they are applied. Values only.

Written as the API server gives them back (quantities canonical, defaults that matter spelled out), so that "desired is
contained in live" can be decided field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from kprov.pki.table import CLUSTER_ADMINS
from kprov.roles import handlers
from kprov.roles.cloud_nodes import PROVIDER
from kprov.roles.coredns import coredns_objects
from kprov.values.components import KUBELET_API_ADMINS, POLICY_READER
from kprov.values.model import CloudSettings, Cluster, ClusterFacts, Host

Object = dict[str, Any]

MANAGED_BY = {"app.kubernetes.io/managed-by": "kprov"}
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_WORKER = "node-role.kubernetes.io/worker"
_NOT_BALANCED = "node.kubernetes.io/exclude-from-external-load-balancers"
# Nobody needs the API as these namespaces' default account (CIS 5.1.5); "default" is left to its users.
_QUIET_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


def objects(
    cluster: Cluster, facts: ClusterFacts, pod_cidrs: Mapping[str, IPv4Network], coredns_image: str
) -> tuple[Object, ...]:
    """All objects of the cluster, in apply order. coredns_image: the reference it has in the hosts' containerd.

    Nodes of hosts that have no pod network yet are left out.
    """
    nodes = [host for host in cluster.nodes if host.name in pod_cidrs]
    listed = [
        *_bindings(),
        *(_policy_reader() if cluster.network.enforces else ()),
        *handlers.classes(cluster),
        *(node(host, pod_cidrs[host.name], handlers.labels(cluster, host), cluster.cloud) for host in nodes),
        *(_quiet_account(namespace) for namespace in _QUIET_NAMESPACES),
        *coredns_objects(cluster, coredns_image),
    ]
    return tuple(_labelled(item) for item in listed)


def _bindings() -> list[Object]:
    return [
        _cluster_role_binding("kubeadm:cluster-admins", "cluster-admin", CLUSTER_ADMINS),
        _cluster_role_binding("kprov:kubelet-api-admins", "system:kubelet-api-admin", KUBELET_API_ADMINS),
    ]


def _cluster_role_binding(name: str, role: str, group: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    }


def _policy_reader() -> list[Object]:
    """What enforces policies on nodes sees all pods, since rules name those of other nodes; it may write nothing."""
    name, reads = POLICY_READER, ["list", "watch"]
    rbac = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": reads},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": reads},
    ]
    return [
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": name}],
        },
    ]


def node(host: Host, pod_cidr: IPv4Network, labels: Mapping[str, str], cloud: CloudSettings | None = None) -> Object:
    """The Node before its kubelet comes: kubelets may not give themselves roles, taints or a pod network."""
    roles = {
        label: "" for label, group in ((_CONTROL_PLANE, "control_plane"), (_WORKER, "worker")) if group in host.groups
    }
    spec: Object = {"podCIDR": str(pod_cidr), "podCIDRs": [str(pod_cidr)]}
    if host.taints:
        spec["taints"] = [
            {"key": taint.key, **({"value": taint.value} if taint.value else {}), "effect": taint.effect}
            for taint in host.taints
        ]
    metadata: Object = {"name": host.name, "labels": {**roles, **labels, **host.labels}}
    if cloud is not None:
        metadata["annotations"] = {PROVIDER: cloud.provider}
        spec |= {"providerID": host.provider_id} if host.provider_id else {}
        if not host.in_group("worker"):
            metadata["labels"] = {_NOT_BALANCED: "", **metadata["labels"]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}


def _quiet_account(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace},
        "automountServiceAccountToken": False,
    }


def _labelled(item: Object) -> Object:
    metadata = item["metadata"]
    return {**item, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **MANAGED_BY}}}
