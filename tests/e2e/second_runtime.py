"""The kprov command with one more runtime, `second`: another containerd set-up that shares no name with the first one.

A runtime is a row of values and a role. This adds one as a contributor would, so that swaps can be run for real where
only containerd can be had: another unit, socket, configuration, data and images; kubelet must move, and the old one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kprov.cli import main
from kprov.context import Context
from kprov.resources import Resource
from kprov.roles import container_runtime, containerd
from kprov.runtimes import RUNTIMES

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


container_runtime.ROLES["second"] = resources

if __name__ == "__main__":
    main()
