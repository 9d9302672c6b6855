"""Flags that an inventory may not set, since kprov's own files, gates and other parts of the cluster rely on them.

A table of component → patterns of names, each with the sentence that says why and what to do instead. Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Flags that are not the user's: shell patterns, why, and the way there is."""

    flags: tuple[str, ...]
    why: str
    todo: str = "remove it"

    def has(self, flag: str) -> bool:
        """Return whether this flag is one of them."""
        return any(fnmatchcase(flag, pattern) for pattern in self.flags)


_OWN_FILES = "it names files that kprov makes, renews and records"
_PORTS = "health gates, metrics and the other components reach it at the address and port that kprov sets"
_ENDS = "the program would print something and end, so that its unit never runs"
_ADDRESS = Taken(flags=("master",), why="the API server's address stands in the kubeconfig that kprov writes")
_PRINTS = Taken(flags=("version", "help"), why=_ENDS)
_AUTHENTICATION = (
    "kprov gives kube-apiserver an AuthenticationConfiguration (--authentication-config), and kube-apiserver does not "
    "start with both"
)

TAKEN: Mapping[str, tuple[Taken, ...]] = {
    "etcd": (
        Taken(
            flags=("data-dir",),
            why="the unit may write below /var/lib/etcd alone, and disk checks, snapshots and `kprov down` look there",
        ),
        Taken(
            flags=("name", "initial-*", "advertise-client-urls", "listen-client-urls", "listen-peer-urls"),
            why="membership, certificates and API servers rely on the names and addresses that kprov gives members",
        ),
        Taken(
            flags=("listen-metrics-urls", "listen-client-http-urls"),
            why="health gates and metrics ask where kprov lets etcd listen",
        ),
        Taken(flags=("discovery", "discovery-*"), why="kprov joins members itself, and etcd takes one way alone"),
        Taken(
            flags=("force-new-cluster", "strict-reconfig-check"),
            why="it lets a member leave the cluster's quorum behind",
            todo="remove it; kprov adds and removes members itself",
        ),
        Taken(
            flags=(
                "cert-file",
                "key-file",
                "trusted-ca-file",
                "client-cert-auth",
                "peer-cert-file",
                "peer-key-file",
                "peer-trusted-ca-file",
                "peer-client-cert-auth",
                "auto-tls",
                "peer-auto-tls",
            ),
            why=_OWN_FILES + ": every certificate is of the cluster's own etcd CA",
        ),
        Taken(flags=("config-file",), why="etcd ignores all flags beside a configuration file, kprov's among them"),
        Taken(
            flags=("quota-backend-bytes",),
            why="it has a key of its own",
            todo="write `etcd: {quota_bytes: …}` under `cluster`",
        ),
        Taken(
            flags=("heartbeat-interval",),
            why="it has a key of its own",
            todo="write `etcd: {heartbeat_ms: …}` under `cluster`",
        ),
        Taken(
            flags=("election-timeout",),
            why="it has a key of its own",
            todo="write `etcd: {election_ms: …}` under `cluster`",
        ),
        _PRINTS,
    ),
    "kube-apiserver": (
        Taken(
            flags=("oidc-*",),
            why=_AUTHENTICATION,
            todo="write the issuer under `authentication: {jwt: […]}` of `cluster`",
        ),
        Taken(
            flags=("anonymous-auth",),
            why=_AUTHENTICATION + "; there, anonymous requests are allowed for health checks alone",
            todo="write `authentication: {anonymous: …}` under `cluster`",
        ),
        Taken(
            flags=("authentication-config", "authentication-token-webhook-*"),
            why="kprov writes this file itself: health checks without a user depend on it",
            todo="write `authentication` under `cluster`",
        ),
        Taken(
            flags=(
                "authorization-config",
                "authorization-mode",
                "authorization-webhook-*",
                "authorization-policy-file",
            ),
            why="Node and RBAC come first for kubelets, kprov and add-ons, and webhooks have a key of their own",
            todo="write `authorization: {authorizers: […]}` under `cluster`",
        ),
        Taken(
            flags=("audit-policy-file", "audit-log-*", "audit-webhook-*"),
            why="it has a key of its own",
            todo="write `audit: {policy: …, log: …, webhook: …}` under `cluster`",
        ),
        Taken(
            flags=("admission-control-config-file", "enable-admission-plugins", "disable-admission-plugins"),
            why="it has a key of its own",
            todo="write `admission: {plugins: …, enable: […], disable: […]}` under `cluster`",
        ),
        Taken(
            flags=("etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile"),
            why="kprov runs etcd and knows its members",
        ),
        Taken(
            flags=(
                "client-ca-file",
                "tls-cert-file",
                "tls-private-key-file",
                "kubelet-certificate-authority",
                "kubelet-client-certificate",
                "kubelet-client-key",
                "proxy-client-cert-file",
                "proxy-client-key-file",
                "requestheader-*",
                "service-account-key-file",
                "service-account-signing-key-file",
                "service-account-signing-endpoint",
            ),
            why=_OWN_FILES,
        ),
        Taken(
            flags=("encryption-provider-config*",),
            why="kprov writes this file and keeps its key: without it no Secret of the cluster can be read",
            todo="write `encryption: {resources: […], providers: […]}` under `cluster`",
        ),
        Taken(
            flags=("service-cluster-ip-range",),
            why="it has a key of its own",
            todo="write `service_cidr` under `cluster`",
        ),
        Taken(
            flags=("bind-address", "secure-port", "permit-*-sharing", "advertise-address"),
            why=_PORTS + ": 6443 of the node's address and of 127.0.0.1",
        ),
        _PRINTS,
    ),
    "kube-controller-manager": (
        Taken(
            flags=(
                "kubeconfig",
                "authentication-kubeconfig",
                "authorization-kubeconfig",
                "client-ca-file",
                "tls-cert-file",
                "tls-private-key-file",
                "root-ca-file",
                "service-account-private-key-file",
                "requestheader-*",
            ),
            why=_OWN_FILES,
        ),
        Taken(
            flags=("cluster-signing-*",),
            why="keys of CAs are never on a host: kprov issues certificates itself",
        ),
        Taken(
            flags=("cloud-provider", "cloud-config"),
            why="it has a key of its own",
            todo="write `cloud` under `cluster`",
        ),
        Taken(
            flags=("allocate-node-cidrs", "cidr-allocator-type", "cluster-cidr", "node-cidr-mask-size*"),
            why="kprov gives every node its part of the pod network itself",
            todo="write `pod_cidr` and `pod_cidr_node_prefix` under `cluster`",
        ),
        Taken(
            flags=("service-cluster-ip-range",),
            why="it has a key of its own",
            todo="write `service_cidr` under `cluster`",
        ),
        Taken(flags=("bind-address", "secure-port"), why=_PORTS + ": 127.0.0.1, port 10257"),
        Taken(
            flags=("leader-elect",), why="without it, the controllers of every control plane would act at the same time"
        ),
        Taken(
            flags=("use-service-account-credentials",),
            why="the rights of each controller are bound to its own service account",
        ),
        _ADDRESS,
        _PRINTS,
    ),
    "kube-scheduler": (
        Taken(
            flags=("config",),
            why="kprov writes this file itself",
            todo="write the settings under `scheduler` of `cluster`, or `kube_scheduler`",
        ),
        Taken(
            flags=(
                "kubeconfig",
                "authentication-kubeconfig",
                "authorization-kubeconfig",
                "client-ca-file",
                "tls-cert-file",
                "tls-private-key-file",
                "requestheader-*",
            ),
            why=_OWN_FILES,
        ),
        Taken(flags=("bind-address", "secure-port"), why=_PORTS + ": 127.0.0.1, port 10259"),
        Taken(
            flags=("leader-elect",), why="without it, the schedulers of every control plane would act at the same time"
        ),
        Taken(flags=("write-config-to",), why=_ENDS),
        _ADDRESS,
        _PRINTS,
    ),
    "kubelet": (
        Taken(flags=("config",), why="kprov writes this file itself", todo="write the settings under `kubelet`"),
        Taken(
            flags=("kubeconfig", "bootstrap-kubeconfig", "cert-dir"),
            why="kprov issues kubelets' certificates itself, and renews them in the files that it writes",
        ),
        Taken(
            flags=("cloud-provider", "cloud-config"),
            why="it has a key of its own",
            todo="write `cloud` under `cluster`",
        ),
        Taken(flags=("provider-id",), why="it has a key of its own", todo="write `provider_id` at the host"),
        Taken(flags=("hostname-override",), why="a node is called what its host is called in the inventory"),
        Taken(flags=("node-ip",), why="it has a key of its own", todo="write `node_ip` at the host"),
        Taken(
            flags=("node-labels",),
            why="kprov makes the Node before its kubelet comes, so that this would have no effect",
            todo="write `labels`",
        ),
        Taken(
            flags=("register-with-taints",),
            why="kprov makes the Node before its kubelet comes, so that this would have no effect",
            todo="write `taints`",
        ),
        Taken(
            flags=("container-runtime-endpoint", "image-service-endpoint"),
            why="it has a key of its own",
            todo="write `runtime`",
        ),
        _PRINTS,
    ),
    "kube-proxy": (
        Taken(flags=("config",), why="kprov writes this file itself", todo="write the settings under `kube_proxy`"),
        Taken(flags=("hostname-override",), why="a node is called what its host is called in the inventory"),
        Taken(flags=("cleanup", "init-only", "write-config-to"), why=_ENDS),
        _ADDRESS,
        _PRINTS,
    ),
    "containerd": (
        Taken(flags=("config",), why="kprov writes this file itself", todo="write the settings under `containerd`"),
        Taken(
            flags=("address",),
            why="kubelet, imports of images and health gates speak to the socket that kprov sets",
        ),
        _PRINTS,
    ),
    "crio": (Taken(flags=("config", "config-dir", "listen", "root", "runroot"), why=_OWN_FILES), _PRINTS),
    "dockerd": (
        Taken(flags=("config-file", "host", "containerd", "data-root", "exec-root"), why=_OWN_FILES),
        _PRINTS,
    ),
    "cri-dockerd": (
        Taken(
            flags=(
                "container-runtime-endpoint",
                "docker-endpoint",
                "cri-dockerd-root-directory",
                "network-plugin",
                "cni-bin-dir",
                "cni-conf-dir",
                "cni-cache-dir",
            ),
            why=_OWN_FILES,
        ),
        _PRINTS,
    ),
}
