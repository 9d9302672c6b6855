"""The built-in routed pod network: a bridge on each node, host routes to the others', masquerade towards the world.

No agent and no overlay: nodes must reach each other directly (one L2 segment, or a router that knows the routes).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kprov.context import Context
from kprov.model import Facts
from kprov.resources import File, Gate, Resource, Unit
from kprov.roles.layout import BIN, CNI_CONF, kube_proxy_mode
from kprov.templating import render

BRIDGE = "cni0"
CONFLIST = f"{CNI_CONF}/10-kprov.conflist"
SCRIPT = f"{BIN}/kprov-network"
SETTINGS = "/etc/kprov/network.conf"
NETWORKD = "/etc/systemd/networkd.conf.d/10-kprov.conf"
_DEFAULT_MTU = 1500


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    user = ctx.cluster.templates_dir
    yield File(path=CONFLIST, content=_conflist(ctx), mode=0o600)
    yield File(path=SCRIPT, content=render(user, "network/kprov-network.sh"), mode=0o755)
    yield File(path=SETTINGS, content=_settings(ctx))
    # systemd-networkd, where it runs, would drop routes it does not know whenever it is started anew.
    yield File(path=NETWORKD, content=b"[Network]\nManageForeignRoutes=no\n")
    yield Unit(
        name="kprov-network.service",
        content=render(user, "network/kprov-network.service.j2", script=SCRIPT),
        reads=frozenset({SCRIPT, SETTINGS}),
        gates=(Gate(kind="command", argument=f"{SCRIPT} check"),),
    )


def mtu(facts: Facts, node_ip: str) -> int:
    """The MTU of the interface that owns the node's address: pods' packets leave through it unchanged."""
    for interface in facts.interfaces:
        if any(address.split("/")[0] == node_ip for address in interface.addresses):
            return interface.mtu
    return _DEFAULT_MTU


def _conflist(ctx: Context) -> bytes:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "forceAddress": True,  # a bridge left behind with another address is given the right one
        "ipMasq": False,
        "hairpinMode": True,
        "mtu": mtu(ctx.own, ctx.node_ip),
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(ctx.pod_cidrs[ctx.host.name])}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {
        "type": "portmap",
        "backend": kube_proxy_mode(ctx.cluster, ctx.own),
        "snat": True,
        "capabilities": {"portMappings": True},
    }
    document = {"cniVersion": "1.0.0", "name": "kprov", "plugins": [bridge, portmap]}
    return (json.dumps(document, indent=2) + "\n").encode()


def _settings(ctx: Context) -> bytes:
    """Lines of words: `pods`, `own`, `nat`, and a `route NETWORK GATEWAY` for each other node.

    A node without a pod network of its own, or that has not answered, gets no route.
    """
    lines = [
        f"pods {ctx.cluster.pod_cidr}",
        f"own {ctx.pod_cidrs[ctx.host.name]}",
        f"nat {kube_proxy_mode(ctx.cluster, ctx.own)}",
    ]
    for node in ctx.cluster.nodes:
        if node.name != ctx.host.name and node.name in ctx.pod_cidrs and node.name in ctx.facts:
            lines.append(f"route {ctx.pod_cidrs[node.name]} {ctx.facts.node_ip(node)}")
    return ("\n".join(lines) + "\n").encode()
