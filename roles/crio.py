"""CRI-O with runc, and the distribution's conmon, as kubelet's runtime: programs, configuration, unit.

Its images and configuration are apart from what podman keeps. Mirrors and CAs of registries are where podman looks
for them too: CRI-O looks nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from kprov.roles import handlers, node_images, registries
from kprov.roles.documents import arguments, parsing
from kprov.roles.layout import CNI_BIN, cni_conf, program
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.image_reference import place
from kprov.values.model import RegistrySettings
from kprov.values.paths import BIN
from kprov.values.resources import FILE, Directory, File, Gate, Package, Resource, Unit
from kprov.values.runtimes import RUNTIMES

CONFIG = "/etc/crio/crio.conf"
REGISTRIES = "/etc/containers/registries.conf.d/10-kprov.conf"
_PROGRAMS = ("crio", "pinns", "runc")
_UNIT = components.CRIO.unit
# Registries that a mirror for all takes the place of: CRI-O wants each by its name.
KNOWN = (
    *("docker.io", "gcr.io", "ghcr.io", "mcr.microsoft.com", "nvcr.io", "public.ecr.aws", "quay.io"),
    *("registry.access.redhat.com", "registry.gitlab.com", "registry.k8s.io"),
)
# What CRI-O and skopeo make for themselves, made kprov's so that it goes again: path, mode, whether with its content.
_MADE = (
    *(("/etc/crio/auth", 0o700, True), ("/etc/crio/policies", 0o755, True), ("/var/log/crio", 0o755, True)),
    *(("/var/lib/containers", 0o755, False), ("/var/lib/containers/cache", 0o755, True)),
    *(("/usr/share/containers", 0o755, False), ("/usr/share/containers/oci", 0o755, False)),
    ("/usr/share/containers/oci/hooks.d", 0o755, False),  # hooks are other programs'
)
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}  # as with the other runtimes: digests are what is trusted


def resources(ctx: Context) -> Iterable[Resource]:
    for name in (*_PROGRAMS, "crictl"):
        yield program(ctx, name)
    yield Package(name="skopeo", command="skopeo")  # it puts images into CRI-O's store, which has no import of its own
    yield Package(name="conmon", command="conmon")  # which holds a container's terminal and outlives CRI-O
    yield Directory(path="/var/lib/crio", mode=0o700, purge=True)
    yield from (Directory(path=path, mode=mode, purge=purge) for path, mode, purge in _MADE)
    files = list(_files(ctx))
    yield from files
    wrappers = list(handlers.restricted(ctx))
    yield from wrappers
    yield from registries.authorities(ctx.cluster.registry, "/etc/containers/certs.d")
    words = arguments({"config": CONFIG}, ctx.host.extra_args.get("crio", {}))
    yield Unit(
        name=_UNIT,
        content=render(
            ctx.cluster.templates_dir,
            "crio/crio.service.j2",
            bin=BIN,
            arguments=words,
        ),
        # Credentials are read at each pull, and what starts a container at each start.
        reads=frozenset({f"{BIN}/crio", *(file.path for file in files if not file.secret)}),
        reloads=frozenset((*(f"{BIN}/{name}" for name in _PROGRAMS[1:]), *(file.path for file in wrappers))),
        check=parsing(f"{BIN}/crio", words),
        gates=(
            Gate(kind="command", argument=f"{BIN}/crictl --runtime-endpoint=unix://{RUNTIMES['crio'].cri} version"),
        ),
    )


def _files(ctx: Context) -> Iterable[File]:
    user, registry = ctx.cluster.templates_dir, ctx.cluster.registry
    credentials = registries.credentials(registry)
    config = render(
        user,
        "crio/crio.conf.j2",
        bin=BIN,
        socket=RUNTIMES["crio"].cri,
        handlers=handlers.of_crio(ctx.host),
        sandbox_image=ctx.artifact("image-pause").reference,
        pinned=node_images.pinned(ctx),
        credentials=bool(credentials),
        cni_bin=CNI_BIN,
        cni_conf=cni_conf(ctx.cluster.network),
    )
    yield File(path=CONFIG, content=config, mode=0o600, check=(f"{BIN}/crio", "--config", FILE, "config"))
    yield File(path="/etc/crio/policy.json", content=(json.dumps(_POLICY, indent=2) + "\n").encode())
    yield File(path="/etc/crio/storage.conf", content=render(user, "crio/storage.conf.j2"))
    mirrors = render(user, "crio/registries.conf.j2", mirrors=mirrors_of(registry))
    yield File(path=REGISTRIES, content=mirrors)
    if credentials:
        yield File(path="/etc/crio/auth.json", content=credentials, mode=0o600, secret=True)


def mirrors_of(registry: RegistrySettings) -> Mapping[str, str]:
    """Registry → what is asked in its place, for those that are not asked themselves."""
    found = {}
    for host in dict.fromkeys((*registry.registries, *KNOWN)):
        where = place(host, registry)
        if where.host != host:
            found[host] = f"{where.host}/{where.path}" if where.path else where.host
    return found
