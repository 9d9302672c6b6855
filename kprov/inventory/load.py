"""One inventory file → a validated cluster, or every mistake in it at once. Reads the file and the secrets it names.

Nothing is asked of hosts or of the network here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kprov.artifacts.catalog import resolve_versions
from kprov.inventory import (
    api_checks,
    build,
    checks,
    cluster_sense,
    diagnose,
    encryption_checks,
    field_checks,
    flag_checks,
    source,
)
from kprov.inventory.addons import addons, check_sign_on
from kprov.inventory.api_settings import api_settings
from kprov.inventory.cloud import check_hosts, settings
from kprov.inventory.merge import members
from kprov.inventory.mistakes import Caution, Mark, Mistakes, dotted
from kprov.inventory.mistakes import Path as KeyPath
from kprov.inventory.passwords import SecretReader
from kprov.inventory.registries import registry
from kprov.inventory.review import Review
from kprov.inventory.source import Node
from kprov.values.certificate import Authority, OwnAuthority
from kprov.values.errors import InventoryError, KprovError
from kprov.values.model import Cluster

Resolver = Callable[[str, Mapping[str, str]], Mapping[str, str]]

# Control characters, line and paragraph separators, and the marks that change the direction of shown text
# (CVE-2021-42574): nothing that reaches a host's files or a reviewer's screen may hold one.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?\Z")
_TRAPS = {
    "swap": ("YAML readers disagree on whether this is text", "write off or keep"),
    "policies": ("YAML readers disagree on whether this is text", "write on or off"),
    "switch": (
        "some YAML readers take this for true or false, others for text",
        "write true or false; quote it for text",
    ),
    "number": ("YAML readers disagree on what this number is", "put it into quotes for text; else write it in decimal"),
}
_FREE = frozenset({"kubelet", "kube_proxy", "kube_scheduler", "scheduler", "audit"})  # whose fields may be null
# Below these stand documents of upstream's, with certificates and expressions of several lines in them.
_DOCUMENTS = frozenset({"authentication", "authorization", "audit", "admission", "scheduler"})
# Keys whose accepted words are among those that some YAML readers take for true or false.
_WORDS: Mapping[KeyPath, tuple[str, ...]] = {
    ("cluster", "swap"): ("off",),
    ("cluster", "network", "policies"): ("on", "off"),
}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A cluster, what is odd about its inventory, and the line of each key.

    source_lines: keys are `cluster`, `cluster.name`, `hosts.cp1.pod_cidr`; lines count from 1.
    """

    cluster: Cluster
    warnings: tuple[Caution, ...]
    source_lines: Mapping[str, int]


def load(path: Path, *, environment: Mapping[str, str] | None = None, resolve: Resolver = resolve_versions) -> Loaded:
    """The cluster an inventory file describes.

    Args:
        path: the YAML file; relative paths in it start at its folder.
        environment: for `{env: NAME}` references; default: the process's own.
        resolve: Kubernetes version and overrides → version of each part.

    Raises InventoryError with all mistakes, each with `file:line:column`.
    """
    return parse(read(path), path=path, environment=environment, resolve=resolve)


def read(path: Path) -> str:
    """The text of an inventory file. Raises InventoryError when it is missing, no text, or larger than 1 MiB."""
    try:
        if path.is_dir():
            raise InventoryError("this is a folder", where=str(path), todo=f"name the file, such as {path / 'ha.yaml'}")
        with path.open("rb") as file:
            data = file.read(source.MAX_BYTES + 1)
        size = path.stat().st_size
    except OSError as error:
        raise InventoryError(
            f"the inventory cannot be read: {error.strerror}",
            where=str(path),
            todo="check the path; `kprov init HOST…` writes a first inventory",
        ) from error
    if len(data) > source.MAX_BYTES:
        raise InventoryError(
            f"the inventory is too large: {max(size, len(data))} bytes; at most {source.MAX_BYTES} are read",
            where=str(path),
            todo="is this the right file?",
        )
    if b"\0" in data:
        raise InventoryError("the inventory is not text", where=str(path), todo="is this the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InventoryError(
            "the inventory is not UTF-8 text", where=f"{path}:{line}", todo="save it as UTF-8"
        ) from None


def parse(
    text: str, *, path: Path, environment: Mapping[str, str] | None = None, resolve: Resolver = resolve_versions
) -> Loaded:
    """The cluster that a text describes; `path` is where it is said to stand. Raises InventoryError."""
    mistakes = Mistakes(str(path))
    root = source.compose(text, mistakes)
    if root is None or not isinstance(root.value, dict) or not root.value:
        raise _not_an_inventory(root, mistakes)
    _examine(root, mistakes)
    draft = diagnose.validate(root, mistakes)
    if draft is None:
        raise mistakes.error()
    groups = members(draft.hosts)
    review = Review(root, draft, groups, mistakes)
    checks.check(review)
    versions = _versions(review, resolve)
    checks.handlers(review, versions)
    flag_checks.check(review, versions)
    field_checks.check(review, versions)
    cluster_sense.check(review)
    api_checks.check(review, versions)
    encryption_checks.check(review, versions)
    reader = SecretReader(path.parent, os.environ if environment is None else environment)
    hosts = build.hosts(review, path.parent, reader, versions)
    chosen = addons(review, path.parent, reader, _minor(versions))
    check_hosts(review, chosen)
    checks.sources(review, chosen)
    images_from = registry(review, path.parent, reader)
    api = api_settings(review, path.parent, reader, versions)
    check_sign_on(review, chosen, api.authentication)
    authorities = _authorities(review, path.parent, reader)
    if mistakes:
        raise mistakes.error()
    cluster = build.cluster(
        draft, hosts, versions, chosen, images_from, settings(review), path.parent, api, authorities
    )
    return Loaded(cluster=cluster, warnings=tuple(review.cautions), source_lines=_lines(root))


