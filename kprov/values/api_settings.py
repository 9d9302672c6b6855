"""What an inventory says of the API servers' doors: who comes in, who may what, what is written down, refused, encrypted.

Values only, in upstream's own words; what kprov puts under and around them is in roles/api_policies.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kprov.values.secret import Secret

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ApiFile:
    """A file beside the inventory that the API server reads, such as a kubeconfig of a webhook. It is a secret.

    name: in the API server's folder. at_start: it is read once, so that a change restarts the server.
    """

    name: str
    content: Secret
    at_start: bool = True


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """policy: fields of audit.k8s.io/v1 Policy. log, webhook: flags without `audit-log-` and `audit-webhook-`.

    config: the name of the ApiFile that leads to the webhook, or empty.
    """

    policy: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    log: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    webhook: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    config: str = ""


@dataclass(frozen=True, kw_only=True)
class AdmissionSettings:
    """pod_security: fields of PodSecurityConfiguration. plugins: the configuration of others, by name."""

    pod_security: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _EMPTY)
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncryptionSettings:
    """resources: of the API, as EncryptionConfiguration names them. providers: its own; empty: kprov's secretbox.

    Keys in `providers` are `Secret`. A `secretbox` without keys is that of kprov's key.
    """

    resources: tuple[str, ...] = ("secrets",)
    providers: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """authentication: fields of AuthenticationConfiguration. authorizers: webhooks, asked after Node and RBAC."""

    authentication: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    authorizers: tuple[Mapping[str, Any], ...] = ()
    audit: AuditSettings = field(default_factory=AuditSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    encryption: EncryptionSettings = field(default_factory=EncryptionSettings)
    files: tuple[ApiFile, ...] = ()
