"""CoreDNS as Kubernetes objects: cluster DNS behind the service address that kubelets give to pods. Values only."""

from __future__ import annotations

from typing import Any

from kprov.roles.cloud_nodes import UNINITIALIZED
from kprov.roles.templating import render
from kprov.values.model import Cluster

Object = dict[str, Any]

_NAMESPACE = "kube-system"
_NAME = "coredns"
_SELECTOR = {"k8s-app": "kube-dns"}  # the label that every tool looks for, also when the server is CoreDNS
_RBAC = "rbac.authorization.k8s.io"


def coredns_objects(cluster: Cluster, image: str) -> list[Object]:
    """Everything of CoreDNS in apply order. A changed Corefile needs no new pods: CoreDNS reads it again by itself."""
    corefile = render(cluster.templates_dir, "coredns/Corefile.j2", domain=cluster.domain).decode()
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(_NAME)},
        _cluster_role(),
        _cluster_role_binding(),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(_NAME), "data": {"Corefile": corefile}},
        _deployment(cluster, image),
        _disruption_budget(),
        _service(str(cluster.dns_ip)),
    ]


def _metadata(name: str) -> Object:
    return {"name": name, "namespace": _NAMESPACE, "labels": dict(_SELECTOR)}


def _cluster_role() -> Object:
    watch = ["list", "watch"]
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": watch},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
        ],
    }


def _cluster_role_binding() -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": _NAMESPACE}],
    }


def _deployment(cluster: Cluster, image: str) -> Object:
    pod = _pod(image)
    if cluster.cloud is not None:
        # Whoever initialises nodes may have to look up where the cloud's API is.
        pod["tolerations"].append({"key": UNINITIALIZED, "operator": "Exists", "effect": "NoSchedule"})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(_NAME),
        "spec": {
            "replicas": int(cluster.coredns.get("replicas", 2)),
            "selector": {"matchLabels": dict(_SELECTOR)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
            "template": {"metadata": {"labels": dict(_SELECTOR)}, "spec": pod},
        },
    }


def _pod(image: str) -> Object:
    return {
        "serviceAccountName": _NAME,
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
        ],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(_SELECTOR)},
            }
        ],
        "securityContext": {
            "seccompProfile": {"type": "RuntimeDefault"},
            # Port 53 without root and without a capability, whatever the runtime's default is.
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [_container(image)],
        "volumes": [
            {"name": "config", "configMap": {"name": _NAME, "items": [{"key": "Corefile", "path": "Corefile"}]}}
        ],
    }


def _container(image: str) -> Object:
    return {
        "name": _NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        # Asked every second until it is ready for the first time. While no API server answers it is not ready, and a
        # restart would not help. From then on every other second: kubelet begins to ask at a random moment of this
        # period where it has run for less than that itself (pkg/kubelet/prober/worker.go), so a long one delays a first
        # `up`.
        "startupProbe": {
            "httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"},
            "periodSeconds": 1,
            "failureThreshold": 600,
        },
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"},
            "timeoutSeconds": 5,
            "failureThreshold": 5,
        },
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"},
            "periodSeconds": 2,
            "failureThreshold": 8,
        },
        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }


def _disruption_budget() -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(_NAME),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": dict(_SELECTOR)}},
    }


def _service(address: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            **_metadata("kube-dns"),
            "annotations": {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
        },
        "spec": {
            "selector": dict(_SELECTOR),
            "clusterIP": address,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
            ],
        },
    }
