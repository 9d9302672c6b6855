"""What the API server demands of documents beyond the types of their fields: what must be there, and what excludes what.

Pure; each rule yields slips below the document. The API server's own code judges again on the host, expressions too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from kprov.artifacts.options.fields import Path, Slip
from kprov.artifacts.options.values import parses

_LEVELS = ("None", "Metadata", "Request", "RequestResponse")
_LIMITS = ("Server", "Namespace", "User", "SourceAndObject")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")


def required(kind: str, value: Any) -> Iterator[Slip]:
    """Yield what a document of a kind must say and does not."""
    if kind == "v1.Policy" and isinstance(value, Mapping):
        yield from _policy(value)
    if kind == "v1alpha1.Configuration" and isinstance(value, Mapping) and "limits" in value:
        yield from _event_limits(value["limits"])


def _event_limits(limits: Any) -> Iterator[Slip]:
    """Of the plugin EventRateLimit: with one of these the API server does not start."""
    if limits == []:
        yield Slip(path=("limits",), needed="at least one limit; without it, leave the plugin out by `disable`")
    for number, limit in enumerate(_items(limits)):
        yield from _one_of(limit, ("limits", number, "type"), _LIMITS, needed=True)
        for name in ("qps", "burst"):
            if not isinstance(limit.get(name), int) or limit[name] <= 0:
                yield Slip(path=("limits", number, name), needed="a whole number above 0")
        if isinstance(limit.get("cacheSize"), int) and limit["cacheSize"] < 0:
            yield Slip(path=("limits", number, "cacheSize"), needed="a whole number, 0 or more")


def _policy(policy: Mapping[str, Any]) -> Iterator[Slip]:
    for number, rule in enumerate(_items(policy.get("rules"))):
        if rule.get("level") is None:
            yield Slip(path=("rules", number, "level"), needed=f"one of {', '.join(_LEVELS)}", words=_LEVELS)


def authentication(jwt: Any, own_issuer: str) -> Iterator[Slip]:
    """Yield what issuers must say. own_issuer: of the cluster's service accounts."""
    seen: set[Any] = set()
    for number, issuer in enumerate(_items(jwt)):
        path: Path = ("jwt", number)
        yield from _issuer(_mapping(issuer.get("issuer")), (*path, "issuer"), own_issuer, seen)
        mappings, here = _mapping(issuer.get("claimMappings")), (*path, "claimMappings")
        yield from _mapped(_mapping(mappings.get("username")), (*here, "username"), needed=True, prefixed=True)
        yield from _mapped(_mapping(mappings.get("groups")), (*here, "groups"), needed=False, prefixed=True)
        yield from _mapped(_mapping(mappings.get("uid")), (*here, "uid"), needed=False, prefixed=False)
        for place, rule in enumerate(_items(issuer.get("claimValidationRules"))):
            if bool(rule.get("claim")) == bool(rule.get("expression")):
                yield Slip(path=(*path, "claimValidationRules", place), needed="either `claim` or `expression`")


def _issuer(issuer: Mapping[str, Any], path: Path, own: str, seen: set[Any]) -> Iterator[Slip]:
    url = issuer.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme != "https" or not urlsplit(url).netloc:
        yield Slip(path=(*path, "url"), needed="an https:// URL")
    elif url == own:
        yield Slip(path=(*path, "url"), needed="another issuer than that of the cluster's own service accounts")
    elif url in seen:
        yield Slip(path=(*path, "url"), needed="each issuer once")
    seen.add(url)
    audiences = issuer.get("audiences")
    if not isinstance(audiences, list) or not audiences:
        yield Slip(path=(*path, "audiences"), needed="at least one audience: the client's ID at the issuer")
    elif len(audiences) > 1 and issuer.get("audienceMatchPolicy") != "MatchAny":
        yield Slip(path=(*path, "audienceMatchPolicy"), needed="MatchAny, as there are several audiences")


def _mapped(mapping: Mapping[str, Any], path: Path, *, needed: bool, prefixed: bool) -> Iterator[Slip]:
    claim, expression = mapping.get("claim"), mapping.get("expression")
    if (needed and not (claim or expression)) or (claim and expression):
        yield Slip(path=path, needed="either `claim` or `expression`")
    elif prefixed and claim and mapping.get("prefix") is None:
        yield Slip(path=(*path, "prefix"), needed="text before the claim, such as 'oidc:', or '' for none")
    elif prefixed and expression and mapping.get("prefix") is not None:
        yield Slip(path=(*path, "prefix"), needed="no prefix beside `expression`")


def authorizer(given: Mapping[str, Any], names: set[str]) -> Iterator[Slip]:
    """Yield what an authorizer must say. names: those before it."""
    yield from _one_of(given, ("type",), ("Webhook", "Node", "RBAC"), needed=True)
    if given.get("type") != "Webhook":
        return
    name = str(given.get("name") or "")
    if not _NAME.match(name) or name in names | {"node", "rbac"}:
        yield Slip(path=("name",), needed="a name of its own: lower case letters, digits, '-' and '.'")
    names.add(name)
    webhook, path = _mapping(given.get("webhook")), ("webhook",)
    if not webhook:
        yield Slip(path=path, needed="a mapping with timeout, failurePolicy, connectionInfo, …")
        return
    timeout = webhook.get("timeout")
    if not isinstance(timeout, str) or not parses("duration", timeout):
        yield Slip(path=(*path, "timeout"), needed="a duration of at most 30s")
    yield from _one_of(webhook, (*path, "subjectAccessReviewVersion"), ("v1", "v1beta1"), needed=True)
    yield from _one_of(webhook, (*path, "failurePolicy"), ("NoOpinion", "Deny"), needed=True)
    if webhook.get("matchConditions"):
        yield from _one_of(webhook, (*path, "matchConditionSubjectAccessReviewVersion"), ("v1",), needed=True)
    connection, here = _mapping(webhook.get("connectionInfo")), (*path, "connectionInfo")
    if not connection:
        yield Slip(path=here, needed="`{type: KubeConfigFile, kubeConfigFile: PATH}`")
        return
    yield from _one_of(connection, (*here, "type"), ("KubeConfigFile",), needed=True)
    if not isinstance(connection.get("kubeConfigFile"), str):
        yield Slip(path=(*here, "kubeConfigFile"), needed="a path beside the inventory")


def _one_of(owner: Mapping[str, Any], path: Path, words: tuple[str, ...], *, needed: bool) -> Iterator[Slip]:
    value = owner.get(str(path[-1]))
    if value is None:
        if needed:
            yield Slip(path=path, needed=f"one of {', '.join(words)}", words=words)
    else:
        yield from _word(value, path, words)


def _word(value: Any, path: Path, words: tuple[str, ...]) -> Iterator[Slip]:
    if value not in words:
        yield Slip(path=path, needed=f"one of {', '.join(words)}", words=words)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [_mapping(item) for item in value] if isinstance(value, list) else []
