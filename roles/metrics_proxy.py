"""A door to the metrics of components that listen on loopback only; desired on every host while monitoring is on.

The distribution's haproxy as a unit of our own. It asks for a client certificate of the cluster's CA and lets in
one name: the add-on's scraper. It passes on GETs of metrics paths and nothing else of those components; etcd's client
keys stay where they are. It also tells when the certificates of this host end, which no component does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kprov.pki.chain import common_names
from kprov.roles.layout import CA, certificates, credential, root_ca, root_ca_file
from kprov.roles.templating import render, render_script
from kprov.values import components
from kprov.values.component import Component
from kprov.values.context import Context
from kprov.values.paths import BIN
from kprov.values.resources import File, Gate, Resource, Unit

ADDON = "monitoring"
SCRAPER = "kprov-monitoring-scraper"  # the common name of the add-on's client certificate: see its addon.yaml
CONFIG = "/etc/kubernetes/metrics-proxy.cfg"
SCRIPT = f"{BIN}/kprov-certificate-ends"
_RUN = "/run/kprov-metrics-proxy"
_ENDS = f"{_RUN}/certificates"
_RECORD = components.METRICS_PROXY
_PORT = _RECORD.port("https")


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where a component of this host shows its metrics, on loopback. tls: it serves HTTPS and asks who comes."""

    name: str
    port: int
    path: str = "/metrics"
    tls: bool = False


def listeners(ctx: Context) -> Iterable[Listener]:
    """What is asked at /NAME/metrics of the proxy."""
    for component in _here(ctx):
        if shown := component.metrics:
            yield Listener(name=shown.name, port=component.port(shown.port), path=shown.path, tls=shown.tls)


def resources(ctx: Context) -> Iterable[Resource]:
    if ctx.cluster.addon(ADDON) is None:
        return
    user = ctx.cluster.templates_dir
    (leaf,) = certificates(ctx, _RECORD)
    served = {"server.crt": leaf.path, "server.crt.key": leaf.key_path}
    told = tuple(leaf.paths[0] for component in _here(ctx) for leaf in component.leaves)
    config = render(
        user,
        "metrics_proxy/haproxy.cfg.j2",
        address=ctx.node_ip,
        port=_PORT,
        certificate=credential(_RECORD.name, "server.crt"),
        ca=root_ca(ctx),
        issuers=_issuers(ctx),
        scraper=SCRAPER,
        listeners=tuple(listeners(ctx)),
        ends=_ENDS,
    )
    yield root_ca_file(ctx)
    yield leaf
    # haproxy cannot check it: its certificate and list are there only while the unit runs.
    yield File(path=CONFIG, content=config)
    yield render_script(user, "metrics_proxy/kprov-certificate-ends.sh", SCRIPT)
    yield Unit(
        name=_RECORD.unit,
        content=render(
            user,
            "metrics_proxy/kprov-metrics-proxy.service.j2",
            config=CONFIG,
            credentials=served,
            script=SCRIPT,
            folder=_RUN,
            ends=_ENDS,
            told=(root_ca(ctx), *told),
        ),
        reads=frozenset({CONFIG, SCRIPT, root_ca(ctx), *told} | _RECORD.read_at_start),
        gates=(Gate(kind="listens", argument=str(_PORT)),),
    )


def _issuers(ctx: Context) -> tuple[str, ...]:
    """The common names of the cluster's CAs, hexadecimal, where there is a root above them that signs for others, too.

    haproxy believes whatever that root leads to, and CAs below one root have different names.
    """
    return () if root_ca(ctx) == CA else common_names(ctx.trust.bundle["kubernetes"])


def _here(ctx: Context) -> Iterable[Component]:
    return (component for component in components.COMPONENTS if component.runs_on(ctx.cluster, ctx.host))
