"""What configures the API server beside its flags: audit, admission, authentication, authorization. Values only.

Each function lays what an inventory says over kprov's own, by a rule that its first sentence says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.roles.documents import laid_over
from kprov.values.api_settings import AdmissionSettings

Document = dict[str, Any]

APISERVER = "apiserver.config.k8s.io/v1"
PLUGINS = ("NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit")  # beside those that are on upstream
_HEALTH = ("/livez", "/readyz", "/healthz")
_WATCHERS = ["system:kube-proxy", "system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"]


def _core(*resources: str) -> Document:
    return {"group": "", "resources": list(resources)}


def audit_policy(given: Mapping[str, Any]) -> Document:
    """The rules that are given, then kprov's own; other fields are laid over kprov's.

    Before the first given rule that would write down bodies of secrets without naming them stands one that leaves them
    out. Null takes a field of kprov's away.
    """
    own = _own_policy()
    rules = [dict(rule) for rule in given.get("rules") or ()]
    at = next((number for number, rule in enumerate(rules) if _tells_secrets(rule)), len(rules))
    guard = [_withheld()] if at < len(rules) else []
    fields = {key: value for key, value in given.items() if key not in ("apiVersion", "kind", "rules")}
    merged = {**own, **fields, "rules": [*rules[:at], *guard, *rules[at:], *own["rules"]]}
    return {key: value for key, value in merged.items() if value is not None}


def _withheld() -> Document:
    return {
        "level": "Metadata",
        "resources": [
            _core("secrets", "serviceaccounts/token"),
            {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
        ],
    }


def _tells_secrets(rule: Mapping[str, Any]) -> bool:
    """Whether a rule writes bodies, and is about secrets because it is about everything."""
    if rule.get("level") not in ("Request", "RequestResponse") or rule.get("nonResourceURLs"):
        return False
    named = rule.get("resources") or ()
    return not named or any(
        not entry.get("group") and (not entry.get("resources") or "*" in entry["resources"]) for entry in named
    )


def names_secrets(rule: Mapping[str, Any]) -> bool:
    """Whether a rule of an inventory asks for the bodies of secrets in so many words."""
    return rule.get("level") in ("Request", "RequestResponse") and any(
        not entry.get("group") and {"secrets", "serviceaccounts/token"} & set(entry.get("resources") or ())
        for entry in rule.get("resources") or ()
    )


def _own_policy() -> Document:
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


def admission(given: AdmissionSettings) -> Document:
    """Limits on event floods and Pod Security, with what is given laid over: mappings are merged, lists replaced.

    By itself Pod Security warns and audits at `baseline`, and refuses nothing. Namespaces that are exempt are added to
    kube-system.
    """
    configured: dict[str, Any] = {
        "EventRateLimit": laid_over(_event_rate_limit(), given.plugins.get("EventRateLimit", {})),
        "PodSecurity": _pod_security(given.pod_security),
        **{name: given.plugins[name] for name in sorted(given.plugins) if name != "EventRateLimit"},
    }
    return {
        "apiVersion": APISERVER,
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": name, "configuration": value} for name, value in configured.items() if value],
    }


def enabled_plugins(given: AdmissionSettings) -> tuple[str, ...]:
    """kprov's plugins and those that are given, without those that are switched off."""
    return tuple(name for name in dict.fromkeys((*PLUGINS, *given.enable)) if name not in given.disable)


def _event_rate_limit() -> Document:
    return {
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
        "kind": "Configuration",
        "limits": [
            {"type": "Server", "qps": 5000, "burst": 20000},
            {"type": "Namespace", "qps": 500, "burst": 2000, "cacheSize": 2000},
        ],
    }


def _pod_security(given: Mapping[str, Any]) -> Document:
    levels = {"enforce": "privileged", "audit": "baseline", "warn": "baseline", **given.get("defaults", {})}
    version = given.get("version", "latest")
    exempt = given.get("exemptions", {})
    return {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {
            key: value for name, level in levels.items() for key, value in ((name, level), (f"{name}-version", version))
        },
        "exemptions": {
            "usernames": list(exempt.get("usernames", ())),
            "runtimeClasses": list(exempt.get("runtimeClasses", ())),
            "namespaces": list(dict.fromkeys(("kube-system", *exempt.get("namespaces", ())))),
        },
    }


def authentication(given: Mapping[str, Any]) -> Document:
    """Issuers as they are given; paths that nobody may ask are added to those of health checks.

    Nobody is anonymous but for the health paths that a proxy or load balancer asks (CIS 1.2.1, an exception), unless
    anonymous requests are given without any condition.
    """
    anonymous = given.get("anonymous") or {"conditions": []}
    document: Document = {"apiVersion": APISERVER, "kind": "AuthenticationConfiguration"}
    if given.get("jwt"):
        document["jwt"] = given["jwt"]
    if anonymous.get("enabled") and not anonymous.get("conditions"):
        return {**document, "anonymous": {"enabled": True}}
    paths = (*_HEALTH, *(condition["path"] for condition in anonymous.get("conditions") or ()))
    return {
        **document,
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in dict.fromkeys(paths)]},
    }


def authorization(authorizers: Iterable[Mapping[str, Any]]) -> Document:
    """Node and RBAC, then the webhooks that are given: one that is away, or says no, never stops kubelets or kprov."""
    own = [{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}]
    return {"apiVersion": APISERVER, "kind": "AuthorizationConfiguration", "authorizers": [*own, *authorizers]}
