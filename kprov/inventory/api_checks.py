"""What an inventory says of the API servers' doors, against the version's own types and against what kprov relies on.

No I/O but package data; files that stand beside the inventory are read, and judged, in `api_settings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kprov.artifacts.options import fields as known_fields
from kprov.artifacts.options import flags as known_flags
from kprov.artifacts.options.fields import Slip, Types
from kprov.artifacts.options.values import WORDS, parses
from kprov.inventory.api_rules import authentication, authorizer, required
from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.values.spelling import did_you_mean

AT: Path = ("cluster",)
SERVER = "kube-apiserver"
PLUGIN_TYPES: Mapping[str, str] = {
    "EventRateLimit": "v1alpha1.Configuration",
    "MutatingAdmissionWebhook": "v1.WebhookAdmission",
    "ValidatingAdmissionWebhook": "v1.WebhookAdmission",
}
_POLICY = "v1.Policy"
# Of audit's flags: with none of these is an API server that starts.
_POSITIVE = ("batch-buffer-size", "batch-max-size", "batch-throttle-qps", "batch-throttle-burst", "initial-backoff")
_CONFIGURED = {"ImagePolicyWebhook": "imagePolicy"}  # plugins that do not start without this
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PULLED = (
    "every start of a pod asks a registry: images that kprov brings to hosts that reach none would not start again"
)
_NEEDED = {
    "NodeRestriction": "without it, a kubelet may change other nodes and their pods",
    "ServiceAccount": "without it, pods have no tokens, and kprov's add-ons reach nothing",
    "NamespaceLifecycle": "without it, deleted namespaces fill again, and system namespaces can be deleted",
}


def check(review: Review, versions: Mapping[str, str]) -> None:
    """Note what is wrong. versions: of each part, empty where Kubernetes' is not right."""
    version = versions.get("kubernetes", "")
    types = known_fields.types_of(version) if version else None
    _authentication(review, types)
    _authorization(review, types)
    _audit(review, types, version)
    _admission(review, types, version)


def slips(types: Types | None, kind: str, value: Any) -> Iterator[Slip]:
    """Yield what the API server would refuse; nothing where the types of the version are not known."""
    if types is not None and kind in types:
        yield from known_fields.slips(types, kind, value)
        yield from required(kind, value)


def note(review: Review, path: Path, found: Iterable[Slip]) -> None:
    for slip in found:
        where = (*path, *slip.path)
        if not review.sound(*where):
            continue
        last = str(slip.path[-1]) if slip.path else ""
        if slip.known:
            todo = did_you_mean(last, slip.known) or "remove it"
            review.fault(where, "unknown field", found=last, needed=slip.needed, todo=todo, at_key=True)
        elif review.root.at(where) is review.root.at(where[:-1]):
            review.fault(where, "this field is missing", found="nothing", needed=slip.needed)
        else:
            value = str(review.root.at(where).value)
            todo = did_you_mean(value, slip.words)
            review.fault(where, "not a value that the API server takes", needed=slip.needed, todo=todo)


def without_files(value: Any) -> Any:
    """The value with text in the place of each `{file: PATH}` or `{env: NAME}`, which types know as text."""
    if is_reference(value):
        return ""
    if isinstance(value, Mapping):
        return {key: without_files(item) for key, item in value.items()}
    return [without_files(item) for item in value] if isinstance(value, list) else value


def is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("file", "env")


