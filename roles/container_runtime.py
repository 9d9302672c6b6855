"""What runs containers on a node: the runtime that the inventory names, the CNI plugins it calls, and its first images.

Each runtime has a role of its own; what its containers are connected to is the network's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kprov.roles import containerd, crio, docker, node_images
from kprov.roles.documents import dump
from kprov.roles.layout import CNI_BIN, cni_conf
from kprov.values.context import Context
from kprov.values.resources import Binary, Directory, File, Image, Resource
from kprov.values.runtimes import RUNTIMES

ROLES: dict[str, Callable[[Context], Iterable[Resource]]] = {
    "containerd": containerd.resources,
    "crio": crio.resources,
    "docker": docker.resources,
}

_PLUGINS = ("bridge", "loopback", "host-local", "portmap")


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
    for image in node_images.of(ctx):
        yield Image(reference=image.reference, artifact=image, store=store)


def _crictl(ctx: Context) -> File:
    """What people's crictl talks to without being told, whoever brought it; its own two seconds are short for a busy node."""
    socket = f"unix://{RUNTIMES[ctx.host.runtime].cri}"
    config = {"runtime-endpoint": socket, "image-endpoint": socket, "timeout": 10}
    return File(path="/etc/crictl.yaml", content=dump(config))
