"""What runs containers on a node: the runtime that the inventory names, the CNI plugins it calls, and its first images.

Each runtime has a role of its own; what its containers are connected to is the network's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kprov.roles import containerd, crio, docker
from kprov.roles.documents import dump
from kprov.roles.layout import CNI_BIN, cni_conf
from kprov.values.context import Context
from kprov.values.resources import Artifact, Binary, Directory, File, Image, Resource
from kprov.values.runtimes import RUNTIMES

ROLES: dict[str, Callable[[Context], Iterable[Resource]]] = {
    "containerd": containerd.resources,
    "crio": crio.resources,
    "docker": docker.resources,
}

_PLUGINS = ("bridge", "loopback", "host-local", "portmap")
_IMAGES = ("image-pause", "image-coredns")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    for plugin in _PLUGINS:
        yield Binary(path=f"{CNI_BIN}/{plugin}", artifact=ctx.artifact(f"cni-{plugin}"))
    yield Directory(path=cni_conf(ctx.cluster.network))
    yield Directory(path="/var/lib/cni", mode=0o700, purge=True)
    yield _crictl(ctx)
    yield from ROLES[ctx.host.runtime](ctx)
    store = RUNTIMES[ctx.host.runtime].store
    images = (*map(ctx.artifact, _IMAGES), *_addon_images(ctx))
    # Two add-ons may run the same image; what only has the same name is a mistake, and told as one.
    for image in {(image.reference, image.sha256): image for image in images}.values():
        yield Image(reference=image.reference, artifact=image, store=store)


def _crictl(ctx: Context) -> File:
    """What people's crictl talks to without being told, whoever brought it; its own two seconds are short for a busy node."""
    socket = f"unix://{RUNTIMES[ctx.host.runtime].cri}"
    config = {"runtime-endpoint": socket, "image-endpoint": socket, "timeout": 10}
    return File(path="/etc/crictl.yaml", content=dump(config))


def _addon_images(ctx: Context) -> Iterable[Artifact]:
    """Those that kprov has as files: the others are pulled by the runtime itself."""
    names = dict.fromkeys(image.entry.name for addon in ctx.cluster.addons for image in addon.images)
    return [ctx.artifacts[(name, ctx.own.arch)] for name in names if (name, ctx.own.arch) in ctx.artifacts]
