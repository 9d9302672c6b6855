"""What `kprov open` leads to: which add-on, its Service as the API shows it, and the token it asks for. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kprov.values.addon import Addon, Opening
from kprov.values.errors import AddonError
from kprov.values.spelling import did_you_mean

ALIASES: Mapping[str, str] = {"ui": "headlamp", "metrics": "monitoring", "logs": "logging"}
TOKEN_SECONDS = 3600
_SHOWN = 4  # pods that a message names

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the page is. address and port: of the Service, as the nodes know it; name: what its certificate says."""

    address: str
    port: int
    name: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Token:
    """A service account's token, good until `expires` (as the API wrote it)."""

    text: str
    expires: str

    def __repr__(self) -> str:
        return "Token(***)"


def chosen(name: str, on: Sequence[Addon], known: Iterable[str]) -> tuple[Addon, Opening]:
    """The add-on that a word means, and how it is opened.

    on: the add-ons of the cluster; known: the names of all there are. A word that is an add-on's own name means that
    one, even when it is an alias too. Raises AddonError.
    """
    by_name = {addon.name: addon for addon in on}
    names = frozenset(known) | frozenset(by_name)
    meant = name if name in names else ALIASES.get(name, name)
    if meant not in names:
        words = sorted({*names, *ALIASES})
        raise AddonError(
            "there is no such add-on", found=name, needed=f"one of {', '.join(words)}",
            todo=did_you_mean(name, words) or "`kprov addons list INVENTORY` shows what there is",
        )  # fmt: skip
    if meant not in by_name:
        raise AddonError(
            f"the add-on {meant} is off",
            needed="an add-on that is on",
            todo=f"add `{meant}: true` below addons in the inventory, then run `kprov up`",
        )
    opening = by_name[meant].description.opening
    if opening is None:
        pages = [addon.name for addon in on if addon.description.opening is not None]
        raise AddonError(
            f"the add-on {meant} has no page", found="no `open:` in its addon.yaml",
            needed=f"one of {', '.join(pages)}" if pages else "an add-on with a page; none that is on has one",
        )  # fmt: skip
    return by_name[meant], opening


def service_path(addon: Addon, opening: Opening) -> str:
    return f"/api/v1/namespaces/{addon.namespace}/services/{opening.service}"


def slices_path(addon: Addon, opening: Opening) -> str:
    selector = f"kubernetes.io%2Fservice-name%3D{opening.service}"
    return f"/apis/discovery.k8s.io/v1/namespaces/{addon.namespace}/endpointslices?labelSelector={selector}"


def pods_path(addon: Addon) -> str:
    return f"/api/v1/namespaces/{addon.namespace}/pods"


def token_path(addon: Addon, opening: Opening) -> str:
    return f"/api/v1/namespaces/{addon.namespace}/serviceaccounts/{opening.service_account}/token"


def token_request(opening: Opening) -> Object:
    """The body of a request for a token, for the page alone or else for the API server."""
    spec: dict[str, Any] = {"expirationSeconds": TOKEN_SECONDS}
    if opening.audience:
        spec["audiences"] = [opening.audience]
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def target(addon: Addon, opening: Opening, service: Object | None) -> Target:
    """service: None when there is none. Raises AddonError."""
    where = f"Service {addon.namespace}/{opening.service}"
    if service is None:
        raise AddonError(
            f"the add-on {addon.name} has no Service", where=where, found="none of that name",
            todo="run `kprov up`; `kprov status` tells what the add-on lacks",
        )  # fmt: skip
    spec = service.get("spec") or {}
    address = str(spec.get("clusterIP") or "")
    if address in ("", "None"):
        raise AddonError(
            "this Service has no address of its own", where=where, found=f"clusterIP: {address or 'none'}",
            needed="a Service with a ClusterIP", todo="name another Service below `open:` in addon.yaml",
        )  # fmt: skip
    ports = [int(row["port"]) for row in spec.get("ports") or ()]
    if opening.port not in ports:
        raise AddonError(
            "this Service has no such port", where=where, found=", ".join(map(str, ports)) or "no port",
            needed=str(opening.port), todo="correct `open:` in addon.yaml",
        )  # fmt: skip
    return Target(address=address, port=opening.port, name=f"{opening.service}.{addon.namespace}.svc")


def has_endpoints(slices: Object) -> bool:
    """Whether a pod stands behind a Service and is ready. slices: the API's list of its EndpointSlices."""
    return any(
        (endpoint.get("conditions") or {}).get("ready", True) is not False
        for item in slices.get("items") or ()
        for endpoint in item.get("endpoints") or ()
    )


def no_endpoints(addon: Addon, opening: Opening, service: Object, pods: Object) -> AddonError:
    """The error for a Service behind which no pod is ready. pods: the API's list of those in its namespace."""
    selector = (service.get("spec") or {}).get("selector") or {}
    said = []
    for pod in pods.get("items") or ():
        labels = pod["metadata"].get("labels") or {}
        if all(labels.get(key) == value for key, value in selector.items()):
            place = (pod.get("spec") or {}).get("nodeName")
            said.append(f"{pod['metadata']['name']}{f' on {place}' if place else ''}: {_state(pod)}")
    return AddonError(
        f"no pod of the add-on {addon.name} is ready to answer",
        where=f"Service {addon.namespace}/{opening.service}",
        found="; ".join(said[:_SHOWN]) or "no pod that it selects",
        needed="one that is ready",
        todo="wait until it is, or fix what is named here; `kprov status` tells when it is ready",
    )


def _state(pod: Object) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return " ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and condition.get("message"):
            return str(condition["message"])
    return str(status.get("phase", "unknown"))


def token(answer: Object) -> Token:
    """What the API server answered to `token_request`."""
    status = answer["status"]
    return Token(text=str(status["token"]), expires=str(status["expirationTimestamp"]))
