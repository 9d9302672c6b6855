"""What an inventory says of the encryption of objects, against all that an API server refuses: it goes on with the file of
before in silence then, and does not start with it. No I/O.

Source: k8s.io/apiserver v0.35.4 to v0.37.2, pkg/apis/apiserver/validation/validation_encryption.go.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from kprov.artifacts.options import fields as known_fields
from kprov.artifacts.options.fields import Slip
from kprov.inventory.api_checks import AT, is_reference, note, reference, slips, without_files
from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.values.durations import go_seconds
from kprov.values.spelling import did_you_mean

SIZES: Mapping[str, tuple[int, ...]] = {"aesgcm": (16, 24, 32), "aescbc": (16, 24, 32), "secretbox": (32,)}  # bytes
_AT: Path = (*AT, "encryption")
_RESOURCE = re.compile(r"\*\.\*|(\*|[a-z][a-z0-9]*)(\.[a-z0-9.-]*)?")
# Those of the core group that are kept in etcd; what CustomResourceDefinitions make has a group.
_CORE = (
    *("configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes", "persistentvolumeclaims"),
    *("persistentvolumes", "pods", "podtemplates", "replicationcontrollers", "resourcequotas", "secrets"),
    *("serviceaccounts", "services"),
)
_UNSERVED = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_OWN_KEY = re.compile(r"key[0-9]+")


def check(review: Review, versions: Mapping[str, str]) -> None:
    """Note what is wrong. versions: of each part, empty where Kubernetes' is not right."""
    version = versions.get("kubernetes", "")
    if not review.sound(*_AT):
        return
    keys = review.inventory.cluster.encryption
    _resources(review, keys.resources)
    document = {"resources": [{"resources": keys.resources, "providers": without_files(keys.providers)}]}
    types = known_fields.types_of(version) if version else None
    for slip in slips(types, "v1.EncryptionConfiguration", document):
        note(review, _AT, [Slip(path=slip.path[2:], needed=slip.needed, known=slip.known, words=slip.words)])
    named: set[str] = set()
    for number, provider in enumerate(keys.providers):
        here = (*_AT, "providers", number)
        if len(provider) != 1:
            review.fault(here, "an entry has exactly one provider", needed="`- NAME: {…}`, an entry for each")
            continue
        ((name, given),) = provider.items()
        if not review.sound(*here) or not isinstance(given, Mapping):
            continue
        if name == "kms":
            _kms(review, (*here, name), given, named)
        elif name in SIZES:
            _keys(review, (*here, name), name, given)
    if keys.providers and next(iter(keys.providers[0]), "") == "identity":
        review.caution(
            (*_AT, "providers"), "identity comes first: nothing is encrypted from then on", "put another one first"
        )


def why_no_key(kind: str, text: str) -> str:
    """Return what is wrong with a key, without a word of it; empty where nothing is."""
    try:
        size = len(b64decode(text, validate=True))
    except (Error, ValueError):
        return "it is not Base64"
    return "" if size in SIZES.get(kind, (size,)) else f"it has {size} bytes"


def _resources(review: Review, names: Sequence[str]) -> None:
    path = (*_AT, "resources")
    if not names:
        review.fault(
            path,
            "nothing would be encrypted, secrets neither",
            needed="at least one resource",
            todo="write `resources: [secrets]`, with `providers: [identity: {}]` for no encryption",
        )
        return
    for number, name in enumerate(names):
        for what, needed, todo in _why_no_resource(name):
            review.fault((*path, number), what, found=name, needed=needed, todo=todo)
    for wide in (name for name in names if name.startswith("*")):
        covered = [name for name in names if name != wide and (wide == "*.*" or _group(name) == _group(wide))]
        if covered:
            review.fault(
                (*path, names.index(covered[0])),
                f"{wide} covers it already, which API servers do not take",
                found=covered[0],
                needed="one of both",
                todo=f"remove {covered[0]}",
            )
            return
    if not {"secrets", "secrets.", "*.", "*.*"} & set(names):
        review.caution(path, "Secrets are not among them, and not encrypted", "add secrets")


