"""Flags that an inventory may not set, since the rest of the cluster relies on what kprov writes there. Values only.

A table of component → names, each with the sentence that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Flags that are not the user's, why, and the way there is."""

    flags: tuple[str, ...]
    why: str
    todo: str = "remove it"


_OWN_FILES = "it names files that kprov makes, renews and records"
_PLACES = "kubelet, disk checks and `kprov down` look where kprov lets it live"

TAKEN: Mapping[str, tuple[Taken, ...]] = {
    "etcd": (
        Taken(flags=("data-dir",), why="the unit may write below /var/lib/etcd alone, and `kprov down` looks there"),
        Taken(
            flags=("name", "initial-cluster", "initial-cluster-state", "initial-advertise-peer-urls",
                   "advertise-client-urls", "listen-client-urls", "listen-peer-urls"),
            why="membership, certificates and API servers rely on the names and addresses that kprov gives members",
        ),
        Taken(
            flags=("cert-file", "key-file", "trusted-ca-file", "client-cert-auth", "peer-cert-file", "peer-key-file",
                   "peer-trusted-ca-file", "peer-client-cert-auth"),
            why=_OWN_FILES,
        ),
        Taken(flags=("config-file",), why="etcd ignores all flags beside a configuration file"),
    ),
    "kube-apiserver": (
        Taken(
            flags=("etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile"),
            why="kprov runs etcd and knows its members",
        ),
        Taken(
            flags=("client-ca-file", "tls-cert-file", "tls-private-key-file", "service-account-key-file",
                   "service-account-signing-key-file", "kubelet-certificate-authority", "kubelet-client-certificate",
                   "kubelet-client-key", "proxy-client-cert-file", "proxy-client-key-file",
                   "requestheader-client-ca-file"),
            why=_OWN_FILES,
        ),
        Taken(
            flags=("encryption-provider-config",),
            why="kprov keeps its key: without it no Secret of the cluster can be read",
        ),
        Taken(
            flags=("service-cluster-ip-range",), why="it has a key of its own",
            todo="write `service_cidr` under `cluster`",
        ),
        Taken(flags=("secure-port",), why="health gates, certificates and all clients use port 6443"),
    ),
    "kube-controller-manager": (
        Taken(flags=("kubeconfig", "service-account-private-key-file", "root-ca-file"), why=_OWN_FILES),
        Taken(flags=("cloud-provider",), why="it has a key of its own", todo="write `cloud` under `cluster`"),
        Taken(
            flags=("cluster-cidr",), why="kprov gives every node its part of the pod network itself",
            todo="write `pod_cidr` under `cluster`",
        ),
        Taken(
            flags=("service-cluster-ip-range",), why="it has a key of its own",
            todo="write `service_cidr` under `cluster`",
        ),
    ),
    "kube-scheduler": (Taken(flags=("kubeconfig",), why=_OWN_FILES),),
    "kubelet": (
        Taken(flags=("config",), why="kprov writes this file itself", todo="write the settings under `kubelet`"),
        Taken(flags=("kubeconfig",), why=_OWN_FILES),
        Taken(flags=("cloud-provider",), why="it has a key of its own", todo="write `cloud` under `cluster`"),
        Taken(flags=("provider-id",), why="it has a key of its own", todo="write `provider_id` at the host"),
        Taken(flags=("hostname-override",), why="a node is called what its host is called in the inventory"),
        Taken(flags=("node-ip",), why="it has a key of its own", todo="write `node_ip` at the host"),
        Taken(flags=("container-runtime-endpoint",), why="it has a key of its own", todo="write `runtime`"),
    ),
    "kube-proxy": (
        Taken(flags=("config",), why="kprov writes this file itself", todo="write the settings under `kube_proxy`"),
        Taken(flags=("hostname-override",), why="a node is called what its host is called in the inventory"),
    ),
    "containerd": (
        Taken(flags=("config",), why="kprov writes this file itself", todo="write the settings under `containerd`"),
    ),
    "crio": (
        Taken(flags=("config",), why="kprov writes this file itself"),
        Taken(flags=("listen", "root", "runroot"), why=_PLACES),
    ),
    "dockerd": (
        Taken(flags=("config-file",), why="kprov writes this file itself"),
        Taken(flags=("host", "containerd", "data-root", "exec-root"), why=_PLACES),
    ),
    "cri-dockerd": (
        Taken(flags=("container-runtime-endpoint", "docker-endpoint", "cri-dockerd-root-directory"), why=_PLACES),
        Taken(
            flags=("network-plugin", "cni-bin-dir", "cni-conf-dir", "cni-cache-dir"),
            why="kprov and the pod network put their files where they are",
        ),
    ),
}  # fmt: skip
