"""How an add-on is reached from outside its cluster: a parameter of type `exposure`, checked and filled in. Pure.

What comes of it is made by `addons/_macros/exposure.j2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kprov.values.addon import Addon, Parameter
from kprov.values.spelling import did_you_mean

_TYPES = ("Ingress", "LoadBalancer", "NodePort")
_KEYS = ("type", "host", "class", "tls_secret", "annotations", "node_port")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_OBJECT = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_CLASS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?")
_ANNOTATION = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PORTS = range(30000, 32768)
# Which key has a meaning with which types.
_ONLY = {"class": ("Ingress", "LoadBalancer"), "tls_secret": ("Ingress",), "node_port": ("NodePort",)}


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One mistake. at: keys below the parameter."""

    at: tuple[str, ...]
    what: str
    needed: str = ""
    todo: str = ""


def why_not_exposed(parameter: Parameter, value: Any) -> Iterator[Wrong]:
    """Everything that is wrong with a value; nothing for one that will do."""
    if not isinstance(value, Mapping):
        yield Wrong(at=(), what="the wrong kind of value", needed="a mapping with `type` and `host`")
        return
    for key in value:
        if key not in _KEYS:
            needed, todo = f"one of {', '.join(_KEYS)}", did_you_mean(str(key), _KEYS)
            yield Wrong(at=(str(key),), what="there is no such key", needed=needed, todo=todo)
    yield from _of_type(parameter, value)
    for key, form, needed in (
        ("host", _HOST, "a DNS name in lower case with a dot in it, such as metrics.example.org"),
        ("class", _CLASS, "the name of an IngressClass, or of a load balancer's class"),
        ("tls_secret", _OBJECT, "the name of a Secret of type kubernetes.io/tls in the add-on's namespace"),
    ):
        if key in value and not (isinstance(value[key], str) and form.fullmatch(value[key])):
            yield Wrong(at=(key,), what="not of the right form", needed=needed)
    if "host" not in value:
        yield Wrong(
            at=(), what="host is missing", needed="the DNS name that it is reached by: its certificate names it"
        )
    if "node_port" in value and (isinstance(value["node_port"], bool) or value["node_port"] not in _PORTS):
        yield Wrong(at=("node_port",), what="not a node port", needed=f"{_PORTS[0]} to {_PORTS[-1]}")
    yield from _of_annotations(value.get("annotations", {}))


def filled(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A value that will do, with every key there is, for templates."""
    blank: dict[str, Any] = {"class": "", "tls_secret": "", "annotations": {}, "node_port": None}
    return MappingProxyType({**blank, **value})


def outside_names(addon: Addon, secret: str) -> tuple[str, ...]:
    """The DNS names by which what serves that certificate is reached from outside; mostly none."""
    rows = (
        row for row in addon.description.parameters.values() if row.type == "exposure" and row.certificate == secret
    )
    return tuple(str(value["host"]) for row in rows if (value := addon.parameters.get(row.name)))


def _of_type(parameter: Parameter, value: Mapping[str, Any]) -> Iterator[Wrong]:
    kind = value.get("type")
    if kind not in _TYPES:
        at, what = (("type",), "not one of the accepted words") if "type" in value else ((), "type is missing")
        yield Wrong(at=at, what=what, needed=f"one of {', '.join(_TYPES)}")
        return
    if not parameter.certificate and kind != "Ingress":
        # What is typed into its page, tokens too, would cross the network in plain text.
        yield Wrong(
            at=("type",),
            what="this add-on speaks plain HTTP",
            needed="type Ingress with `tls_secret`: the controller ends TLS before it",
        )
    elif not parameter.certificate and "tls_secret" not in value:
        needed = "`tls_secret`: a certificate for the host, as this add-on has none of its own"
        yield Wrong(at=(), what="tls_secret is missing", needed=needed)
    for key, kinds in _ONLY.items():
        if key in value and kind not in kinds:
            yield Wrong(at=(key,), what=f"it has no meaning with type {kind}", needed=f"type {' or '.join(kinds)}")


def _of_annotations(value: Any) -> Iterator[Wrong]:
    if not isinstance(value, Mapping):
        yield Wrong(at=("annotations",), what="the wrong kind of value", needed="a mapping (`key: value` lines)")
        return
    for key, text in value.items():
        if not isinstance(key, str) or not _ANNOTATION.fullmatch(key):
            yield Wrong(
                at=("annotations",), what="not the key of an annotation", needed="text such as example.org/name"
            )
        elif not isinstance(text, str):
            todo = "put it into quotes"
            yield Wrong(at=("annotations", key), what="the wrong kind of value", needed="text", todo=todo)
