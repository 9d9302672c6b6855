"""An add-on that is on → the Kubernetes objects it wants, in apply order. Reads the add-on's own files, and no host.

Inventory values are data to the templates, never templates. What the manifests hold is not judged here.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.exceptions import TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from kprov.addon.describe import FILE
from kprov.addon.published import adjusted
from kprov.addon.quantities import with_quantities
from kprov.objects.kinds import CLUSTER_WIDE, rank
from kprov.objects.objects import ADDON_LABEL, OWNER, OWNER_LABEL, Object
from kprov.values.addon import Addon, Description
from kprov.values.basic_login import basic
from kprov.values.errors import AddonError, KprovError
from kprov.values.secret import Secret
from kprov.values.yaml_text import dump, load_all

_BORROWED = ("default", "kube-system", "kube-public", "kube-node-lease")  # namespaces that no add-on makes
_MACROS = "_macros"  # of kprov's own add-ons, beside them: templates import what several of them need
_SUFFIXES = (".yaml", ".yml", ".yaml.j2", ".yml.j2")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What templates see besides the add-on itself. images: name → reference as nodes know it.

    token_key: the public key, PEM, of the tokens of service accounts.
    """

    cluster: Mapping[str, Any]
    ca: Mapping[str, str]
    images: Mapping[str, str]
    secret_seed: bytes  # passwords are derived from it
    token_key: str = ""
    manifest: str = ""  # the text of upstream's, where the add-on has one

    def __repr__(self) -> str:
        return "Surroundings(…)"


def rendered(addon: Addon, around: Surroundings) -> tuple[Object, ...]:
    """Every object of the add-on but its certificates, labelled and in apply order. Raises AddonError with file:line."""
    values = {
        "addon": {"name": addon.name, "namespace": addon.namespace, "version": addon.version},
        "parameters": dict(addon.parameters),
        "images": around.images,
        "cluster": around.cluster,
        "ca": around.ca,
        "token_key": around.token_key,
        "password": lambda name: password(around.secret_seed, addon.name, name, addon.password_generation),
        "login": lambda user, name: login(around.secret_seed, addon.name, user, name, addon.password_generation),
        "file": lambda path: _text(addon, path),
        "fingerprint": lambda *parts: fingerprint(around.secret_seed, parts),
    }
    items = [*_namespace(addon), *_published(addon, around.manifest, values)]
    for path in sorted(addon.description.folder.iterdir()):
        if path.is_file() and path.name != FILE and path.name.endswith(_SUFFIXES):
            filled = path.name.endswith(".j2")
            items += _documents(str(path), _filled(path, values) if filled else _read(path), filled=filled)
    placed = [_placed(addon, item) for item in items]
    return tuple(sorted(placed, key=rank))


