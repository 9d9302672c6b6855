"""What must be found on a host of an inventory: which component runs where, and what it listens on, by its record.

The rest is written down a second time on purpose, and not taken from the roles: a check that reads the same table as the
program under check finds nothing. Of components there is one record each, which tests hold against the roles, and what
is found is asked of the machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.values.addon import CertificateRow, HostDirectory
from kprov.values.component import Component
from kprov.values.components import API_PROXY as API_PROXY_RECORD
from kprov.values.components import COMPONENTS
from kprov.values.model import Cluster, Group, Host

BIN = "/opt/kprov/bin"
CNI = "/opt/cni/bin"

# What a node says of its runtime: scheme, and the component whose version follows it.
RUNTIME_VERSION: Mapping[str, tuple[str, str]] = {
    "containerd": ("containerd", "containerd"),
    "crio": ("cri-o", "crio"),
    "docker": ("docker", "docker"),
}

# Path → arguments that make it tell its version, and the component whose version that is: what no unit runs.
_TOOLS: Mapping[Group, Mapping[str, tuple[str, str]]] = {
    "etcd": {f"{BIN}/etcdctl": ("version", "etcd"), f"{BIN}/etcdutl": ("version", "etcd")},
    "control_plane": {f"{BIN}/kubectl": ("version --client", "kubernetes")},
}
_NODE_TOOLS: Mapping[str, tuple[str, str]] = {
    f"{BIN}/runc": ("--version", "runc"),
    **{f"{CNI}/{plugin}": ("", "cni-plugins") for plugin in ("bridge", "loopback", "host-local", "portmap")},
}

_KUBERNETES = "/etc/kubernetes"
_PRIVATE: Mapping[Group, tuple[tuple[str, str], ...]] = {
    "etcd": (),
    "control_plane": (
        (f"{_KUBERNETES}/controller-manager.conf", "root"),
        (f"{_KUBERNETES}/scheduler.conf", "root"),
        (f"{_KUBERNETES}/kube-apiserver/encryption.yaml", "kube-apiserver"),
        (f"{_KUBERNETES}/pki/sa.key", "root"),
    ),
}
_NODE_PRIVATE = (
    (f"{_KUBERNETES}/kubelet.conf", "root"),
    (f"{_KUBERNETES}/proxy.conf", "root"),
    ("/var/lib/kubelet/config.yaml", "root"),
    ("/var/lib/kube-proxy/config.yaml", "root"),
)

# What comes with the add-on logging.
_LOGGING_PRIVATE = ("/etc/kprov-logging/password", "root")
API_PROXY = API_PROXY_RECORD.port("api")
# By the name of a process, of which the kernel keeps 15 characters: the ports that others may reach.
PUBLIC: Mapping[str, frozenset[int]] = {
    component.program[:15]: frozenset(port.number for port in component.ports if not port.loopback)
    for component in COMPONENTS
    if component.program
}
READ_ONLY_KUBELET = 10255

_SYSCTLS: Mapping[str, str] = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
}
_KERNEL_DEFAULTS: Mapping[str, str] = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
}
LEAST_SYSCTLS: Mapping[str, int] = {"fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}

# Flags of kube-apiserver that must be as written, whatever else an inventory adds (CIS 1.2).
_API_FLAGS: Mapping[str, str] = {
    "profiling": "false",
    "service-account-lookup": "true",
    "tls-min-version": "VersionTLS12",
}
API_FLAGS_SET = ("encryption-provider-config", "audit-log-path", "audit-policy-file", "authentication-config")


def api_flags(cluster: Cluster) -> Mapping[str, str]:
    """Flags with their values; with webhooks, Node and RBAC stand before them in a file."""
    if cluster.api.authorizers:
        return {**_API_FLAGS, "authorization-config": "/etc/kubernetes/kube-apiserver/authorization.yaml"}
    return {**_API_FLAGS, "authorization-mode": "Node,RBAC"}


def _here(cluster: Cluster, host: Host) -> Iterable[Component]:
    return (component for component in COMPONENTS if component.runs_on(cluster, host))


def units(cluster: Cluster, host: Host) -> Iterable[str]:
    """Names of services, without suffix."""
    return (component.name for component in _here(cluster, host))


def programs(cluster: Cluster, host: Host) -> Mapping[str, tuple[str, str]]:
    found = {path: how for group, all_of in _TOOLS.items() if group in host.groups for path, how in all_of.items()}
    if host.is_node:
        found.update(_NODE_TOOLS)
    for component in _here(cluster, host):
        if component.release:
            found[f"{BIN}/{component.program}"] = ("--version", component.release)
    return found


def certificates(cluster: Cluster, host: Host) -> Iterable[str]:
    """Paths without suffix: `.crt` and `.key` belong to each."""
    return (leaf.path for component in _here(cluster, host) for leaf in component.leaves)


def private_files(cluster: Cluster, host: Host) -> Mapping[str, str]:
    """Path → owner of files that only their owner may read (0600)."""
    found = {path: owner for group, files in _PRIVATE.items() if group in host.groups for path, owner in files}
    if cluster.addon("logging"):
        found |= [_LOGGING_PRIVATE]
    if not host.is_node:
        return found
    return {**found, **dict(_NODE_PRIVATE), **dict.fromkeys(_registry_files(cluster, host), "root")}


def _registry_files(cluster: Cluster, host: Host) -> Iterable[str]:
    """Files of the runtime that hold credentials of the mirror for all registries."""
    if cluster.registry.mirror and cluster.registry.access.username:
        yield {
            "containerd": "/etc/containerd/certs.d/_default/hosts.toml",
            "crio": "/etc/crio/auth.json",
            "docker": "/etc/docker/certs.d/_default/hosts.toml",
        }[host.runtime]


def loopback_ports(cluster: Cluster, host: Host) -> Iterable[int]:
    for component in _here(cluster, host):
        yield from (port.number for port in component.open_ports(cluster) if port.loopback)


def sysctls(cluster: Cluster, host: Host) -> Mapping[str, str]:
    if not host.is_node:
        return {}
    return {**_SYSCTLS, **(_KERNEL_DEFAULTS if host.kubelet.get("protectKernelDefaults", True) else {})}


def host_directories(cluster: Cluster, host: Host) -> Iterable[HostDirectory]:
    if host.is_node:
        yield from (row for addon in cluster.addons for row in addon.description.directories)


def addon_ready(cluster: Cluster) -> Iterable[tuple[str, str, str]]:
    """Namespace, kind and name of everything that add-ons say must be ready."""
    for addon in cluster.addons:
        for row in addon.description.ready:
            kind, _, name = row.partition("/")
            yield addon.namespace, kind, name


def addon_workloads(cluster: Cluster) -> Iterable[tuple[str, str, str]]:
    """The same without what has no pods of its own."""
    yield from (row for row in addon_ready(cluster) if row[1] != "apiservice")


def metrics_served(cluster: Cluster) -> Iterable[str]:
    """The API through which add-ons serve what `kubectl top` asks."""
    yield from ("metrics.k8s.io/v1beta1" for addon in cluster.addons if addon.name == "metrics-server")


def addon_certificates(cluster: Cluster) -> Iterable[tuple[str, CertificateRow]]:
    """Each certificate that an add-on has in a Secret, with its namespace."""
    yield from ((addon.namespace, row) for addon in cluster.addons for row in addon.description.certificates)
