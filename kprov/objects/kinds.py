"""What kprov knows of kinds of Kubernetes objects: their scope, and what has to exist before what. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLUSTER_WIDE = frozenset(
    {
        *("Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "StorageClass", "CSIDriver"),
        *(
            "CustomResourceDefinition",
            "APIService",
            "PriorityClass",
            "RuntimeClass",
            "IngressClass",
            "VolumeSnapshotClass",
        ),
        *("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy"),
        *("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"),
        *("FlowSchema", "PriorityLevelConfiguration", "CSINode", "VolumeAttachment", "ClusterTrustBundle"),
    }
)

# What makes pods, and so waits until the nodes are there.
WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob", "Pod", "ReplicaSet"})

# What `--recreate` may delete to make it again: pods come again, and a class says how volumes are made, not which there are.
RECREATED = WORKLOADS | {"StorageClass"}

# What holds data that only its owner can make again.
DATA = frozenset({"PersistentVolumeClaim", "PersistentVolume"})

# What stands between clients and the API: asked for nothing by its absence, but a dead one blocks others. Last to come,
# first to go.
FRONT = frozenset({"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})

_RANKS: tuple[frozenset[str], ...] = (
    frozenset({"Namespace"}),
    frozenset({"CustomResourceDefinition"}),
    frozenset({"PriorityClass", "StorageClass", "RuntimeClass", "IngressClass"}),
    frozenset({"ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"}),
    frozenset({"Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim", "NetworkPolicy"}),
    frozenset({"Service"}),
)


def rank(item: Mapping[str, Any]) -> int:
    """Lower comes first; what is not known comes after settings and before what stands in front of the API."""
    kind = str(item["kind"])
    for number, kinds in enumerate(_RANKS):
        if kind in kinds:
            return number
    return len(_RANKS) + (2 if kind in FRONT else 1 if kind in WORKLOADS else 0)


def departure(kind: str) -> int:
    """The order of deletion, lower first: the front, then workloads, then the rest, namespaces at the very end."""
    if kind in FRONT:
        return 0
    return 1 + len(_RANKS) + 2 - rank({"kind": kind})
