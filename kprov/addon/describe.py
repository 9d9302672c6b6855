"""A folder → the description of an add-on, or what is wrong with its addon.yaml, with file and key. Renders nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kprov.artifacts.catalog import component_entry, image_entry
from kprov.values.addon import (
    CertificateRow,
    CloudIds,
    Description,
    HostDirectory,
    Level,
    ManifestModule,
    Opening,
    Parameter,
    ParameterType,
    Setting,
)
from kprov.values.effect import Effect, read_effect
from kprov.values.errors import AddonError
from kprov.values.release import Component
from kprov.values.yaml_text import load

FILE = "addon.yaml"
_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_Name = Annotated[str, Field(pattern=f"^{_NAME}$")]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Image(_Keys):
    reference: str = ""
    built: str = ""
    modules: str = ""
    program: dict[str, str] = Field(default_factory=dict, max_length=1)
    user: str = "65532:65532"
    arguments: list[str] = Field(default_factory=list)
    build: dict[str, Any] = Field(default_factory=dict)


class _Program(_Keys):
    module: str = ""
    package: str
    url: str
    checksum: str
    member: str = ""
    modules: str = ""
    build: dict[str, Any] = Field(default_factory=dict)


class _Parameter(_Keys):
    type: ParameterType
    description: str
    default: Any = None
    choices: list[str] = Field(default_factory=list)
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    required: bool = False
    certificate: str = ""
    cautions: dict[str, str] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict)
    change: Effect | None = None

    @field_validator("change", mode="before")
    @classmethod
    def _read_change(cls, value: Any) -> Any:
        return read_effect(value) if isinstance(value, str) else value


class _Certificate(_Keys):
    secret: _Name
    common_name: str
    usage: Literal["server", "client", "both"]
    organizations: list[str] = Field(default_factory=list)
    dns_names: list[str] = Field(default_factory=list)
    authority: Literal["kubernetes", "etcd", "front-proxy"] = "kubernetes"


class _Security(_Keys):
    level: Level
    reason: str


class _Directory(_Keys):
    path: Annotated[str, Field(pattern=r"^/[a-zA-Z0-9._/-]+$")]
    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")] = "0755"
    owner: str = "root"
    data: bool = False


class _Login(_Keys):
    user: str
    password: str


class _Bearer(_Keys):
    service_account: _Name
    audience: Annotated[str, Field(pattern=r"^\S+$")]


class _Open(_Keys):
    service: _Name
    port: int = Field(ge=1, le=65535)
    path: Annotated[str, Field(pattern=r"^/\S*$")] = "/"
    scheme: Literal["http", "https"] = "http"
    login: _Login | None = None
    service_account: str = ""
    bearer: _Bearer | None = None
    callback: Annotated[str, Field(pattern=r"^(/\S*)?$")] = ""


class _Setting(_Keys):
    object: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*/[a-z0-9.:-]+$")]
    at: list[str] = Field(default_factory=list)
    container: str = ""
    env: str = ""
    argument: Annotated[str, Field(pattern=r"^(--[a-z0-9-]+)?$")] = ""
    value: str = ""
    parameter: str = ""


class _ManifestModule(_Keys):
    path: str
    kustomization: str


class _Manifest(_Keys):
    location: str
    module: _ManifestModule | None = None
    advice: str = ""
    settings: list[_Setting] = Field(default_factory=list)


class _CloudIds(_Keys):
    pattern: str
    example: str


class _File(_Keys):
    name: _Name
    summary: str
    namespace: _Name
    default: bool = False
    versions: dict[str, dict[str, str]] = Field(default_factory=dict)
    needs_kubernetes: dict[str, Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]] = Field(default_factory=dict)
    images: dict[_Name, _Image] = Field(default_factory=dict)
    programs: dict[_Name, _Program] = Field(default_factory=dict)
    parameters: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], _Parameter] = Field(default_factory=dict)
    certificates: list[_Certificate] = Field(default_factory=list)
    ready: list[Annotated[str, Field(pattern=r"^(deployment|daemonset|statefulset|apiservice)/[a-z0-9.-]+$")]] = Field(
        default_factory=list
    )
    needs: list[_Name] = Field(default_factory=list)
    pod_security: _Security | None = None
    host_directories: list[_Directory] = Field(default_factory=list)
    open: _Open | None = None
    manifest: _Manifest | None = None
    provider_id: _CloudIds | None = None
    reads_kubelets: dict[str, str] = Field(default_factory=dict)


def described(folder: Path, *, own: bool = False) -> Description:
    """The add-on in a folder; one without addon.yaml is plain manifests. Raises AddonError."""
    path = folder / FILE
    if not path.is_file():
        return Description(name=folder.name, folder=folder, summary="plain manifests", namespace="default")
    try:
        raw = load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, row['loc']))}: {row['msg'].lower()}" for row in error.errors()]
        raise AddonError(
            "the description of this add-on is not right",
            where=str(path),
            found="; ".join(found),
            needed="the keys that docs/addons.md names",
            todo="fix the keys named above",
        ) from None
    _check(file, folder, path)
    return _description(file, folder, own)


def _unreadable(path: Path, error: yaml.YAMLError | UnicodeDecodeError) -> AddonError:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
    return AddonError("this is not YAML", where=where, found=getattr(error, "problem", "") or "bytes that are no UTF-8")


def _check(file: _File, folder: Path, path: Path) -> None:
    """What only shows when keys are seen together. Raises AddonError."""
    if file.name != folder.name:
        raise AddonError("an add-on is called as its folder is", where=str(path), found=file.name, needed=folder.name)
    for name, image in file.images.items():
        if not image.reference and not image.program:
            raise AddonError(
                f"the image {name} can neither be pulled nor built",
                where=str(path),
                needed="`reference:`, or `program:` with `built:`",
            )
    given = [key for key in ("login", "service_account", "bearer") if file.open and getattr(file.open, key)]
    if len(given) > 1:
        raise AddonError(
            "a page asks for one thing",
            where=str(path),
            found=f"{' and '.join(given)} below open",
            needed="one of them",
        )
    parts = {**file.images, **file.programs}
    if parts and not file.versions:
        raise AddonError("images without versions", where=str(path), needed="`versions:` with a version of each image")
    for version, named in file.versions.items():
        if set(named) != set(parts):
            raise AddonError(
                f"version {version} does not name a version of each image and program",
                where=str(path),
                found=", ".join(named) or "none",
                needed=", ".join(parts) or "none",
            )
    for row in file.manifest.settings if file.manifest else ():
        if wrong := _why_no_setting(row, file.parameters):
            raise AddonError(f"a setting of {row.object} {wrong}", where=str(path), needed="see docs/addons.md")
    if unknown := sorted(file.needs_kubernetes.keys() - file.versions.keys()):
        raise AddonError("needs_kubernetes names a version there is not", where=str(path), found=", ".join(unknown))
    if file.provider_id and not _compiles(file.provider_id.pattern):
        raise AddonError("the pattern of provider_id is no regular expression", where=str(path))
    for name, parameter in file.parameters.items():
        if parameter.type == "choice" and not parameter.choices:
            raise AddonError(f"the parameter {name} is a choice without choices", where=str(path))
        if unknown := sorted(parameter.cautions.keys() - set(parameter.choices)):
            what = f"the parameter {name} has a caution for a choice that there is not"
            raise AddonError(what, where=str(path), found=", ".join(unknown))
        if parameter.refused and parameter.type != "list":
            raise AddonError(f"the parameter {name} refuses values and is no list", where=str(path))
        if parameter.certificate and parameter.certificate not in {row.secret for row in file.certificates}:
            raise AddonError(f"the certificate of parameter {name} is not below `certificates`", where=str(path))
        if not all(map(_compiles, (parameter.pattern, *parameter.refused))):
            raise AddonError(f"the pattern of parameter {name} is no regular expression", where=str(path))


def _why_no_setting(row: _Setting, parameters: Mapping[str, _Parameter]) -> str:
    if bool(row.value) == bool(row.parameter):
        return "has not one of `value` and `parameter`"
    if row.parameter and row.parameter not in parameters:
        return f"names a parameter that there is not: {row.parameter}"
    if bool(row.at) == bool(row.container) or bool(row.container) != (bool(row.env) != bool(row.argument)):
        return "has neither `at` nor `container` with one of `env` and `argument`"
    return ""


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _description(file: _File, folder: Path, own: bool) -> Description:
    images = {}
    for name, image in file.images.items():
        row = {**image.model_dump(exclude={"modules"}, exclude_defaults=True), "component": image.modules or name}
        row.setdefault("user", image.user)
        images[name] = image_entry(f"image-{file.name}-{name}" if name != file.name else f"image-{name}", row)
    return Description(
        name=file.name,
        folder=folder,
        summary=file.summary,
        namespace=file.namespace,
        default=file.default and own,
        versions=MappingProxyType({version: MappingProxyType(rows) for version, rows in file.versions.items()}),
        needs_kubernetes=MappingProxyType(
            {
                version: (int(minor.split(".")[0]), int(minor.split(".")[1]))
                for version, minor in file.needs_kubernetes.items()
            }
        ),
        images=MappingProxyType(images),
        programs=MappingProxyType({name: _component(name, program) for name, program in file.programs.items()}),
        parameters=MappingProxyType({name: _parameter(name, parameter) for name, parameter in file.parameters.items()}),
        certificates=tuple(
            CertificateRow(
                **{**row.model_dump(), "organizations": tuple(row.organizations), "dns_names": tuple(row.dns_names)}
            )
            for row in file.certificates
        ),
        ready=tuple(file.ready),
        needs=tuple(file.needs),
        level=file.pod_security.level if file.pod_security else "restricted",
        reason=file.pod_security.reason if file.pod_security else "",
        directories=tuple(
            HostDirectory(path=row.path, mode=int(row.mode, 8), owner=row.owner, data=row.data)
            for row in file.host_directories
        ),
        opening=_opening(file.open),
        manifest=file.manifest.location if file.manifest else "",
        advice=file.manifest.advice if file.manifest else "",
        manifest_module=(
            ManifestModule(**file.manifest.module.model_dump()) if file.manifest and file.manifest.module else None
        ),
        settings=tuple(
            Setting(**{**row.model_dump(), "at": tuple(row.at)})
            for row in (file.manifest.settings if file.manifest else ())
        ),
        reads_kubelets=MappingProxyType(file.reads_kubelets),
        cloud_ids=CloudIds(**file.provider_id.model_dump()) if file.provider_id else None,
        own=own,
    )


def _component(name: str, row: _Program) -> Component:
    """A program by itself is a component of one: it is had and built as those of the catalog are."""
    values = row.model_dump(exclude={"modules", "package"})
    return component_entry(row.modules or name, {**values, "programs": {name: row.package}})


def _opening(row: _Open | None) -> Opening | None:
    if row is None:
        return None
    login = row.login or _Login(user="", password="")
    return Opening(
        **row.model_dump(include={"service", "port", "path", "scheme", "callback"}),
        user=login.user,
        password=login.password,
        service_account=row.bearer.service_account if row.bearer else row.service_account,
        audience=row.bearer.audience if row.bearer else "",
    )


def _parameter(name: str, row: _Parameter) -> Parameter:
    return Parameter(name=name, **{**dict(row), "choices": tuple(row.choices)})


def shelf(user: Path | None) -> Mapping[str, Path]:
    """Name → folder of every add-on there is: kprov's own, and the user's, who may take the place of one of kprov's.

    user: the folder `addons` beside an inventory, or None.
    """
    found: dict[str, Path] = {}
    for root in (Path(str(files("kprov.addons"))), user):
        if root is not None and root.is_dir():
            found |= {path.name: path for path in sorted(root.iterdir()) if _is_addon(path)}
    return found


def is_own(folder: Path) -> bool:
    return folder.parent == Path(str(files("kprov.addons")))


def _is_addon(path: Path) -> bool:
    return path.is_dir() and re.fullmatch(_NAME, path.name) is not None
