"""The address of the DNS cache on a node, for the add-on `node-local-dns`: the cache itself runs as a pod, and not here.

It is on the loopback device: the kernel takes packets of pods for any address of its own, and no device has to be made.
"""

from __future__ import annotations

from collections.abc import Iterable

from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.model import Cluster
from kprov.values.resources import Gate, Resource, Unit

ADDON = "node-local-dns"
UNIT = components.NODE_DNS.unit


def resources(ctx: Context) -> Iterable[Resource]:
    address = cache_address(ctx.cluster)
    if not ctx.host.is_node or not address:
        return
    yield Unit(
        name=UNIT,
        content=render(ctx.cluster.templates_dir, f"node_dns/{UNIT}.j2", address=address),
        gates=(Gate(kind="active", argument=UNIT),),
    )


def cache_address(cluster: Cluster) -> str:
    """Where pods find the cache of their node; empty without the add-on."""
    addon = cluster.addon(ADDON)
    return str(addon.parameters["address"]) if addon is not None else ""


def name_servers(cluster: Cluster) -> list[str]:
    """What pods ask, in this order: the second one answers while the first one starts again."""
    own = cache_address(cluster)
    return [own, str(cluster.dns_ip)] if own else [str(cluster.dns_ip)]
