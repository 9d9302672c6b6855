"""containerd with runc and its shim: programs, configuration, unit. CNI plugins are not its own.

A host has one that serves kubelet, or one that serves Docker; where each lives is a `Setup`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kprov.roles import handlers, registries
from kprov.roles.documents import arguments
from kprov.roles.layout import CNI_BIN, cni_conf, program
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.model import Host
from kprov.values.paths import BIN
from kprov.values.resources import CONTAINERD, Directory, File, Gate, Resource, Unit

CERTS = "/etc/containerd/certs.d"
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
    yield File(path=setup.config, content=_config(ctx, setup), mode=0o600)
    yield unit(ctx, setup)


def unit(ctx: Context, setup: Setup) -> Unit:
    flags = {} if setup == KUBELETS else {"config": setup.config}
    return Unit(
        name=setup.unit,
        content=render(
            ctx.cluster.templates_dir,
            "containerd/containerd.service.j2",
            bin=BIN,
            arguments=arguments(flags, ctx.host.extra_args.get("containerd", {})),
        ),
        # A new shim or runc is taken by the next container: only containerd itself is started anew for its own file.
        reads=frozenset({f"{BIN}/containerd", setup.config}),
        reloads=frozenset({f"{BIN}/containerd-shim-runc-v2", f"{BIN}/runc"}),
        gates=(Gate(kind="command", argument=f"{BIN}/ctr --address {setup.socket} --timeout 5s version"),),
    )


def _config(ctx: Context, setup: Setup) -> bytes:
    return render(
        ctx.cluster.templates_dir,
        "containerd/config.toml.j2",
        setup=setup,
        sandbox_image=ctx.artifact("image-pause").reference,
        handlers=handlers.of_containerd(ctx.host),
        cni_bin=CNI_BIN,
        cni_conf=cni_conf(ctx.cluster.network),
        runtime=_toml_values({**_restriction(ctx.host), **ctx.host.containerd}),
        metrics_port=components.CONTAINERD.port("metrics")
        if setup == KUBELETS and ctx.cluster.addon("monitoring")
        else None,
    )


def _restriction(host: Host) -> dict[str, Any]:
    return {"restrict_oom_score_adj": True} if host.restrict_oom_score_adj else {}


def _toml_values(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of the runtime table as TOML: JSON's strings, numbers, booleans and lists are TOML's too."""
    return {name: json.dumps(settings[name]) for name in sorted(settings)}
