"""The built-in pod network on a node: a bridge for its pods, routes to the other nodes', masquerade towards the world.

No agent. `routed`: the routes lead to the other nodes' addresses, which must be in one network (one L2 segment).
`vxlan`: they lead through a tunnel whose peers are all known, so that nothing has to be learned. With any other mode
nothing of it is desired here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Interface, IPv4Network, ip_address

from kprov.roles.layout import CNI_CONF, SHARED_CNI_CONF, firewall, kube_proxy_mode
from kprov.roles.pod_network import cidr_text, mode_file
from kprov.roles.templating import render, render_script
from kprov.values import components
from kprov.values.addon import Addon
from kprov.values.addresses import bare
from kprov.values.context import Context
from kprov.values.model import Cluster, Facts, NetworkMode, NetworkSettings
from kprov.values.paths import BIN, NETWORK_HOSTS
from kprov.values.resources import File, Gate, Resource, Unit

BRIDGE = "cni0"
TUNNEL = "kprov-vxlan"
CONFLIST = f"{CNI_CONF}/10-kprov.conflist"
FIRST_CONFLIST = f"{SHARED_CNI_CONF}/10-kprov.conflist"  # of clusters older than the record of their network
# Of networks that others publish: the file that each writes, by its manual.
PUBLISHED_CONFLISTS: Mapping[NetworkMode, str] = {
    "flannel": f"{SHARED_CNI_CONF}/10-flannel.conflist",
    "calico": f"{SHARED_CNI_CONF}/10-calico.conflist",
    "cilium": f"{SHARED_CNI_CONF}/05-cilium.conflist",
}
SCRIPT = f"{BIN}/kprov-network"
UNIT = components.NETWORK.unit
SETTINGS = "/etc/kprov/network.conf"
NETWORKD = "/etc/systemd/networkd.conf.d/10-kprov.conf"
NETWORKD_LINKS = "/etc/systemd/network/00-kprov.network"  # the first file that matches a link decides
NETWORK_MANAGER = "/etc/NetworkManager/conf.d/10-kprov.conf"
_DEFAULT_MTU = 1500
_SSH = 22
# Interfaces that networks make which are not built in, as their manuals name them; those of the user's own are unknown.
_INTERFACES: Mapping[NetworkMode, tuple[str, ...]] = {
    "flannel": (BRIDGE, "flannel.*", "flannel-wg*"),
    "calico": ("cali*", "tunl*", "vxlan.calico", "wireguard.cali"),
    "cilium": ("cilium_*", "lxc*"),
    "none": (),
}


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    yield mode_file(ctx.cluster.network)
    # systemd-networkd, where it runs, would drop routes it does not know whenever it is started again.
    yield File(path=NETWORKD, content=b"[Network]\nManageForeignRoutes=no\n")
    yield from _hands_off(ctx)
    if not ctx.cluster.network.built_in:
        return
    user = ctx.cluster.templates_dir
    hosts = ctx.cluster.network.hosts or "closed"
    yield File(path=NETWORK_HOSTS, content=f"{hosts}\n".encode())
    yield File(path=CONFLIST, content=_conflist(ctx), mode=0o600)
    yield render_script(user, "network/kprov-network.sh", SCRIPT)
    network = ctx.cluster.network
    tunnel = network if network.mode == "vxlan" else None
    yield File(path=SETTINGS, content=settings(ctx, tunnel=tunnel, routes=network.mode))
    yield Unit(
        name=UNIT,
        content=render(user, "network/kprov-network.service.j2", script=SCRIPT),
        reads=frozenset({SCRIPT, SETTINGS}),
        gates=(Gate(kind="command", argument=f"{SCRIPT} check"),),
    )


def mtu(facts: Facts, node_ip: str) -> int:
    """The MTU of the interface that owns the node's address: pods' packets leave through it."""
    for interface in facts.interfaces:
        if any(bare(address) == node_ip for address in interface.addresses):
            return interface.mtu
    return _DEFAULT_MTU


@lru_cache(maxsize=4096)
def gateway(pod_cidr: IPv4Network) -> str:
    """The node's own address in its pod network: its pods' way out, and the tunnel's end."""
    return str(pod_cidr[1])


@lru_cache(maxsize=4096)
def tunnel_mac(pod_cidr: IPv4Network) -> str:
    """The tunnel's MAC address: locally administered, and another for each pod network, so nobody has to ask."""
    return "02:6b:" + ":".join(f"{byte:02x}" for byte in pod_cidr.network_address.packed)


def _hands_off(ctx: Context) -> Iterable[File]:
    """Network services of the distribution leave the pod network's interfaces alone, also where they are to take all."""
    names = _INTERFACES.get(ctx.cluster.network.mode, (BRIDGE, TUNNEL))
    if not names:
        return
    yield File(path=NETWORKD_LINKS, content=f"[Match]\nName={' '.join(names)}\n\n[Link]\nUnmanaged=yes\n".encode())
    if "NetworkManager" in ctx.own.commands:
        match = ";".join(f"interface-name:{name}" for name in names)
        yield File(path=NETWORK_MANAGER, content=f"[device-kprov]\nmatch-device={match}\nmanaged=0\n".encode())


