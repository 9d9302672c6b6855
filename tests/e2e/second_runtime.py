"""The kprov command with two more runtimes, added as a contributor would add them: a row of values and a role.

`second` is another containerd set-up that shares no name with the first one, so that swaps are run for real without another
runtime's programs: another unit, socket, configuration, data and images; kubelet must move, and the old one go.

`engine` is kprov's Docker role without cri-dockerd, which is not among the tests' programs: dockerd and its containerd run
as kprov's units and keep images and containers, beside the containerd that serves kubelet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kprov.cli import main
from kprov.roles import container_runtime, containerd, docker
from kprov.roles.layout import program
from kprov.values.context import Context
from kprov.values.resources import CONTAINERD, Image, Resource
from kprov.values.runtimes import RUNTIMES

SETUP = containerd.Setup(
    unit="second.service",
    config="/etc/second/config.toml",
    root="/srv/second",
    state="/run/second",
    socket="/run/second/containerd.sock",
)
RUNTIMES["second"] = replace(
    RUNTIMES["containerd"],
    name="second",
    title="second",
    units=(SETUP.unit,),
    cri=SETUP.socket,
    store=SETUP.socket,
    folders=("/etc/second", SETUP.root),
    run=(SETUP.state, "/run/containerd"),  # sockets of containerd's shims are in the latter, wherever it lives itself
)


def resources(ctx: Context) -> Iterable[Resource]:
    yield from containerd.programs(ctx)
    yield from containerd.kubelets(ctx, SETUP)


def engine(ctx: Context) -> Iterable[Resource]:
    yield program(ctx, "dockerd")
    yield from docker.engine(ctx)
    yield from containerd.resources(ctx)
    for name in ("image-pause", "image-coredns"):  # of the second one pods are made that ask each other
        image = ctx.artifact(name)
        yield Image(reference=image.reference, artifact=image, store=CONTAINERD)


container_runtime.ROLES["second"] = resources
container_runtime.ROLES["engine"] = engine
DOCKER, FIRST = RUNTIMES.pop("docker"), RUNTIMES["containerd"]
RUNTIMES["engine"] = replace(
    DOCKER,
    name="engine",
    title="engine",
    units=(*DOCKER.units[:2], *FIRST.units),
    cri=CONTAINERD,
    programs=("dockerd", *FIRST.programs),
    folders=(*DOCKER.folders, *FIRST.folders),
    run=tuple(path for path in DOCKER.run if "cri-dockerd" not in path),
    scheme="containerd",
    components=("containerd", "docker", "runc"),
)

if __name__ == "__main__":
    main()