def _authorities(review: Review, folder: Path, reader: SecretReader) -> Mapping[Authority, OwnAuthority]:
    if not review.inventory.cluster.pki.authority.model_fields_set:
        return {}
    from kprov.inventory.own_authorities import own_authorities  # what reads certificates takes a while to load

    return own_authorities(review, folder, reader)


def _minor(versions: Mapping[str, str]) -> tuple[int, int] | None:
    """Of Kubernetes, when its version is right."""
    numbers = versions.get("kubernetes", "").split(".")
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else None


def _not_an_inventory(root: Node | None, mistakes: Mistakes) -> InventoryError:
    if root is not None and root.value:
        mistakes.add(root.mark, "not an inventory", found=root.found(), needed="a mapping with `cluster` and `hosts`")
    elif not mistakes:
        mistakes.add(
            Mark(1, 1),
            "the inventory is empty",
            needed="a mapping with `cluster` and `hosts`",
            todo="`kprov init HOST…` writes a first inventory",
        )
    return mistakes.error()


def _examine(root: Node, mistakes: Mistakes) -> None:
    """Refuse what no value may be, whatever its key: words that YAML readers disagree on, and hidden characters."""
    for path, node in root.walk():
        if node.trap and path not in mistakes.spoiled and node.text not in _WORDS.get(path, ()):
            what, todo = _TRAPS[str(path[-1]) if path in _WORDS else node.trap]
            mistakes.add(node.mark, what, path=path, found=diagnose.shown(node, path), todo=todo)
        elif node.value is None and path and not _FREE & set(path[1:3]):
            what, todo = "nothing stands after this key", "write a value, or remove the key"
            mistakes.add(root.key_mark(path), what, path=path, todo=todo)
        elif isinstance(node.value, str):
            _examine_text(node.value, node.mark, path, diagnose.shown(node, path), mistakes)
        elif isinstance(node.value, dict):
            for key, mark in node.keys.items():
                _examine_text(key, mark, (*path, key), repr(key), mistakes)


def _examine_text(text: str, mark: Mark, path: KeyPath, found: str, mistakes: Mistakes) -> None:
    document = path[:1] == ("cluster",) and len(path) > 2 and path[1] in _DOCUMENTS
    hidden = _HIDDEN.search(text.replace("\n", "") if document else text)
    if hidden:
        mistakes.add(
            mark,
            f"text with the control character U+{ord(hidden[0]):04X}",
            path=path,
            found=found,
            needed="one line of visible characters",
            todo="remove the line break or control character",
        )
    elif text.startswith("-") and not document and not _NUMBER.match(text) and not _is_argument(path, text):
        mistakes.add(
            mark,
            "text that begins with '-', which programs take for an option",
            path=path,
            found=found,
            needed="text that begins otherwise",
            todo="for a flag, leave out the leading '--'" if text.startswith("--") else "",
        )


def _is_argument(path: KeyPath, text: str) -> bool:
    """Whether it is an argument: an item of an add-on's list, as for a program in its pods, of the command of a signer, or
    of a flag's list, in which `-NAME` takes something away.
    """
    item = bool(path) and isinstance(path[-1], int)
    return item and (
        (path[:2] == ("cluster", "addons") and len(path) == 5)
        or (path[1:3] == ("pki", "authority") and path[-1] != 0)
        or (path[-4:-3] == ("extra_args",) and not text.startswith("--"))
    )


def _versions(review: Review, resolve: Resolver) -> Mapping[str, str]:
    """The version of each part; each one that the catalog refuses is noted at its own line."""
    cluster = review.inventory.cluster
    kubernetes = cluster.kubernetes or ""
    if _refused(review, ("cluster", "kubernetes"), partial(resolve, kubernetes, {})):
        return {}
    overrides: dict[str, str] = dict(cluster.versions.items())
    refused = [
        part
        for part, version in overrides.items()
        if _refused(review, ("cluster", "versions", part), partial(resolve, kubernetes, {part: version}))
    ]
    return {} if refused else resolve(kubernetes, overrides)


def _refused(review: Review, path: KeyPath, ask: Callable[[], object]) -> bool:
    try:
        ask()
    except KprovError as error:
        review.fault(path, error.what, needed=error.needed, todo=error.todo)
        return True
    return False


def _lines(root: Node) -> Mapping[str, int]:
    return {
        dotted((*path, key)): mark.line
        for path, node in root.walk()
        if isinstance(node.value, dict)
        for key, mark in node.keys.items()
    }
