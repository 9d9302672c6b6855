"""The API servers' doors of an inventory → settings, with the files beside it read; what is wrong is noted at its line.

Contents of kubeconfigs and keys leave this module only as `ApiFile` and `Secret`, never in a message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kprov.artifacts.options import fields as known_fields
from kprov.artifacts.options.fields import Types
from kprov.inventory import source
from kprov.inventory.api_checks import AT, PLUGIN_TYPES, flag_text, is_reference, slips
from kprov.inventory.encryption_checks import SIZES, why_no_key
from kprov.inventory.keys import SecretReference
from kprov.inventory.kubeconfigs import Incomplete, self_contained
from kprov.inventory.mistakes import Mistakes
from kprov.inventory.mistakes import Path as KeyPath
from kprov.inventory.passwords import SecretReader, Unresolved
from kprov.inventory.review import Review
from kprov.values.api_settings import AdmissionSettings, ApiFile, ApiSettings, AuditSettings, EncryptionSettings
from kprov.values.paths import API_SERVER_FOLDER
from kprov.values.secret import Secret

_KUBECONFIG = "kubeConfigFile"


def api_settings(review: Review, folder: Path, reader: SecretReader, versions: Mapping[str, str]) -> ApiSettings:
    """Read the files that the inventory names. What cannot be read is a mistake, and left out."""
    version = versions.get("kubernetes", "")
    reading = _Reading(review, folder, reader, known_fields.types_of(version) if version else None)
    return ApiSettings(
        authentication=reading.authentication(),
        authorizers=reading.authorizers(),
        audit=reading.audit(),
        admission=reading.admission(),
        encryption=reading.encryption(),
        files=tuple(reading.files),
    )


class _Reading:
    """One pass over the keys of the API servers' doors; gathers the files that are shipped."""

    def __init__(self, review: Review, folder: Path, reader: SecretReader, types: Types | None) -> None:
        self._review = review
        self._cluster = review.inventory.cluster
        self._folder = folder
        self._reader = reader
        self._types = types
        self.files: list[ApiFile] = []

    def authentication(self) -> Mapping[str, Any]:
        keys, path = self._cluster.authentication, (*AT, "authentication")
        document: dict[str, Any] = {}
        if keys.jwt:
            document["jwt"] = [
                self._with_ca(issuer, (*path, "jwt", number, "issuer")) for number, issuer in enumerate(keys.jwt)
            ]
        if keys.anonymous:
            document["anonymous"] = dict(keys.anonymous)
        return _frozen(document)

    def _with_ca(self, given: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        issuer = given.get("issuer")
        if not isinstance(issuer, Mapping) or not is_reference(issuer.get("certificateAuthority")):
            return dict(given)
        here = (*path, "certificateAuthority")
        text = self._text(here, str(issuer["certificateAuthority"].get("file")))
        if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
            self._review.fault(here, "the file holds no certificates", needed="a PEM file with the CA's certificates")
        elif text is not None and "PRIVATE KEY-----" in text:
            self._review.fault(
                here, "the file holds a private key, which no host may have", needed="certificates alone"
            )
        return {**given, "issuer": {**issuer, "certificateAuthority": text or ""}}

    def authorizers(self) -> tuple[Mapping[str, Any], ...]:
        path = (*AT, "authorization", "authorizers")
        webhooks = [
            (number, item)
            for number, item in enumerate(self._cluster.authorization.authorizers)
            if item.get("type") == "Webhook"
        ]
        # Named by content: the API server reads kubeconfigs again only when the configuration itself is another one.
        return tuple(
            self._shipped(item, (*path, number), f"authorization-{item.get('name')}", at_start=False)
            for number, item in webhooks
        )

    def audit(self) -> AuditSettings:
        keys, path = self._cluster.audit, (*AT, "audit")
        policy: Mapping[str, Any] = keys.policy
        if is_reference(policy):
            policy = self._document((*path, "policy"), "v1.Policy")
        config = ""
        given = keys.webhook.get("kubeconfig")
        if isinstance(given, str):
            config = self._kubeconfig((*path, "webhook", "kubeconfig"), given, "audit-webhook", at_start=True)
        flags = {name: value for name, value in keys.webhook.items() if name != "kubeconfig"}
        return AuditSettings(policy=_frozen(policy), log=_flags(keys.log), webhook=_flags(flags), config=config)

    def admission(self) -> AdmissionSettings:
        keys, path = self._cluster.admission, (*AT, "admission")
        plugins: dict[str, Mapping[str, Any]] = {}
        for name, given in keys.plugins.items():
            here = (*path, "plugins", name)
            document = self._document(here, PLUGIN_TYPES.get(name, "")) if is_reference(given) else given
            plugins[name] = self._shipped(document, here, f"admission-{name}", at_start=True)
        security = keys.pod_security
        written = security.model_fields_set
        return AdmissionSettings(
            pod_security=_frozen(
                {
                    "defaults": {name: getattr(security, name) for name in ("enforce", "audit", "warn")},
                    "version": security.version,
                    "exemptions": security.exempt.model_dump(),
                }
                if written
                else {}
            ),
            plugins=_frozen(plugins),
            enable=tuple(dict.fromkeys(keys.enable)),
            disable=tuple(dict.fromkeys(keys.disable)),
        )

    def encryption(self) -> EncryptionSettings:
        keys, path = self._cluster.encryption, (*AT, "encryption", "providers")
        providers = tuple(self._provider(given, (*path, number)) for number, given in enumerate(keys.providers))
        return EncryptionSettings(resources=tuple(dict.fromkeys(keys.resources)), providers=providers)

    def _provider(self, provider: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
        made: dict[str, Any] = {}
        for name, given in provider.items():
            keys = given.get("keys") if isinstance(given, Mapping) else None
            if isinstance(keys, list):
                found = [self._key(key, (*path, name, "keys", place), name) for place, key in enumerate(keys)]
                made[name] = {**given, "keys": found}
            else:
                made[name] = given or {}
        return _frozen(made)

    def _key(self, key: Any, path: KeyPath, kind: str) -> Any:
        here = (*path, "secret")
        if not isinstance(key, Mapping) or not is_reference(key.get("secret")) or not self._review.sound(*here):
            return key
        secret = self._secret(here, SecretReference(**key["secret"]))
        if secret is not None and (why := why_no_key(kind, secret.reveal())):
            sizes = " or ".join(map(str, SIZES.get(kind, ())))
            todo = f"`head -c {max(SIZES.get(kind, (32,)))} /dev/urandom | base64 > PATH` makes one"
            self._review.fault(
                here, f"not a key: {why}", found="a reference", needed=f"{sizes} bytes as Base64", todo=todo
            )
        return {**key, "secret": secret or Secret("")}

    def _secret(self, path: KeyPath, reference: SecretReference) -> Secret | None:
        try:
            return self._reader.read(reference)
        except Unresolved as error:
            self._review.fault(path, str(error), found="a reference", needed="`{env: NAME}` or `{file: PATH}`")
            return None

    def _shipped(self, value: Any, path: KeyPath, name: str, *, at_start: bool) -> Any:
        """The value with places on hosts for each `kubeConfigFile` that it names beside the inventory."""
        if isinstance(value, list):
            return [self._shipped(item, (*path, at), name, at_start=at_start) for at, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        made: dict[str, Any] = {}
        for key, item in value.items():
            if key == _KUBECONFIG and isinstance(item, str):
                file = self._kubeconfig((*path, key), item, name, at_start=at_start)
                made[key] = f"{API_SERVER_FOLDER}/{file}"
            else:
                made[key] = self._shipped(item, (*path, key), name, at_start=at_start)
        return made

    def _kubeconfig(self, path: KeyPath, text: str, name: str, *, at_start: bool) -> str:
        """Ship a kubeconfig with what it names; returns its name on hosts, empty where it cannot be had."""
        if not self._review.sound(*path):
            return ""
        try:
            secret = self._reader.read(SecretReference(file=text), several_lines=True)
            content = self_contained(secret, (self._folder / Path(text).expanduser()).parent)
        except (Unresolved, Incomplete) as error:
            self._review.fault(path, str(error), found="a path", needed="a kubeconfig beside the inventory")
            return ""
        mark = "" if at_start else f"-{hashlib.sha256(content.reveal().encode()).hexdigest()[:8]}"
        file = ApiFile(name=f"{name}{mark}.kubeconfig", content=content, at_start=at_start)
        if all(other.name != file.name for other in self.files):
            self.files.append(file)
        return file.name

    def _text(self, path: KeyPath, text: str) -> str | None:
        file = self._folder / Path(text).expanduser()
        if not self._review.sound(*path):
            return None
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self._review.fault(
                path, f"{file} cannot be read: {why}", found="a path", needed="a file beside the inventory"
            )
            return None

    def _document(self, path: KeyPath, kind: str) -> Mapping[str, Any]:
        """The mapping in a YAML file; each mistake in it is told with its own line there."""
        given = self._review.root.at(path).plain()
        text = self._text(path, str(given.get("file")))
        if text is None:
            return {}
        mistakes = Mistakes(str(given.get("file")))
        root = source.compose(text, mistakes)
        if root is not None and isinstance(root.value, dict):
            value = {name: item for name, item in root.plain().items() if name not in ("apiVersion", "kind")}
            for slip in slips(self._types, kind, value):
                what = "unknown field" if slip.known else "not a value that the API server takes"
                mark = root.key_mark(slip.path) if slip.known else root.at(slip.path).mark
                mistakes.add(mark, what, path=slip.path, needed=slip.needed)
            if not mistakes:
                return value
        elif not mistakes:
            self._review.fault(path, f"{given['file']} holds no mapping", needed="a YAML document")
        for error in mistakes.error().mistakes if mistakes else ():
            self._review.fault(path, f"{error.where}: {error.what}", found=error.found or "a file", needed=error.needed)
        return {}


def _flags(given: Mapping[str, Any]) -> Mapping[str, str]:
    return _frozen({name: flag_text(value) for name, value in given.items()})


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping))
