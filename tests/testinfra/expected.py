"""What must be found on a host of an inventory. Written down a second time on purpose, and not taken from the roles:
a check that reads the same table as the program under check finds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.values.addon import CertificateRow, HostDirectory
from kprov.values.model import Cluster, Group, Host

BIN = "/opt/kprov/bin"
CNI = "/opt/cni/bin"

_UNITS: Mapping[Group, tuple[str, ...]] = {
    "etcd": ("etcd",),
    "control_plane": ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
}
_NODE_UNITS = ("kubelet", "kube-proxy", "kprov-service-rules")
_NETWORK_UNIT = "kprov-network"
_RUNTIME_UNITS: Mapping[str, tuple[str, ...]] = {
    "containerd": ("containerd",),
    "crio": ("crio",),
    "docker": ("dockerd-containerd", "dockerd", "cri-dockerd"),
}
# What a node says of its runtime: scheme, and the component whose version follows it.
RUNTIME_VERSION: Mapping[str, tuple[str, str]] = {
    "containerd": ("containerd", "containerd"),
    "crio": ("cri-o", "crio"),
    "docker": ("docker", "docker"),
}

# Path → arguments that make it tell its version, and the component whose version that is.
_PROGRAMS: Mapping[Group, Mapping[str, tuple[str, str]]] = {
    "etcd": {
        f"{BIN}/etcd": ("--version", "etcd"),
        f"{BIN}/etcdctl": ("version", "etcd"),
        f"{BIN}/etcdutl": ("version", "etcd"),
    },
    "control_plane": {
        f"{BIN}/kube-apiserver": ("--version", "kubernetes"),
        f"{BIN}/kube-controller-manager": ("--version", "kubernetes"),
        f"{BIN}/kube-scheduler": ("--version", "kubernetes"),
        f"{BIN}/kubectl": ("version --client", "kubernetes"),
    },
}
_NODE_PROGRAMS: Mapping[str, tuple[str, str]] = {
    f"{BIN}/kubelet": ("--version", "kubernetes"),
    f"{BIN}/kube-proxy": ("--version", "kubernetes"),
    f"{BIN}/runc": ("--version", "runc"),
    **{f"{CNI}/{plugin}": ("", "cni-plugins") for plugin in ("bridge", "loopback", "host-local", "portmap")},
}

_RUNTIME_PROGRAMS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "containerd": {f"{BIN}/containerd": ("--version", "containerd")},
    "crio": {f"{BIN}/crio": ("--version", "crio")},
    "docker": {
        f"{BIN}/dockerd": ("--version", "docker"),
        f"{BIN}/cri-dockerd": ("--version", "cri-dockerd"),
        f"{BIN}/containerd": ("--version", "containerd"),
    },
}

_KUBERNETES = "/etc/kubernetes"
_CERTIFICATES: Mapping[Group, tuple[str, ...]] = {
    "etcd": ("/etc/etcd/pki/server", "/etc/etcd/pki/peer", "/etc/etcd/pki/healthcheck-client"),
    "control_plane": (
        *(
            f"{_KUBERNETES}/kube-apiserver/{name}"
            for name in ("serving", "kubelet-client", "etcd-client", "front-proxy-client")
        ),
        *(
            f"{_KUBERNETES}/{user}/{name}"
            for user in ("kube-controller-manager", "kube-scheduler")
            for name in ("client", "serving")
        ),
    ),
}
_NODE_CERTIFICATES = tuple(f"{_KUBERNETES}/pki/{name}" for name in ("kubelet", "kubelet-client", "kube-proxy"))

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
_LOGGING_UNITS = ("kprov-journal", "kprov-logs")
_LOGGING_PRIVATE = ("/etc/kprov-logging/password", "root")
# What comes with the add-on monitoring.
_MONITORED_UNITS = ("kprov-metrics-proxy", "kprov-node-exporter")
_METRICS_PROXY_CERTIFICATE = f"{_KUBERNETES}/pki/metrics-proxy"
_CONTAINERD_METRICS, _NODE_EXPORTER = 1338, 19100

# Ports that nobody but the host itself may reach, and those that others need.
_LOOPBACK: Mapping[Group, tuple[int, ...]] = {"etcd": (2381,), "control_plane": (10257, 10259)}
_NODE_LOOPBACK = (10248, 10249)
API_PROXY = 6444
PUBLIC: Mapping[str, frozenset[int]] = {
    "etcd": frozenset({2379, 2380}),
    "kube-apiserver": frozenset({6443}),
    "kube-controller": frozenset(),  # the kernel keeps 15 characters of a name
    "kube-scheduler": frozenset(),
    "kubelet": frozenset({10250}),
    "kube-proxy": frozenset({10256}),
    "containerd": frozenset(),
    "crio": frozenset(),
    "dockerd": frozenset(),
    "vlagent": frozenset(),
    "cri-dockerd": frozenset(),
}
READ_ONLY_KUBELET = 10255

_SYSCTLS: Mapping[str, str] = {"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"}
_KERNEL_DEFAULTS: Mapping[str, str] = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
}
LEAST_SYSCTLS: Mapping[str, int] = {"fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}

# Flags of kube-apiserver that must be as written, whatever else an inventory adds (CIS 1.2).
API_FLAGS: Mapping[str, str] = {
    "authorization-mode": "Node,RBAC",
    "profiling": "false",
    "service-account-lookup": "true",
    "tls-min-version": "VersionTLS12",
}
API_FLAGS_SET = ("encryption-provider-config", "audit-log-path", "audit-policy-file", "authentication-config")


def units(cluster: Cluster, host: Host) -> Iterable[str]:
    """Names of services, without suffix."""
    yield from (unit for group, found in _UNITS.items() if group in host.groups for unit in found)
    if host.is_node:
        yield from _RUNTIME_UNITS[host.runtime]
        yield from _NODE_UNITS
        if cluster.network.mode in ("routed", "vxlan"):
            yield _NETWORK_UNIT
        if cluster.api_endpoint is None:
            yield "kube-api-proxy"
    if cluster.addon("logging"):
        yield from _LOGGING_UNITS
    if cluster.addon("monitoring"):
        yield from _MONITORED_UNITS


def programs(cluster: Cluster, host: Host) -> Mapping[str, tuple[str, str]]:
    found = {path: how for group, all_of in _PROGRAMS.items() if group in host.groups for path, how in all_of.items()}
    return {**found, **_NODE_PROGRAMS, **_RUNTIME_PROGRAMS[host.runtime]} if host.is_node else found


def certificates(cluster: Cluster, host: Host) -> Iterable[str]:
    """Paths without suffix: `.crt` and `.key` belong to each."""
    yield from (path for group, found in _CERTIFICATES.items() if group in host.groups for path in found)
    yield from _NODE_CERTIFICATES if host.is_node else ()
    if cluster.addon("monitoring"):
        yield _METRICS_PROXY_CERTIFICATE


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
    yield from (port for group, found in _LOOPBACK.items() if group in host.groups for port in found)
    if host.is_node:
        yield from _NODE_LOOPBACK
        if cluster.api_endpoint is None:
            yield API_PROXY
        if cluster.addon("monitoring") and host.runtime == "containerd":
            yield _CONTAINERD_METRICS
    if cluster.addon("monitoring"):
        yield _NODE_EXPORTER


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
