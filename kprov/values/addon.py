"""What an add-on is, as frozen values: its description, and what an inventory chose of it. Reads and decides nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from kprov.values.effect import Effect
from kprov.values.release import Component, ImageEntry

ParameterType = Literal[
    "text", "integer", "boolean", "choice", "duration", "size", "list", "mapping", "secret", "exposure", "issuer"
]
Level = Literal["restricted", "baseline", "privileged"]

MANIFEST = "manifest"  # the parameter that names another manifest than the version's own

_URL = re.compile(r"https?://[^\s@]+")
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting of an add-on. `duration` is like 14d, `size` like 10Gi; `secret` is read by reference.

    `exposure` says how it is reached from outside (`exposure.py`), and certificate names the Secret that its pods serve
    there; without one they speak plain HTTP. cautions: what to know of a choice, by its word. refused: patterns of what may
    not be in a list, and why. change: what another value means while the add-on is on, if it says so.
    """

    name: str
    type: ParameterType
    description: str
    default: Any = None  # None: the add-on does without it
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    required: bool = False
    certificate: str = ""
    cautions: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    refused: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    change: Effect | None = None


@dataclass(frozen=True, kw_only=True)
class CloudIds:
    """How a provider of machines names them in `spec.providerID`: a pattern, and an example for messages."""

    pattern: str
    example: str


@dataclass(frozen=True, kw_only=True)
class CertificateRow:
    """A certificate that lives in a Secret of the add-on's namespace. Texts may hold `{{ cluster.domain }}`."""

    secret: str
    common_name: str
    usage: Literal["server", "client", "both"]
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    authority: Literal["kubernetes", "etcd", "front-proxy"] = "kubernetes"


@dataclass(frozen=True, kw_only=True)
class HostDirectory:
    """A folder on every node. data: what is in it outlives the add-on, until `--delete-data`."""

    path: str
    mode: int = 0o755
    owner: str = "root"
    data: bool = False


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How `kprov open` reaches an add-on: a Service of its namespace, and what its page asks for.

    user and password: HTTP basic authentication, password being the name templates give to `password()`.
    service_account: whose short-lived token is what it asks for instead. audience: the page wants that token with each
    request, made out to it by this name, and kprov shows it: a browser cannot. callback: the path to which the issuer sends
    people back who sign on with it; nothing else is asked for then.
    """

    service: str
    port: int
    path: str = "/"
    scheme: Literal["http", "https"] = "http"
    user: str = ""
    password: str = ""
    service_account: str = ""
    audience: str = ""
    callback: str = ""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One value that is set in an object of upstream's manifest. object: `KIND/NAME`.

    Either `at`, the way to it through mappings (and through text that is JSON), or a container with the name of an
    environment variable or of an argument (`--iface`). The value is a template, or a parameter as it is: without one
    nothing is set.
    """

    object: str
    at: tuple[str, ...] = ()
    container: str = ""
    env: str = ""
    argument: str = ""
    value: str = ""
    parameter: str = ""


@dataclass(frozen=True, kw_only=True)
class ManifestModule:
    """The Go module that has upstream's manifest of a version too, as the kustomization its release is made from."""

    path: str
    kustomization: str  # a folder of the module


@dataclass(frozen=True, kw_only=True)
class AddonImage:
    """An image of an add-on in the version that was chosen. `name` is what templates call it."""

    name: str
    version: str
    entry: ImageEntry


@dataclass(frozen=True, kw_only=True)
class AddonProgram:
    """A program that hosts are given while the add-on is on, in the version that was chosen: a component of its own."""

    name: str
    version: str
    component: Component


@dataclass(frozen=True, kw_only=True)
class Description:
    """An add-on as its folder describes it.

    versions: version → name of an image or program → that one's version, newest first.
    """

    name: str
    folder: Path
    summary: str
    namespace: str
    default: bool = False
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _EMPTY)
    images: Mapping[str, ImageEntry] = field(default_factory=lambda: _EMPTY)
    programs: Mapping[str, Component] = field(default_factory=lambda: _EMPTY)
    needs_kubernetes: Mapping[str, tuple[int, int]] = field(default_factory=lambda: _EMPTY)  # version → oldest minor
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: _EMPTY)
    certificates: tuple[CertificateRow, ...] = ()
    ready: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    level: Level = "restricted"
    reason: str = ""  # why its pods need more than `restricted`
    directories: tuple[HostDirectory, ...] = ()
    opening: Opening | None = None
    manifest: str = ""  # a template of where upstream publishes its objects: a URL, or a path beside the inventory
    advice: str = ""  # what to do where that template gives nothing
    manifest_module: ManifestModule | None = None  # where it is had without upstream's releases
    settings: tuple[Setting, ...] = ()
    reads_kubelets: Mapping[str, str] = field(default_factory=lambda: _EMPTY)  # labels of its pods that do
    cloud_ids: CloudIds | None = None  # only cloud controllers name machines
    own: bool = False  # ships with kprov


@dataclass(frozen=True, kw_only=True)
class Addon:
    """An add-on that is on: its description, the version, and every parameter with its value.

    manifest: URL or absolute path of upstream's manifest; empty for one that has all its objects in its folder.
    """

    description: Description
    version: str
    parameters: Mapping[str, Any]
    images: tuple[AddonImage, ...]
    programs: tuple[AddonProgram, ...] = ()
    manifest: str = ""

    @property
    def name(self) -> str:
        return self.description.name

    @property
    def namespace(self) -> str:
        return self.description.namespace

    @property
    def issuer(self) -> str:
        """Whom people sign on with, by its URL; empty where the add-on has no such parameter, or none is named."""
        named = [name for name, row in self.description.parameters.items() if row.type == "issuer"]
        return str(self.parameters.get(named[0]) or "") if named else ""

    @property
    def password_generation(self) -> int:
        """Each number has passwords of its own; 1 where the add-on has no such parameter."""
        return int(self.parameters.get("password_generation") or 1)


def is_url(location: str) -> bool:
    return _URL.fullmatch(location) is not None