def _published(addon: Addon, text: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of upstream's manifest with the add-on's settings; none where it has no manifest."""
    if not addon.manifest:
        return []
    settings = addon.description.settings
    texts = {row: _text_of(addon.description.folder, row.value, values) for row in settings if row.value}
    return adjusted(addon, _documents(addon.manifest, text), texts)


def location(description: Description, version: str, parameters: Mapping[str, Any]) -> str:
    """Where upstream's manifest is, by the description's template. Raises AddonError."""
    values = {"addon": {"version": version}, "parameters": dict(parameters)}
    return _text_of(description.folder, description.manifest, values)


def _text_of(folder: Path, template: str, values: Mapping[str, Any]) -> str:
    try:
        return _environment(folder).from_string(template).render(values)
    except (TemplateError, TypeError, ValueError) as error:
        raise AddonError(
            "a template of this add-on cannot be filled in", where=str(folder / FILE), found=f"{template}: {error}"
        ) from None


def certificate_texts(addon: Addon, texts: tuple[str, ...], cluster: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in a certificate, filled in."""
    return tuple(_environment(addon.description.folder).from_string(text).render(cluster=cluster) for text in texts)


def password(seed: bytes, addon: str, name: str, generation: int = 1) -> Secret:
    """32 letters and digits, the same for the same cluster, add-on, name and generation (HKDF, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    purpose = f"kprov add-on {addon} {name}" + (f" {generation}" if generation > 1 else "")
    key = HKDF(algorithm=SHA256(), length=48, salt=None, info=purpose.encode()).derive(seed)
    letters = re.sub(r"[^A-Za-z0-9]", "", base64.b64encode(key).decode())
    return Secret(letters[:32])


def login(seed: bytes, addon: str, user: str, name: str, generation: int = 1) -> Secret:
    """What HTTP basic authentication sends for a user with that password (RFC 7617): `Basic …`."""
    return Secret(f"Basic {basic(user, password(seed, addon, name, generation))}")


def fingerprint(seed: bytes, parts: tuple[Any, ...]) -> str:
    """16 hex digits that change when a part does, and tell nobody what a secret among them is (HMAC-SHA256)."""
    text = json.dumps([_plain(part) for part in parts], sort_keys=True)
    return hmac.digest(seed, text.encode(), "sha256").hex()[:16]


def _namespace(addon: Addon) -> Iterator[dict[str, Any]]:
    if addon.namespace in _BORROWED:
        return
    level = addon.description.level
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn", "audit")}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": addon.namespace, "labels": labels}}


def _placed(addon: Addon, item: dict[str, Any]) -> Object:
    """With kprov's labels, and in the add-on's namespace when it names none."""
    metadata = dict(item["metadata"])
    metadata["labels"] = {**metadata.get("labels", {}), OWNER_LABEL: OWNER, ADDON_LABEL: addon.name}
    if not metadata.get("namespace") and item["kind"] not in CLUSTER_WIDE and not _custom(item):
        metadata["namespace"] = addon.namespace
    return {**with_quantities(item), "metadata": metadata}


def _custom(item: Mapping[str, Any]) -> bool:
    """Whether the object's kind comes from a CustomResourceDefinition: then only its author knows its scope."""
    group = str(item["apiVersion"]).rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


@lru_cache(maxsize=32)
def _environment(folder: Path) -> Environment:
    environment = SandboxedEnvironment(
        loader=FileSystemLoader([str(folder), str(files("kprov.addons") / _MACROS)]),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["b64"] = _b64
    environment.filters["yaml"] = lambda value: dump(value, flow=True, width=80).strip()
    environment.filters["json"] = _json
    return environment


def _json(value: Any) -> str | Secret:
    """JSON; a secret anywhere in it makes all of it one, which only `b64` reveals."""
    text = json.dumps(_plain(value), sort_keys=True)
    return Secret(text) if _has_secret(value) else text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.reveal() if isinstance(value, Secret) else value


def _has_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_secret(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_secret(item) for item in value)
    return isinstance(value, Secret)


def _b64(value: Any) -> str:
    """The one place where a secret's text is taken: it goes into a Secret's `data`."""
    text = value.reveal() if isinstance(value, Secret) else str(value)
    return base64.b64encode(text.encode()).decode()


def _filled(path: Path, values: Mapping[str, Any]) -> str:
    try:
        return _environment(path.parent).get_template(path.name).render(values)
    except KprovError:
        raise
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise AddonError(
            "a template of this add-on cannot be filled in",
            where=f"{path}:{_line(path, error)}",
            found=str(error) or type(error).__name__,
            needed="only what docs/addons.md says that templates are given",
            todo="fix that line; `kprov addons info` lists the parameters",
        ) from None


def _line(path: Path, error: Exception) -> int:
    """The line of the template where it went wrong."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(path.name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AddonError("this manifest cannot be read", where=str(path), found=str(error)) from None


def _text(addon: Addon, path: str) -> str:
    folder = addon.description.folder.resolve()
    desired = (folder / path).resolve()
    if not desired.is_relative_to(folder) or not desired.is_file():
        raise AddonError(
            "a template asks for a file that is not there", where=str(desired), needed=f"a file below {folder}"
        )
    return _read(desired)


def _documents(where: str, text: str, *, filled: bool = False) -> Iterator[dict[str, Any]]:
    """The objects of one manifest; `List`s are taken apart. filled: whether the text came out of a template."""
    try:
        documents = load_all(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark is not None else ""
        after = " once it is filled in" if filled else ""
        raise AddonError(
            f"this manifest is not YAML{after}",
            where=f"{where}{place}",
            found=str(getattr(error, "problem", "") or error).splitlines()[0],
            todo="fix that line",
        ) from None
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else [document]
        for item in items or ():
            yield _object(where, number, item)


def _object(where: str, number: int, item: Any) -> dict[str, Any]:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    missing = [key for key in ("apiVersion", "kind") if not isinstance(item, dict) or not item.get(key)]
    if not isinstance(metadata, dict) or not metadata.get("name"):
        missing.append("metadata.name")
    if missing:
        raise AddonError(
            f"document {number} of this manifest is no Kubernetes object",
            where=where,
            needed=f"{', '.join(missing)}",
            todo="add what is missing",
        )
    return dict(item)
