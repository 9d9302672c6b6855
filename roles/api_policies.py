"""What configures the API server beside its flags: audit, admission, authentication, encryption. Values only."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

Document = dict[str, Any]

_APISERVER = "apiserver.config.k8s.io/v1"
_WATCHERS = ["system:kube-proxy", "system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"]


def _core(*resources: str) -> Document:
    return {"group": "", "resources": list(resources)}


def audit_policy() -> Document:
    """Who changed what, without the contents of secrets, and without what the cluster says to itself all day.

    CIS 3.2.2: secrets, configmaps and token reviews at Metadata only; exec, port-forward and proxies are logged.
    The first rule that matches decides.
    """
    quiet = ["get", "list", "watch"]
    rules: list[Document] = [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi*"]},
        {"level": "None", "resources": [_core("events"), {"group": "events.k8s.io", "resources": ["events"]}]},
        {"level": "None", "users": _WATCHERS, "verbs": quiet, "resources": [_core("endpoints", "services", "nodes")]},
        {
            "level": "None",
            "userGroups": ["system:nodes"],
            "verbs": quiet,
            "resources": [_core("nodes", "nodes/status")],
        },
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {
            "level": "Metadata",
            "resources": [
                _core("secrets", "configmaps", "serviceaccounts/token"),
                {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
            ],
        },
        {
            "level": "Metadata",
            "resources": [
                _core("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy")
            ],
        },
        {"level": "Metadata", "userGroups": ["system:nodes"]},
        {"level": "Metadata", "verbs": quiet},
        {
            "level": "Request",
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            "resources": [
                {"group": group}
                for group in (
                    *("", "apps", "batch", "networking.k8s.io", "policy"),
                    *("rbac.authorization.k8s.io", "admissionregistration.k8s.io"),
                )
            ],
        },
        {"level": "Metadata"},
    ]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": rules,
    }


def admission() -> Document:
    """Limits on event floods, and Pod Security that warns and audits at `baseline` but refuses nothing by default."""
    return {
        "apiVersion": _APISERVER,
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "EventRateLimit",
                "configuration": {
                    "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
                    "kind": "Configuration",
                    "limits": [
                        {"type": "Server", "qps": 5000, "burst": 20000},
                        {"type": "Namespace", "qps": 500, "burst": 2000, "cacheSize": 2000},
                    ],
                },
            },
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": {
                        "enforce": "privileged",
                        "enforce-version": "latest",
                        "audit": "baseline",
                        "audit-version": "latest",
                        "warn": "baseline",
                        "warn-version": "latest",
                    },
                    "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": ["kube-system"]},
                },
            },
        ],
    }


def authentication() -> Document:
    """Nobody is anonymous, but for the health paths that a proxy or load balancer asks (CIS 1.2.1, an exception)."""
    return {
        "apiVersion": _APISERVER,
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")]},
    }


def encryption(key: bytes) -> Document:
    """Secrets at rest: secretbox writes, identity reads what was there before. key: 32 bytes. The result is secret."""
    return {
        "apiVersion": _APISERVER,
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [
                    {"secretbox": {"keys": [{"name": "key1", "secret": b64encode(key).decode("ascii")}]}},
                    {"identity": {}},
                ],
            }
        ],
    }
