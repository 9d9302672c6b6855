"""The keys of the API servers' doors: single sign-on, authorization, audit, admission, encryption. Shape only.

What stands below them is upstream's own; `api_checks` holds it against the version's types.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kprov.inventory.keys import Keys
from kprov.values.effect import free, procedure, restarts

Level = Literal["privileged", "baseline", "restricted"]
_ONE_FIRST = "one API server first, then the others one by one"


class AuthenticationKeys(Keys):
    """Who is let in, beside kprov's certificates and the service accounts of pods."""

    jwt: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Issuers of tokens (OIDC), as `jwt` of AuthenticationConfiguration (apiserver.config.k8s.io/v1). "
        "`certificateAuthority` may be `{file: PATH}`.",
        json_schema_extra=free("the API servers read it again by themselves, within a minute"),
    )
    anonymous: dict[str, Any] = Field(
        default_factory=dict,
        description="Requests of nobody, as `anonymous` of AuthenticationConfiguration. Its `conditions` are added to "
        "kprov's: /livez, /readyz and /healthz, which proxies and load balancers ask; `enabled: true` alone opens every "
        "path, as far as RBAC lets system:anonymous.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )


class AuthorizationKeys(Keys):
    """Who is asked whether a request is allowed."""

    authorizers: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Webhooks that are asked after Node and RBAC, as `authorizers` of AuthorizationConfiguration "
        "(apiserver.config.k8s.io/v1). `kubeConfigFile` is a path beside the inventory.",
        json_schema_extra=restarts(
            "kube-apiserver",
            note="for the first and the last one, " + _ONE_FIRST + "; any other change is read without a restart",
        ),
    )


class AuditKeys(Keys):
    """What is written down of requests, and where it goes."""

    policy: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of an audit Policy (audit.k8s.io/v1), or `{file: PATH}`. Its `rules` come before kprov's; "
        "bodies of secrets and tokens stay out of both unless a rule names them.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    log: dict[str, Any] = Field(
        default_factory=dict,
        description="Flags of kube-apiserver without `audit-log-`, laid over kprov's (`maxage` 30, `maxbackup` 10, "
        "`maxsize` 100).",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    webhook: dict[str, Any] = Field(
        default_factory=dict,
        description="`kubeconfig`, a path beside the inventory, leads to the program that gets events; besides, flags of "
        "kube-apiserver without `audit-webhook-`.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )


class ExemptKeys(Keys):
    """What Pod Security does not look at."""

    namespaces: list[str] = Field(
        default_factory=list,
        description="Namespaces, added to kube-system, where kprov's own pods are.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    usernames: list[str] = Field(
        default_factory=list,
        description="Users.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    runtimeClasses: list[str] = Field(
        default_factory=list,
        description="Runtime classes.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )


class PodSecurityKeys(Keys):
    """Pod Security for namespaces without a label of their own. Pods that run are left alone."""

    enforce: Level = Field(
        default="privileged",
        description="What is refused: pods that do not keep to this level.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST + "; for pods that are made from then on"),
    )
    audit: Level = Field(
        default="baseline",
        description="What the audit log marks.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    warn: Level = Field(
        default="baseline",
        description="What users are warned of.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    version: str = Field(
        default="latest",
        pattern=r"^(latest|v1\.[0-9]+)$",
        description="The version of the levels: `latest`, or `v1.37`.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    exempt: ExemptKeys = Field(default_factory=ExemptKeys, description="What is left out.")


class AdmissionKeys(Keys):
    """What is refused although it is allowed."""

    pod_security: PodSecurityKeys = Field(
        default_factory=PodSecurityKeys, description="Pod Security where namespaces say nothing."
    )
    plugins: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Configuration of admission plugins by name, as in AdmissionConfiguration, or `{file: PATH}`; laid "
        "over kprov's own of EventRateLimit. `kubeConfigFile` is a path beside the inventory.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    enable: list[str] = Field(
        default_factory=list,
        description="Plugins that are on besides upstream's defaults and kprov's (NodeRestriction, "
        "DenyServiceExternalIPs, EventRateLimit).",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )
    disable: list[str] = Field(
        default_factory=list,
        description="Plugins that are off, kprov's DenyServiceExternalIPs and EventRateLimit too.",
        json_schema_extra=restarts("kube-apiserver", note=_ONE_FIRST),
    )


class EncryptionKeys(Keys):
    """What is encrypted in etcd, and with what."""

    resources: list[str] = Field(
        default_factory=lambda: ["secrets"],
        description="Resources that are encrypted, as EncryptionConfiguration names them: `secrets`, "
        "`deployments.apps`, `*.example.org`.",
        json_schema_extra=procedure(
            "the API servers read it again by themselves, then every object is written again; no restart"
        ),
    )
    providers: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Providers of EncryptionConfiguration (apiserver.config.k8s.io/v1): the first one writes, all of them "
        "read, and so does kprov's own secretbox, which is `secretbox: {}` and the default. A key is a reference, "
        "`secret: {file: PATH}` or `{env: NAME}`.",
        json_schema_extra=procedure(
            "every API server learns to read with the new key, then writes with it, then every object is written again; "
            "the old key goes last. No restart, but of kube-api-proxy where a kms comes or goes"
        ),
    )