def _pod_mtu(ctx: Context, network: NetworkSettings) -> int:
    return network.mtu or mtu(ctx.own, ctx.node_ip) - network.overhead


def _conflist(ctx: Context) -> bytes:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "forceAddress": True,  # a bridge left behind with another address is given the right one
        "ipMasq": False,
        "hairpinMode": True,
        "mtu": _pod_mtu(ctx, ctx.cluster.network),
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(ctx.pod_cidrs[ctx.host.name])}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {
        "type": "portmap",
        "backend": firewall(ctx.own),  # never another while pods live: what the one wrote, the other does not remove
        "snat": True,
        "capabilities": {"portMappings": True},
    }
    document = {"cniVersion": "1.0.0", "name": "kprov", "plugins": [bridge, portmap]}
    return (json.dumps(document, indent=2) + "\n").encode()


def settings(ctx: Context, *, tunnel: NetworkSettings | None, routes: NetworkMode, both: bool = False) -> bytes:
    """Lines of words: `pods`, `own`, `nat`, `vxlan`, and for each other node a `route` and, with a tunnel, a `peer`.

    tunnel: the node's end of it. routes: `vxlan` when they lead through the tunnel; when they do not, only its peers' own
    addresses are reached through it, so that it can be asked. both: packets come both ways.
    A node without a pod network of its own gets no line, nor one that did not answer and has no address known here.
    """
    own = ctx.pod_cidrs[ctx.host.name]
    lines = [f"pods {ctx.cluster.pod_cidr}", f"own {own}", f"nat {kube_proxy_mode(ctx.cluster, ctx.own)}"]
    if tunnel is not None:
        end = f"{ctx.node_ip} {tunnel_mac(own)} {_pod_mtu(ctx, tunnel)} {gateway(own)}"
        lines += [f"vxlan {tunnel.vni} {tunnel.port} {end}", *(["both"] if both else [])]
    peers = ctx.once(("peers", tunnel is not None, routes), lambda: list(_peers(ctx, tunnel is not None, routes)))
    for name, guess, text in peers:
        # Of a silent node the address may be a guess: a route through what is no neighbour is refused.
        beyond = guess and not any(ip_address(guess) in link for link in neighbourhood(ctx.own))
        if name != ctx.host.name and not beyond:
            lines.append(text)
    lines += ctx.once("closed", lambda: list(_closed(ctx)))
    return ("\n".join(lines) + "\n").encode()


def _closed(ctx: Context) -> Iterable[str]:
    """What pods must not reach of every host whose address is known here, and the metadata.

    Kubelets are closed by what enforces policies where some pods read them, and for all pods where it does not run.
    """
    if ctx.cluster.network.hosts == "open":
        return
    etcd = (components.ETCD.port("clients"), components.ETCD.port("peers"))
    kubelet = () if kubelet_readers(ctx.cluster) else (components.KUBELET.port("https"),)
    proxy = components.KUBE_PROXY.port("health")
    ports = {*etcd, *kubelet, proxy, *(host.connection.port or _SSH for host in ctx.cluster.hosts)}
    yield f"closed {','.join(map(str, sorted(ports)))}"
    # A node has one in the network of its pods too, which pods of other nodes reach as they reach pods.
    for host in ctx.cluster.hosts:
        try:
            yield f"host {ctx.facts.node_ip(host)}"
        except KeyError:  # a silent host, known by a name alone
            continue
    yield from (f"host {gateway(ctx.pod_cidrs[node.name])}" for node in ctx.cluster.nodes if node.name in ctx.pod_cidrs)


def kubelet_readers(cluster: Cluster) -> tuple[Addon, ...]:
    """Return the add-ons whose pods read metrics of every kubelet."""
    return tuple(addon for addon in cluster.addons if addon.description.reads_kubelets)


def _peers(ctx: Context, tunnelled: bool, routes: NetworkMode) -> Iterable[tuple[str, str, str]]:
    """Each node, its address where that is a guess, and what the others are told of it: the same for all of them.

    Also those that did not answer beside --limit: their pods are there when they are back.
    """
    for node in ctx.cluster.nodes:
        try:
            cidr, address = ctx.pod_cidrs[node.name], ctx.facts.node_ip(node)
        except KeyError:
            continue
        lines = [f"route {cidr_text(cidr)} {gateway(cidr) if routes == 'vxlan' else address}"]
        if tunnelled:
            lines += [f"route {gateway(cidr)} {gateway(cidr)}"] if routes != "vxlan" else []
            lines += [f"peer {gateway(cidr)} {tunnel_mac(cidr)} {address}"]
        guessed = node.name not in ctx.facts and ctx.cluster.network.mode == "routed"
        yield node.name, address if guessed else "", "\n".join(lines)


def neighbourhood(facts: Facts) -> frozenset[IPv4Network]:
    """The networks a host has addresses in: only what is there is a next hop."""
    found = set()
    for interface in facts.interfaces:
        for address in interface.addresses:
            try:
                found.add(IPv4Interface(address).network)
            except ValueError:  # a host's word
                continue
    return frozenset(link for link in found if not link.is_loopback)
