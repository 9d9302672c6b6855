"""What the machine itself must be before anything of Kubernetes runs on it: kernel, swap, packages. No services."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.roles.layout import kube_proxy_mode
from kprov.values.context import Context
from kprov.values.host_settings import HostSettings, Setting, last_of
from kprov.values.model import Host, NetworkSettings
from kprov.values.resources import KernelModule, Package, Resource, SwapOff, Sysctl

_MODULES: tuple[str, ...] = ("overlay", "br_netfilter", "nf_conntrack")

_SYSCTLS: tuple[tuple[str, str], ...] = (
    ("net.ipv4.ip_forward", "1"),
    ("net.bridge.bridge-nf-call-iptables", "1"),  # a service address used between two pods of one bridge
    ("net.bridge.bridge-nf-call-ip6tables", "1"),  # what those say to each other by IPv6
    ("fs.inotify.max_user_instances", "8192"),
    ("fs.inotify.max_user_watches", "524288"),
)
# What kubelet demands to find with protectKernelDefaults, instead of changing it by itself.
_KERNEL_DEFAULTS: tuple[tuple[str, str], ...] = (
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
)

# Packages have the same names with apt, dnf and zypper.
HAPROXY = Package(name="haproxy", command="haproxy", service="haproxy.service")
PYTHON = Package(name="python3", command="python3")
OPENSSL = Package(name="openssl", command="openssl")
_FIREWALL = {
    "nftables": Package(name="nftables", command="nft", service="nftables.service"),
    "iptables": Package(name="iptables", command="iptables"),
}


def resources(ctx: Context) -> Iterable[Resource]:
    """Kernel modules, sysctls, packages and swap of a node; hosts that are only etcd need none but monitoring's packages.

    conntrack, socat and ethtool are not desired: kube-proxy speaks netlink and most runtimes forward ports by themselves.
    """
    if ctx.cluster.addon("monitoring"):
        yield from (HAPROXY, OPENSSL)
    if not ctx.host.is_node:
        return
    for module in modules(ctx.cluster.network):
        yield KernelModule(name=module)
    for name, value in _sysctls(ctx.host):
        yield Sysctl(name=name, value=value)
    mode = kube_proxy_mode(ctx.cluster, ctx.own)
    yield _FIREWALL[mode]
    if ctx.cluster.network.enforces:
        yield PYTHON
        if mode != "nftables":
            yield _FIREWALL["nftables"]
    if ctx.cluster.api_endpoint is None:
        yield HAPROXY
    if ctx.cluster.swap == "off":
        yield SwapOff()


def modules(network: NetworkSettings) -> tuple[str, ...]:
    """Kernel modules of a node."""
    return (*_MODULES, "vxlan") if network.mode == "vxlan" else _MODULES


def protects_kernel_defaults(host: Host) -> bool:
    """Whether kubelet will refuse to run with other kernel settings than these."""
    return bool(host.kubelet.get("protectKernelDefaults", True))


def _sysctls(host: Host) -> tuple[tuple[str, str], ...]:
    return _SYSCTLS + (_KERNEL_DEFAULTS if protects_kernel_defaults(host) else ())


def overruled(host: Host, settings: HostSettings) -> Iterable[tuple[str, str, Setting]]:
    """Yield parameters of kprov's that another file sets otherwise at the next boot: name, desired value, what wins."""
    if not host.is_node:
        return
    rows: dict[str, list[Setting]] = {}
    for line in settings.sysctls:
        name, _, value = line.value.partition("=")
        rows.setdefault(_dotted(name.strip().removeprefix("-")), []).append(
            Setting(path=line.path, value=value.strip())
        )
    for name, desired in _sysctls(host):
        counts = last_of(rows.get(name, ()))
        if counts is not None and counts.value != desired:
            yield name, desired, counts


def _dotted(name: str) -> str:
    """A name as kprov writes it. Where a slash comes first, slashes part its words and dots are theirs (sysctl.d(5))."""
    first = next((sign for sign in name if sign in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))
