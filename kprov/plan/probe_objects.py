"""The objects that `kprov probe` makes: a namespace of its own, a Deployment of two with a budget, a Service. Values only.

Its pods run CoreDNS's image, which every cluster has: it answers HTTP, looks names up in the cluster's DNS, and learns
of Services from the API with the pod's own token.
"""

from __future__ import annotations

from kprov.objects.objects import Object
from kprov.values.model import Cluster

SPACE = "kprov-probe"
NAME = "probe"
TOLD = "told"  # the Service whose name the pods learn from the API
ZONE = "probe.invalid"  # no real one: what is asked below it comes from the API alone
HTTP, DNS = 80, 53
_HTTP, _DNS = 8080, 1053
_LABELS = {"app": NAME}


def objects(cluster: Cluster, image: str) -> list[Object]:
    """Return them in apply order."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": SPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(NAME)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": SPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": SPACE}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata("pods"),
            "data": {"Corefile": _corefile(cluster)},
        },
        told(0),
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _metadata(NAME),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _LABELS}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _metadata(NAME),
            "spec": {
                "selector": _LABELS,
                "ports": [
                    {"name": "http", "port": HTTP, "targetPort": _HTTP},
                    {"name": "dns", "port": DNS, "targetPort": _DNS},
                ],
            },
        },
        _deployment(image),
    ]


def told(number: int) -> Object:
    """Return the Service that tells pods a number."""
    spec = {"type": "ExternalName", "externalName": f"{label(number)}.{ZONE}"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(TOLD), "spec": spec}


def config_map(name: str) -> Object:
    """Return a ConfigMap that is written all the time."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name), "data": {"n": "0"}}


def label(number: int) -> str:
    """Return the first label of the name that a pod answers with when it knows of a number."""
    return f"n{number}"


def told_name() -> str:
    """Return what a pod is asked for."""
    return f"{TOLD}.{SPACE}.svc.{ZONE}"


def _metadata(name: str) -> Object:
    return {"name": name, "namespace": SPACE}


def _corefile(cluster: Cluster) -> str:
    return (
        f"{ZONE}:{_DNS} {{\n"
        f"    kubernetes {ZONE} {{\n        namespaces {SPACE}\n        ttl 0\n    }}\n"
        f"    health :{_HTTP} {{\n        lameduck 10s\n    }}\n"
        "    ready :8181\n"
        "    errors\n"
        "}\n"
        f".:{_DNS} {{\n    forward . {cluster.dns_ip}\n    errors\n}}\n"
    )


def _deployment(image: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(NAME),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": _pod(image)},
        },
    }


def _pod(image: str) -> Object:
    return {
        "serviceAccountName": NAME,
        "terminationGracePeriodSeconds": 30,
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _LABELS},
            }
        ],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": NAME,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["-conf", "/etc/probe/Corefile", f"-dns.port={_DNS}"],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "170Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    # The program of upstream's image carries this capability, and does not start where it is out of reach.
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/probe", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "pods"}}],
    }