def _authentication(review: Review, types: Types | None) -> None:
    keys, path = review.inventory.cluster.authentication, (*AT, "authentication")
    if not review.sound(*path):
        return
    jwt = without_files(keys.jwt)
    note(review, path, slips(types, "v1.AuthenticationConfiguration", {"jwt": jwt, "anonymous": keys.anonymous}))
    note(review, path, authentication(jwt, f"https://kubernetes.default.svc.{review.inventory.cluster.domain}"))
    for number, issuer in enumerate(keys.jwt):
        given = issuer.get("issuer")
        if isinstance(given, Mapping) and is_reference(given.get("certificateAuthority")):
            reference(review, (*path, "jwt", number, "issuer", "certificateAuthority"), ("file",))
    anonymous = (*path, "anonymous")
    if keys.anonymous.get("enabled") is False and review.sound(*anonymous):
        review.fault(
            (*anonymous, "enabled"),
            "health checks would be refused: proxies and load balancers ask /readyz without a certificate",
            needed="`enabled: true` with conditions, or nothing: kprov lets nobody in but to /livez, /readyz and /healthz",
        )
    elif keys.anonymous and not keys.anonymous.get("conditions") and review.sound(*anonymous):
        review.caution(
            anonymous,
            "every path is open to requests of nobody, as far as RBAC lets system:anonymous",
            "write `conditions: [{path: …}]` for single paths",
        )


def _authorization(review: Review, types: Types | None) -> None:
    path = (*AT, "authorization")
    if not review.sound(*path):
        return
    authorizers = review.inventory.cluster.authorization.authorizers
    note(review, path, slips(types, "v1.AuthorizationConfiguration", {"authorizers": authorizers}))
    webhook = False
    names: set[str] = set()
    for number, given in enumerate(authorizers):
        here = (*path, "authorizers", number)
        kind = given.get("type")
        if kind in ("Node", "RBAC") and webhook:
            review.fault(
                here,
                "a webhook would be asked before Node and RBAC: one that is away or says no would lock kprov and nodes out",
                found=str(kind),
                needed="webhooks after Node and RBAC",
                todo="remove this entry: kprov puts Node and RBAC before your webhooks",
            )
        webhook = webhook or kind == "Webhook"
        note(review, here, authorizer(given, names))


def _audit(review: Review, types: Types | None, version: str) -> None:
    keys, path = review.inventory.cluster.audit, (*AT, "audit")
    if not review.sound(*path):
        return
    if is_reference(keys.policy):
        reference(review, (*path, "policy"), ("file",))
    else:
        note(review, (*path, "policy"), slips(types, _POLICY, keys.policy))
    log_path = (*path, "log", "path")
    if "path" in keys.log:
        review.fault(
            log_path,
            "the unit may write to /var/log/kubernetes/audit alone, and the logging add-on reads audit.log there",
            todo="remove it",
            at_key=True,
        )
    _flags(review, (*path, "log"), "audit-log-", keys.log, version, ("path",))
    given = {name: value for name, value in keys.webhook.items() if name != "kubeconfig"}
    _flags(review, (*path, "webhook"), "audit-webhook-", given, version, ("config-file",))
    kubeconfig = (*path, "webhook", "kubeconfig")
    if keys.webhook and not isinstance(keys.webhook.get("kubeconfig"), str):
        what = "it is not said where events go" if "kubeconfig" not in keys.webhook else "the wrong kind of value"
        review.fault(kubeconfig, what, needed="`kubeconfig: PATH`, a file beside the inventory")
    if str(keys.webhook.get("mode", "")).startswith("blocking"):
        review.caution((*path, "webhook", "mode"), "every request waits for the webhook", "write `mode: batch`")


