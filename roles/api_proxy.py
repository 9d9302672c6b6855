"""A TCP proxy on every node that leads to the API servers that are ready; absent beside an endpoint of the user's.

The distribution's haproxy as a unit of our own: nothing of /etc/haproxy is touched.
"""

from __future__ import annotations

from collections.abc import Iterable

from kprov.roles.layout import API_PORT, PROXY_PORT, root_ca, root_ca_file
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.addresses import hostport
from kprov.values.api_settings import EncryptionSettings
from kprov.values.context import Context
from kprov.values.resources import FILE, File, Gate, Resource, Unit

CONFIG = "/etc/kubernetes/api-proxy.cfg"


def _checks(encryption: EncryptionSettings) -> tuple[tuple[str, str], ...]:
    """Return backends, the best first, and what makes a server one of them.

    An API server is not ready while a KMS is away, though it lacks nothing that nodes ask for; where that holds for all of
    them, nodes still reach one.
    """
    kms = any("kms" in provider for provider in encryption.providers)
    without = ("kube-apiserver-without-kms", "/readyz?exclude=kms-providers")
    return ("kube-apiserver", "/readyz"), *([without] if kms else [])


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node or ctx.cluster.api_endpoint is not None:
        return
    servers = {host.name: hostport(ctx.facts.node_ip(host), API_PORT) for host in ctx.cluster.group("control_plane")}
    config = render(
        ctx.cluster.templates_dir,
        "api_proxy/haproxy.cfg.j2",
        port=PROXY_PORT,
        ca=root_ca(ctx),
        servers=servers,
        checks=_checks(ctx.cluster.api.encryption),
    )
    yield root_ca_file(ctx)
    yield File(path=CONFIG, content=config, check=("/usr/sbin/haproxy", "-c", "-f", FILE))
    yield Unit(
        name=components.API_PROXY.unit,
        content=render(ctx.cluster.templates_dir, "api_proxy/kube-api-proxy.service.j2", config=CONFIG),
        reads=frozenset({CONFIG, root_ca(ctx)}),
        gates=(Gate(kind="listens", argument=str(PROXY_PORT)),),
    )
