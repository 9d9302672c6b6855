"""The text forms of what an inventory says of runtimes, OCI handlers and registries, as `fields` has them for the rest."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from kprov.inventory.fields import address, dns_label, refuse
from kprov.values.runtimes import RUNTIMES
from kprov.values.spelling import did_you_mean

_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*\Z")


def runtime(value: str) -> str:
    if value in RUNTIMES:
        return value
    raise refuse(
        "a container runtime that kprov does not know", f"one of {', '.join(RUNTIMES)}", did_you_mean(value, RUNTIMES)
    )


def handler_name(value: str) -> str:
    if value == "runc":
        raise refuse("runc is what every pod without a RuntimeClass runs in", "another name")
    return dns_label(value)


def handler_path(value: str) -> str:
    if re.fullmatch(r"(/[A-Za-z0-9._+-]+)+", value) and "/../" not in f"{value}/":
        return value
    raise refuse("not the path of a program on the host", "an absolute path without blanks")


def handler_type(value: str) -> str:
    if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", value):
        return value
    raise refuse("not a runtime type", "containerd's name of a shim, such as io.containerd.kata.v2")


def registry_host(value: str) -> str:
    """HOST[:PORT], as it begins a reference of an image."""
    _no_scheme(value, "HOST or HOST:PORT")
    host, colon, port = value.partition(":")
    if "/" in value or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise refuse("not a registry", "HOST or HOST:PORT, such as docker.io")
    address(host)
    return value


def registry_mirror(value: str) -> str:
    """HOST[:PORT][/PATH]."""
    _no_scheme(value, "HOST[:PORT][/PATH]")
    host, slash, path = value.partition("/")
    registry_host(host)
    if slash and not _REPOSITORY.match(path):
        raise refuse(
            "not a path in a registry", "words of lower case letters, digits, '.', '_' and '-', separated by '/'"
        )
    return value


def _no_scheme(value: str, form: str) -> None:
    if "://" in value:
        rest = value.partition("://")[2]
        raise refuse("a URL where the name of a registry is needed", form, f"write '{rest}': registries speak HTTPS")


def registry_user(value: str) -> str:
    if value and ":" not in value:
        return value
    raise refuse("not a registry's user name", "a name without ':'")


RuntimeName = Annotated[str, AfterValidator(runtime), WithJsonSchema({"type": "string", "enum": list(RUNTIMES)})]
HandlerName = Annotated[str, AfterValidator(handler_name)]
HandlerPath = Annotated[str, AfterValidator(handler_path)]
HandlerType = Annotated[str, AfterValidator(handler_type)]
RegistryHost = Annotated[str, AfterValidator(registry_host)]
RegistryMirror = Annotated[str, AfterValidator(registry_mirror)]
RegistryUser = Annotated[str, AfterValidator(registry_user)]
