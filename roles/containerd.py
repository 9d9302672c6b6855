"""containerd with runc and its shim as kubelet's runtime: programs, configuration, unit. CNI plugins are not its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kprov.context import Context
from kprov.resources import CONTAINERD, Directory, File, Gate, Resource, Unit
from kprov.roles.documents import arguments
from kprov.roles.layout import BIN, CNI_BIN, CNI_CONF, program
from kprov.templating import render

CONFIG = "/etc/containerd/config.toml"
_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc")


def resources(ctx: Context) -> Iterable[Resource]:
    for name in _PROGRAMS:
        yield program(ctx, name)
    yield program(ctx, "ctr")
    yield Directory(path="/etc/containerd/certs.d")
    yield Directory(path="/var/lib/containerd", mode=0o700, purge=True)
    yield File(path=CONFIG, content=_config(ctx), mode=0o600)
    yield Unit(
        name="containerd.service",
        content=render(
            ctx.cluster.templates_dir,
            "containerd/containerd.service.j2",
            bin=BIN,
            arguments=arguments({}, ctx.host.extra_args.get("containerd", {})),
        ),
        # A new shim or runc is taken by the next container: only containerd itself is started anew for its own file.
        reads=frozenset({f"{BIN}/containerd", CONFIG}),
        reloads=frozenset({f"{BIN}/containerd-shim-runc-v2", f"{BIN}/runc"}),
        gates=(Gate(kind="command", argument=f"{BIN}/ctr --address {CONTAINERD} --timeout 5s version"),),
    )


def _config(ctx: Context) -> bytes:
    return render(
        ctx.cluster.templates_dir,
        "containerd/config.toml.j2",
        sandbox_image=ctx.artifact("image-pause").reference,
        runc=f"{BIN}/runc",
        cni_bin=CNI_BIN,
        cni_conf=CNI_CONF,
        runtime=_toml_values(ctx.host.containerd),
    )


def _toml_values(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of the runtime table as TOML: JSON's strings, numbers, booleans and lists are TOML's too."""
    return {name: json.dumps(settings[name]) for name in sorted(settings)}
