"""Docker Engine as kubelet's runtime: dockerd, a containerd that is Docker's alone, and cri-dockerd between it and kubelet.

Docker makes no network: pods' is CNI's, and so Docker touches no firewall rule and no bridge.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from kprov.roles import containerd, handlers, registries
from kprov.roles.documents import arguments, parsing
from kprov.roles.layout import CNI_BIN, cni_cache, cni_conf, program
from kprov.roles.templating import render
from kprov.values.context import Context
from kprov.values.paths import BIN
from kprov.values.resources import FILE, Directory, File, Gate, Package, Resource, Unit
from kprov.values.runtimes import RUNTIMES

CONFIG = "/etc/docker/daemon.json"
_STORE, _ENGINE, _CRI = RUNTIMES["docker"].units
_SOCKET = RUNTIMES["docker"].store
# Docker's containerd keeps containers and images, and kubelet has no part in it.
_CRI_PLUGINS = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime")
SETUP = containerd.Setup(
    unit=_STORE,
    config="/etc/docker/containerd.toml",
    root="/var/lib/docker/containerd",
    state="/run/docker/containerd",
    socket="/run/docker/containerd/containerd.sock",
)


def resources(ctx: Context) -> Iterable[Resource]:
    yield from containerd.programs(ctx)
    for name in ("dockerd", "cri-dockerd"):
        yield program(ctx, name)
    yield Package(name="curl", command="curl")  # what kprov speaks to Docker's socket with
    yield Package(name="socat", command="socat")  # what cri-dockerd forwards ports with
    yield from engine(ctx)
    yield Directory(path="/var/lib/cri-dockerd", mode=0o700, purge=True)
    yield _cri(ctx)


def engine(ctx: Context) -> Iterable[Resource]:
    """Docker without what is for kubelet: data, configuration, and the units of dockerd and its containerd."""
    user = ctx.cluster.templates_dir
    yield Directory(path="/var/lib/docker", mode=0o710, purge=True)
    yield from registries.containerd_hosts(ctx.cluster.registry, "/etc/docker/certs.d")
    yield containerd.config_file(SETUP, {**containerd.base(SETUP), "disabled_plugins": list(_CRI_PLUGINS)})
    yield containerd.unit(ctx, SETUP)
    wrappers = list(handlers.restricted(ctx))
    yield from wrappers
    yield File(
        path=CONFIG,
        content=(json.dumps(_daemon(ctx), indent=2) + "\n").encode(),
        mode=0o600,
        check=(f"{BIN}/dockerd", "--validate", "--config-file", FILE),
    )
    words = arguments({"config-file": CONFIG}, ctx.host.extra_args.get("dockerd", {}))
    yield Unit(
        name=_ENGINE,
        content=render(
            user,
            "docker/dockerd.service.j2",
            bin=BIN,
            store=_STORE,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/dockerd", CONFIG}),
        reloads=frozenset(file.path for file in wrappers),
        check=parsing(f"{BIN}/dockerd", words),
        gates=(Gate(kind="command", argument=f"curl -fsS --max-time 5 --unix-socket {_SOCKET} http://docker/_ping"),),
    )


def _daemon(ctx: Context) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "hosts": [f"unix://{_SOCKET}"],
        "group": "root",
        "containerd": SETUP.socket,
        "data-root": "/var/lib/docker",
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "exec-opts": ["native.cgroupdriver=systemd"],
        "features": {"containerd-snapshotter": True},
        "log-driver": "json-file",  # which cri-dockerd reads; kubelet does not rotate it, so Docker does
        "log-opts": {"max-size": "10m", "max-file": "5"},
        "live-restore": True,
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "ip-masq": False,
        "userland-proxy": False,
    }
    if ctx.host.restrict_oom_score_adj:
        settings["default-runtime"] = handlers.RESTRICTED_RUNC
    runtimes = handlers.of_docker(ctx.host)
    return {**settings, "runtimes": runtimes} if runtimes else settings


def _cri(ctx: Context) -> Unit:
    flags = {
        "container-runtime-endpoint": f"unix://{RUNTIMES['docker'].cri}",
        "docker-endpoint": f"unix://{_SOCKET}",
        "cri-dockerd-root-directory": "/var/lib/cri-dockerd",
        "network-plugin": "cni",
        "cni-bin-dir": CNI_BIN,
        "cni-conf-dir": cni_conf(ctx.cluster.network),
        "cni-cache-dir": cni_cache(ctx.host),
        "pod-infra-container-image": ctx.artifact("image-pause").reference,
        "streaming-bind-addr": "127.0.0.1",
    }
    words = arguments(flags, ctx.host.extra_args.get("cri-dockerd", {}))
    return Unit(
        name=_CRI,
        content=render(
            ctx.cluster.templates_dir,
            "docker/cri-dockerd.service.j2",
            bin=BIN,
            engine=_ENGINE,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/cri-dockerd"}),
        check=parsing(f"{BIN}/cri-dockerd", words),
        gates=(Gate(kind="active", argument=_CRI),),
    )