def _group(name: str) -> str:
    return name.partition(".")[2]


def _why_no_resource(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a name, what is needed, and what to do."""
    if name == "*":
        yield "not a name of resources", "`*.` for those of the core group, or `*.*` for all", ""
    elif not _RESOURCE.fullmatch(name):
        yield "not a name of resources", "RESOURCE or RESOURCE.GROUP in small letters, `*.GROUP`, `*.` or `*.*`", ""
    elif name in _UNSERVED:
        yield "no resource of the API, so that it cannot be encrypted", "another resource", ""
    elif _group(name) == "events.k8s.io":
        yield "Events are stored in the core group", "events", "write events"
    elif _group(name) == "extensions":
        yield "this group has been removed upstream", "another group, such as apps or networking.k8s.io", ""
    elif not _group(name) and "*" not in name and name.rstrip(".") not in _CORE:
        needed = f"one of {', '.join(_CORE)}, or RESOURCE.GROUP"
        yield "the core group has no such resource, and nothing would be encrypted", needed, did_you_mean(name, _CORE)


def _kms(review: Review, path: Path, given: Mapping[str, Any], named: set[str]) -> None:
    name, endpoint, timeout = given.get("name"), given.get("endpoint"), given.get("timeout")
    if given.get("apiVersion") != "v2":
        review.fault((*path, "apiVersion"), "KMS v1 has been removed upstream", needed="v2")
    if not isinstance(name, str) or not name or ":" in name:
        review.fault((*path, "name"), "a KMS without a name of its own", needed="`name:`, text without a colon")
    elif name in named:
        review.fault((*path, "name"), "two KMS have one name, which stands before each object", needed="another name")
    else:
        named.add(name)
    if not isinstance(endpoint, str) or urlsplit(endpoint).scheme != "unix" or not urlsplit(endpoint).path.strip("/"):
        review.fault(
            (*path, "endpoint"), "not the socket of a KMS plugin", needed="unix:///PATH, on each control plane"
        )
    if isinstance(timeout, str) and review.sound(*path, "timeout") and go_seconds(timeout) <= 0:
        review.fault((*path, "timeout"), "no time at all", needed="a duration above 0s; default: 3s")
    if "cachesize" in given:
        review.fault((*path, "cachesize"), "KMS v2 has no such setting", needed="no `cachesize`", at_key=True)


def _keys(review: Review, path: Path, kind: str, given: Mapping[str, Any]) -> None:
    keys = given.get("keys")
    if not keys and kind == "secretbox" and not given:
        return  # kprov's own
    if not isinstance(keys, list) or not keys:
        own = "; `secretbox: {}` alone is kprov's own key" if kind == "secretbox" else ""
        review.fault(path, "a provider without a key", needed=f"`keys: [{{name: NAME, secret: {{file: PATH}}}}]`{own}")
        return
    names: list[str] = []
    for place, key in enumerate(keys):
        if not isinstance(key, Mapping):
            continue  # told by the types
        here, name = (*path, "keys", place), key.get("name")
        if not isinstance(name, str) or not name or ":" in name:
            review.fault((*here, "name"), "a key without a name of its own", needed="`name:`, text without a colon")
        elif name in names:
            review.fault(
                (*here, "name"), "two keys have one name, which stands before each object", needed="another name"
            )
        elif kind == "secretbox" and _OWN_KEY.fullmatch(name):
            review.fault((*here, "name"), "kprov's own keys are called so", needed="a name other than key1, key2, …")
        names.append(str(name))
        _key(review, (*here, "secret"), key.get("secret"))


def _key(review: Review, path: Path, secret: Any) -> None:
    if not is_reference(secret):
        review.fault(
            path,
            "a key may not stand in the inventory, which is copied, shown and committed",
            found="something that is not shown, as it may be a secret",
            needed="`{file: PATH}` of a file with mode 0600, or `{env: NAME}`",
            todo="`head -c 32 /dev/urandom | base64 > PATH` makes a key",
        )
    else:
        reference(review, path, ("file", "env"))
