"""A door to the metrics of components that listen on loopback only; wanted on every host while monitoring is on.

The distribution's haproxy as a unit of our own. It asks for a client certificate of the cluster's authority and lets in
one name: the add-on's scraper. It passes on GETs of metrics paths and nothing else of those components; etcd's client
keys stay where they are. It also tells when the certificates of this host end, which no component does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kprov.roles import (
    api_server,
    containerd,
    controller_manager,
    etcd,
    kube_proxy,
    kubelet,
    node_exporter,
    scheduler,
)
from kprov.roles.layout import CA, METRICS_PROXY_PORT, PKI, ca_file, certificates, credential
from kprov.roles.templating import render
from kprov.values.context import Context
from kprov.values.paths import BIN
from kprov.values.resources import Certificate, File, Gate, Resource, Unit

ADDON = "monitoring"
SCRAPER = "kprov-monitoring-scraper"  # the common name of the add-on's client certificate: see its addon.yaml
CONFIG = "/etc/kubernetes/metrics-proxy.cfg"
SCRIPT = f"{BIN}/kprov-certificate-ends"
_RUN = "/run/kprov-metrics-proxy"
_ENDS = f"{_RUN}/certificates"
_UNIT = "kprov-metrics-proxy"
_LEAF = f"{PKI}/metrics-proxy"
# Whose certificates are told of.
_COMPONENTS = (etcd, api_server, controller_manager, scheduler, kubelet, kube_proxy)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where a component of this host shows its metrics, on loopback. tls: it serves HTTPS and asks who comes."""

    name: str
    port: int
    path: str = "/metrics"
    tls: bool = False


def listeners(ctx: Context) -> Iterable[Listener]:
    """What is asked at /NAME/metrics of the proxy."""
    yield Listener(name="node", port=node_exporter.PORT)
    if ctx.host.in_group("etcd"):
        yield Listener(name="etcd", port=etcd.METRICS_PORT)
    if ctx.host.in_group("control_plane"):
        yield Listener(name="kube-controller-manager", port=controller_manager.PORT, tls=True)
        yield Listener(name="kube-scheduler", port=scheduler.PORT, tls=True)
    if ctx.host.is_node:
        yield Listener(name="kube-proxy", port=kube_proxy.METRICS_PORT)
        if ctx.host.runtime == "containerd":
            yield Listener(name="containerd", port=containerd.METRICS_PORT, path="/v1/metrics")


def resources(ctx: Context) -> Iterable[Resource]:
    if ctx.cluster.addon(ADDON) is None:
        return
    user = ctx.cluster.templates_dir
    (leaf,) = certificates(ctx, {"metrics-proxy": _LEAF})
    served = {"server.crt": leaf.path, "server.crt.key": leaf.key_path}
    told = (leaf.path, *(item.path for item in _certificates(ctx)))
    config = render(
        user,
        "metrics_proxy/haproxy.cfg.j2",
        address=ctx.node_ip,
        port=METRICS_PROXY_PORT,
        certificate=credential(_UNIT, "server.crt"),
        ca=CA,
        scraper=SCRAPER,
        listeners=tuple(listeners(ctx)),
        ends=_ENDS,
    )
    yield ca_file(ctx)
    yield leaf
    yield File(path=CONFIG, content=config)
    yield File(path=SCRIPT, content=render(user, "metrics_proxy/kprov-certificate-ends.sh"), mode=0o755)
    yield Unit(
        name=f"{_UNIT}.service",
        content=render(
            user,
            "metrics_proxy/kprov-metrics-proxy.service.j2",
            config=CONFIG,
            credentials=served,
            script=SCRIPT,
            folder=_RUN,
            ends=_ENDS,
            told=(CA, *told),
        ),
        reads=frozenset({CONFIG, SCRIPT, CA, *served.values(), *told}),
        gates=(Gate(kind="listens", argument=str(METRICS_PROXY_PORT)),),
    )


def _certificates(ctx: Context) -> Iterable[Certificate]:
    """Those that the components of this host serve or call with."""
    for component in _COMPONENTS:
        for resource in component.resources(ctx):
            if isinstance(resource, Certificate):
                yield resource
