"""containerd with runc and the CNI plugins: what runs containers on a node. The network's configuration is not here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kprov.context import Context
from kprov.resources import Artifact, Binary, Directory, File, Gate, Image, Resource, Unit
from kprov.roles.documents import arguments
from kprov.roles.layout import BIN, CONTAINERD_SOCKET, program
from kprov.templating import render

CONFIG = "/etc/containerd/config.toml"
CNI_BIN = "/opt/cni/bin"
CNI_CONF = "/etc/cni/net.d"
_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc")
_PLUGINS = ("bridge", "loopback", "host-local", "portmap")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    pause = ctx.artifact("image-pause")
    programs = [program(ctx, name) for name in _PROGRAMS]
    yield from programs
    yield program(ctx, "ctr")
    for plugin in _PLUGINS:
        yield Binary(path=f"{CNI_BIN}/{plugin}", artifact=ctx.artifact(f"cni-{plugin}"))
    yield Directory(path="/etc/containerd/certs.d")
    yield Directory(path=CNI_CONF)
    yield Directory(path="/var/lib/containerd", mode=0o700, purge=True)
    yield Directory(path="/var/lib/cni", mode=0o700, purge=True)
    yield File(path=CONFIG, content=_config(ctx, pause.reference), mode=0o600)
    yield Unit(
        name="containerd.service",
        content=render(
            ctx.cluster.templates_dir,
            "container_runtime/containerd.service.j2",
            bin=BIN,
            arguments=arguments({}, ctx.host.extra_args.get("containerd", {})),
        ),
        # A new shim or runc is taken by the next container: only containerd itself is started anew for its own file.
        reads=frozenset({f"{BIN}/containerd", CONFIG}),
        reloads=frozenset({f"{BIN}/containerd-shim-runc-v2", f"{BIN}/runc"}),
        gates=(Gate(kind="command", argument=f"{BIN}/ctr --address {CONTAINERD_SOCKET} --timeout 5s version"),),
    )
    for image in (pause, ctx.artifact("image-coredns"), *_addon_images(ctx)):
        yield Image(reference=image.reference, artifact=image)


def _addon_images(ctx: Context) -> Iterable[Artifact]:
    """Those that kprov has as files: the others are pulled by the runtime itself."""
    names = dict.fromkeys(image.entry.name for addon in ctx.cluster.addons for image in addon.images)
    return [ctx.artifacts[(name, ctx.own.arch)] for name in names if (name, ctx.own.arch) in ctx.artifacts]


def _config(ctx: Context, sandbox_image: str) -> bytes:
    return render(
        ctx.cluster.templates_dir,
        "container_runtime/config.toml.j2",
        sandbox_image=sandbox_image,
        runc=f"{BIN}/runc",
        cni_bin=CNI_BIN,
        cni_conf=CNI_CONF,
        runtime=_toml_values(ctx.host.containerd),
    )


def _toml_values(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of the runtime table as TOML: JSON's strings, numbers, booleans and lists are TOML's too."""
    return {name: json.dumps(settings[name]) for name in sorted(settings)}
