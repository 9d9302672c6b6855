"""OCI runtimes besides runc that pods may ask for by a RuntimeClass, in the words of each container runtime. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.roles.templating import render
from kprov.values.context import Context
from kprov.values.model import RUNC_SHIM, Cluster, Handler, Host
from kprov.values.paths import BIN
from kprov.values.resources import File
from kprov.values.runtimes import RESTRICTED

LABEL = "handler.kprov.io"  # nodes that have a handler are labelled LABEL/NAME where others have not
RUNC = Handler(path=f"{BIN}/runc")
RESTRICTED_RUNC = "restricted-runc"  # Docker's name for it: runc's own cannot be given to another program

Object = dict[str, Any]


def of_containerd(host: Host) -> dict[str, Object]:
    """containerd's table of runtimes, by handler."""
    return {
        name: {
            "runtime_type": handler.type,
            **({} if handler.type == RUNC_SHIM else {"runtime_path": handler.path}),
            **({"options": options} if (options := _options(handler)) else {}),
        }
        for name, handler in _all(host).items()
    }


def _options(handler: Handler) -> Object:
    own = {"BinaryName": handler.path, "SystemdCgroup": True} if handler.type == RUNC_SHIM else {}
    return {**own, **handler.options}


def of_crio(host: Host) -> list[Mapping[str, str]]:
    """name, path and kind: `oci` for a program like runc, `vm` for a shim of containerd's kind."""
    return [
        {"name": name, "path": _called(host, name, handler), "kind": "oci" if handler.type == RUNC_SHIM else "vm"}
        for name, handler in _all(host).items()
    ]


def of_docker(host: Host) -> dict[str, Object]:
    """daemon.json's `runtimes`; runc is there by itself, and may not be named."""
    found: dict[str, Object] = {}
    for name, handler in host.handlers.items():
        if handler.type == RUNC_SHIM:
            found[name] = {"path": _called(host, name, handler)}
        else:
            found[name] = {"runtimeType": handler.path, "options": dict(handler.options)}
    if host.restrict_oom_score_adj:
        found[RESTRICTED_RUNC] = {"path": _called(host, "runc", RUNC)}
    return found


def restricted(ctx: Context) -> Iterable[File]:
    """For runtimes that cannot keep pods from lowering their OOM score: what is called in the place of each program."""
    if not ctx.host.restrict_oom_score_adj:
        return
    for name, handler in _all(ctx.host).items():
        if handler.type == RUNC_SHIM:
            content = render(ctx.cluster.templates_dir, "handlers/restricted.sh.j2", program=handler.path)
            yield File(path=_called(ctx.host, name, handler), content=content, mode=0o755)


def _called(host: Host, name: str, handler: Handler) -> str:
    """The program that is called for a handler."""
    return f"{RESTRICTED}{name}" if host.restrict_oom_score_adj and handler.type == RUNC_SHIM else handler.path


def _all(host: Host) -> Mapping[str, Handler]:
    return {"runc": RUNC, **host.handlers}


def labels(cluster: Cluster, host: Host) -> dict[str, str]:
    """What a node is labelled with for the handlers it has and others have not."""
    return {f"{LABEL}/{name}": "true" for name in host.handlers if not _everywhere(cluster, name)}


def classes(cluster: Cluster) -> list[Object]:
    """A RuntimeClass for each handler that a node has; where only some have it, pods are led to those."""
    names = dict.fromkeys(name for host in cluster.nodes for name in host.handlers)
    return [_class(cluster, name) for name in names]


def _class(cluster: Cluster, name: str) -> Object:
    item: Object = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": name,
    }
    if not _everywhere(cluster, name):
        item["scheduling"] = {"nodeSelector": {f"{LABEL}/{name}": "true"}}
    return item


def _everywhere(cluster: Cluster, name: str) -> bool:
    return all(name in host.handlers for host in cluster.nodes)
