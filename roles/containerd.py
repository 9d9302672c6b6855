"""containerd with runc and its shim: programs, configuration, unit. CNI plugins are not its own.

A host has one that serves kubelet, or one that serves Docker; where each lives is a `Setup`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from kprov.roles import handlers, registries
from kprov.roles.documents import arguments, laid_over, parsing
from kprov.roles.layout import CNI_BIN, cni_conf, program
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.containerd_settings import RUNTIME_TABLE, path_of
from kprov.values.context import Context
from kprov.values.model import Host
from kprov.values.paths import BIN
from kprov.values.resources import CONTAINERD, FILE, Directory, File, Gate, Resource, Unit

CERTS = "/etc/containerd/certs.d"
IMPORTS = "/etc/containerd/conf.d/*.toml"  # of others, such as GPU operators: theirs alone
_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where one containerd lives: its unit, configuration file, data, state below /run, and socket."""

    unit: str
    config: str
    root: str
    state: str
    socket: str


KUBELETS = Setup(
    unit=components.CONTAINERD.unit,
    config="/etc/containerd/config.toml",
    root="/var/lib/containerd",
    state="/run/containerd",
    socket=CONTAINERD,
)


def resources(ctx: Context) -> Iterable[Resource]:
    yield from programs(ctx)
    yield Directory(path=CERTS)
    yield from registries.containerd_hosts(ctx.cluster.registry, CERTS)
    yield from kubelets(ctx, KUBELETS)


def programs(ctx: Context) -> Iterable[Resource]:
    for name in (*_PROGRAMS, "ctr"):
        yield program(ctx, name)


def kubelets(ctx: Context, setup: Setup) -> Iterable[Resource]:
    """Data, configuration and unit of one with the CRI."""
    yield Directory(path=setup.root, mode=0o700, purge=True)
    yield config_file(setup, _config(ctx, setup))
    yield unit(ctx, setup)


def config_file(setup: Setup, document: Mapping[str, Any]) -> File:
    """Its configuration; containerd itself is asked what it thinks of the file, with all that it imports."""
    content = ("# Written by kprov.\n" + tomli_w.dumps(document)).encode()
    check = (f"{BIN}/containerd", "--config", FILE, "config", "dump")
    return File(path=setup.config, content=content, mode=0o600, check=check)


def unit(ctx: Context, setup: Setup) -> Unit:
    flags = {} if setup == KUBELETS else {"config": setup.config}
    words = arguments(flags, ctx.host.extra_args.get("containerd", {}))
    return Unit(
        name=setup.unit,
        content=render(
            ctx.cluster.templates_dir,
            "containerd/containerd.service.j2",
            bin=BIN,
            arguments=words,
        ),
        # A new shim or runc is taken by the next container: only containerd itself is started again for its own file.
        reads=frozenset({f"{BIN}/containerd", setup.config}),
        reloads=frozenset({f"{BIN}/containerd-shim-runc-v2", f"{BIN}/runc"}),
        check=parsing(f"{BIN}/containerd", words),
        gates=(_gate(setup),),
    )


def _gate(setup: Setup) -> Gate:
    """Kubelet's containerd has to serve CRI; Docker's has that plugin off."""
    if setup == KUBELETS:
        return Gate(kind="cri", argument=setup.socket)
    return Gate(kind="command", argument=f"{BIN}/ctr --address {setup.socket} --timeout 5s version")


def base(setup: Setup) -> dict[str, Any]:
    """Where one containerd lives, in its own words. Version 3 is what 2.x reads; 2.3 and later still take it."""
    return {
        "version": 3,
        "root": setup.root,
        "state": setup.state,
        "grpc": {"address": setup.socket},
        # containerd would make /opt/containerd, outside of everything that is kprov's.
        "plugins": {"io.containerd.internal.v1.opt": {"path": f"{setup.root}/opt"}},
    }


def _config(ctx: Context, setup: Setup) -> dict[str, Any]:
    own: dict[str, Any] = {**base(setup), "imports": [IMPORTS]}
    if setup == KUBELETS and ctx.cluster.addon("monitoring"):
        own["metrics"] = {"address": f"127.0.0.1:{components.CONTAINERD.port('metrics')}"}
    own["plugins"] |= {
        "io.containerd.cri.v1.images": {
            "pinned_images": {"sandbox": ctx.artifact("image-pause").reference},
            "registry": {"config_path": CERTS},
        },
        RUNTIME_TABLE: {
            **_restriction(ctx.host),
            "containerd": {"default_runtime_name": "runc", "runtimes": handlers.of_containerd(ctx.host)},
            "cni": {"bin_dirs": [CNI_BIN], "conf_dir": cni_conf(ctx.cluster.network)},
        },
    }
    return laid_over(own, settings(ctx.host.containerd))


def _restriction(host: Host) -> dict[str, Any]:
    return {"restrict_oom_score_adj": True} if host.restrict_oom_score_adj else {}


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """An inventory's settings where they stand in containerd's file; kprov's own import stays beside others."""
    laid: dict[str, Any] = {}
    for name, value in given.items():
        nested: Any = value
        for step in reversed(path_of(name)):
            nested = {step: nested}
        laid = laid_over(laid, nested)
    if "imports" in laid:
        laid["imports"] = list(dict.fromkeys([IMPORTS, *laid["imports"]]))
    return laid
