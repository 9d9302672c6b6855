"""The keys of OCI handlers and registries, as `schema` has those of everything else. Shape only."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kprov.inventory.fields import PathText
from kprov.inventory.keys import Keys, Reference
from kprov.inventory.runtime_fields import HandlerPath, HandlerType, RegistryHost, RegistryMirror, RegistryUser
from kprov.values.effect import restarts
from kprov.values.model import RUNC_SHIM


class HandlerKeys(Keys):
    """An OCI runtime besides runc."""

    path: HandlerPath = Field(
        description="Where it is on the host: a program that is called as runc is, or with another `type` the shim.",
        json_schema_extra=restarts("containerd", note="containers go on; another runtime restarts likewise"),
    )
    type: HandlerType = Field(
        default=RUNC_SHIM,
        description="The shim that calls it, in containerd's words, such as `io.containerd.kata.v2`.",
        json_schema_extra=restarts("containerd", note="containers go on; another runtime restarts likewise"),
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the shim, laid over kprov's own; CRI-O has none.",
        json_schema_extra=restarts("containerd", note="containers go on; another runtime restarts likewise"),
    )


class RegistryAccessKeys(Keys):
    """Where the images of a registry are asked for, and how."""

    mirror: RegistryMirror | None = Field(
        default=None,
        description="`HOST[:PORT][/PATH]` that is asked over HTTPS in the place of the registry's host: "
        "`registry.k8s.io/pause` becomes `HOST/PATH/pause`.",
        json_schema_extra=restarts("crio", "dockerd", note="containerd reads it at each pull; containers go on"),
    )
    ca: PathText | None = Field(
        default=None,
        description="PEM file with the certificates of its CA, relative to the inventory's folder; default: "
        "those that the hosts trust.",
        json_schema_extra=restarts("crio", "dockerd", note="containerd reads it at each pull; containers go on"),
    )
    username: RegistryUser | None = Field(
        default=None,
        description="User name that runtimes log in with.",
        json_schema_extra=restarts("crio", "dockerd", note="containerd reads it at each pull; containers go on"),
    )
    password: Reference | None = Field(
        default=None,
        description="Password to it, as a reference: `{env: NAME}` or `{file: PATH}`.",
        json_schema_extra=restarts("crio", "dockerd", note="containerd reads it at each pull; containers go on"),
    )


class RegistryKeys(RegistryAccessKeys):
    """Where images come from: one mirror for all registries, and what differs for some."""

    registries: dict[RegistryHost, RegistryAccessKeys] = Field(
        default_factory=dict,
        description="The same by the registry's name (`docker.io`, `ghcr.io`, `HOST:PORT`). One without `mirror` is "
        "asked itself.",
    )