def _flags(
    review: Review, path: Path, prefix: str, given: Mapping[str, Any], version: str, apart: tuple[str, ...]
) -> None:
    """Flags of kube-apiserver without what they all begin with."""
    flags = known_flags.flags_of(SERVER, version) if version else None
    if flags is None:
        return
    known = sorted(name.removeprefix(prefix) for name in flags if name.startswith(prefix))
    for name, value in given.items():
        here = (*path, name)
        if not review.sound(*here):
            continue
        if name in apart:
            if name != "path":
                review.fault(here, "kprov sets it", todo="write `kubeconfig: PATH`", at_key=True)
            continue
        flag = flags.get(prefix + name)
        if flag is None:
            names = [name for name in known if name not in apart]
            review.fault(
                here,
                f"--{prefix}{name} is not a flag of this version",
                found=name,
                needed=f"one of {', '.join(names)}",
                todo=did_you_mean(name, names),
                at_key=True,
            )
        elif isinstance(value, Mapping | list) or not parses(flag.kind, flag_text(value)):
            review.fault(here, "the wrong kind of value", needed=WORDS.get(flag.kind, "text"))
        elif flag_text(value).startswith("-") or (name in _POSITIVE and flag_text(value).strip("0.") in ("", "s")):
            needed = "more than 0" if name in _POSITIVE else "0 or more"
            review.fault(here, "an API server does not start with this", needed=needed)
        elif flag.choices and flag_text(value) not in flag.choices:
            review.fault(
                here,
                "not one of the words that this flag takes",
                needed=f"one of {', '.join(flag.choices)}",
                todo=did_you_mean(flag_text(value), flag.choices),
            )


def flag_text(value: Any) -> str:
    """A value as a command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _admission(review: Review, types: Types | None, version: str) -> None:
    keys, path = review.inventory.cluster.admission, (*AT, "admission")
    if not review.sound(*path):
        return
    known = _plugins(version)
    for key, names in (("enable", keys.enable), ("disable", keys.disable)):
        for number, name in enumerate(names):
            here = (*path, key, number)
            if known and name not in known:
                needed = "a plugin of this version"
                review.fault(here, "unknown admission plugin", needed=needed, todo=did_you_mean(name, known))
            elif key == "enable" and name == "AlwaysDeny":
                review.fault(here, "every change in the cluster would be refused, kprov's too", todo="remove it")
            elif key == "enable" and name in _CONFIGURED and name not in keys.plugins:
                todo = f"write `plugins: {{{name}: {{{_CONFIGURED[name]}: …}}}}` beside it"
                review.fault(here, "the API server does not start without its configuration", needed="one", todo=todo)
            elif key == "enable" and name == "AlwaysPullImages":
                review.caution(
                    here, _PULLED, "leave it if every host reaches the registries, or a mirror that has all images"
                )
            elif key == "disable" and name in _NEEDED:
                review.fault(here, f"{name} would be switched off: {_NEEDED[name]}", todo="remove it")
            elif key == "disable" and name in keys.enable:
                review.fault(here, f"{name} is in `enable` too", needed="one of both")
    for number, name in enumerate(keys.pod_security.exempt.namespaces):
        if not _LABEL.fullmatch(name):
            here = (*path, "pod_security", "exempt", "namespaces", number)
            review.fault(here, "no name of a namespace", needed="lower case letters, digits and '-'")
    for name, given in keys.plugins.items():
        here = (*path, "plugins", name)
        if name == "PodSecurity":
            todo = "write `pod_security` under `admission`"
            review.fault(here, "it has a key of its own", todo=todo, at_key=True)
        elif known and name not in known:
            needed = "a plugin of this version"
            todo = did_you_mean(name, known)
            review.fault(here, "unknown admission plugin", found=name, needed=needed, todo=todo, at_key=True)
        elif is_reference(given):
            reference(review, here, ("file",))
        elif name in PLUGIN_TYPES:
            note(review, here, slips(types, PLUGIN_TYPES[name], given))


def _plugins(version: str) -> tuple[str, ...]:
    flags = (known_flags.flags_of(SERVER, version) if version else None) or {}
    return flags["enable-admission-plugins"].choices if "enable-admission-plugins" in flags else ()


def reference(review: Review, path: Path, kinds: tuple[str, ...]) -> None:
    value = review.root.at(path).plain()
    ((kind, text),) = value.items()
    if kind not in kinds or not isinstance(text, str) or not text:
        review.fault(path, "not a reference to a file", needed=" or ".join(f"`{{{word}: …}}`" for word in kinds))
