"""Fields of configuration documents that an inventory may not set, each with the reason and the way there is.

Paths below `kubelet`, `kube_proxy`, `kube_scheduler` and `containerd`. Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Field = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TakenField:
    """Fields that are not the user's, why, and what to do instead."""

    fields: tuple[Field, ...]
    why: str
    todo: str = "remove it"


RUNTIME = ("plugins", "io.containerd.cri.v1.runtime")
IMAGES = ("plugins", "io.containerd.cri.v1.images")

_IDENTITY = TakenField(fields=(("kind",), ("apiVersion",)), why="kprov writes this field itself")
_CERTIFICATES = "kprov issues certificates itself, and renews them in the files that it writes"
_GATE = "the health gate asks it at the address and port that kprov sets"

TAKEN_FIELDS: Mapping[str, tuple[TakenField, ...]] = {
    "kubelet": (
        _IDENTITY,
        TakenField(
            fields=(("tlsCertFile",), ("tlsPrivateKeyFile",), ("authentication", "x509", "clientCAFile")),
            why=_CERTIFICATES,
        ),
        TakenField(
            fields=(("rotateCertificates",), ("serverTLSBootstrap",)),
            why=_CERTIFICATES + "; kubelet would wait for a signer for ever",
        ),
        TakenField(fields=(("healthzPort",), ("healthzBindAddress",)), why=_GATE + ": 127.0.0.1, port 10248"),
        TakenField(
            fields=(("port",), ("address",), ("enableServer",)),
            why="API servers, metrics and firewalls expect it at port 10250 of the node's address",
        ),
        TakenField(
            fields=(("containerRuntimeEndpoint",), ("imageServiceEndpoint",)),
            why="it has a key of its own",
            todo="write `runtime`",
        ),
        TakenField(fields=(("cgroupDriver",),), why="kprov sets every runtime to systemd, and both must be the same"),
        TakenField(fields=(("clusterDomain",),), why="it has a key of its own", todo="write `domain` under `cluster`"),
        TakenField(fields=(("providerID",),), why="it has a key of its own", todo="write `provider_id` at the host"),
        TakenField(fields=(("podCIDR",),), why="it has a key of its own", todo="write `pod_cidr` at the host"),
        TakenField(
            fields=(("registerNode",), ("registerWithTaints",)),
            why="kprov makes the Node before its kubelet comes",
            todo="for taints, write `taints`",
        ),
    ),
    "kube_proxy": (
        _IDENTITY,
        TakenField(
            fields=(("mode",),),
            why="it has a key of its own: kprov chooses what kernel and nft can, and cleans up after the mode before",
            todo="write `kube_proxy_mode: nftables` or `iptables` under `cluster`",
        ),
        TakenField(fields=(("clientConnection", "kubeconfig"),), why="kprov writes this file itself"),
        TakenField(fields=(("clusterCIDR",),), why="it has a key of its own", todo="write `pod_cidr` under `cluster`"),
        TakenField(fields=(("hostnameOverride",),), why="a node is called what its host is called in the inventory"),
        TakenField(
            fields=(("healthzBindAddress",),), why=_GATE + ", and so do load balancers: port 10256 of every address"
        ),
        TakenField(fields=(("metricsBindAddress",),), why="metrics are read at 127.0.0.1, port 10249"),
        TakenField(fields=(("winkernel",),), why="nodes run Linux"),
    ),
    "kube_scheduler": (
        _IDENTITY,
        TakenField(fields=(("clientConnection", "kubeconfig"),), why="kprov writes this file itself"),
        TakenField(
            fields=(("leaderElection", "leaderElect"),),
            why="without it, the schedulers of every control plane would act at the same time",
        ),
    ),
    "containerd": (
        TakenField(
            fields=(("version",),), why="kprov writes version 3 of the file", todo="write settings of version 3"
        ),
        TakenField(
            fields=(("root",), ("state",), ("grpc", "address")),
            why="kubelet, disk checks, swaps of runtimes and `kprov down` look where kprov lets it live",
        ),
        TakenField(
            fields=((*IMAGES, "pinned_images", "sandbox"),),
            why="kprov puts the pause image there that it brings",
            todo="write `versions: {pause: …}` under `cluster`",
        ),
        TakenField(
            fields=((*IMAGES, "registry"),), why="it has a key of its own", todo="write `registry` under `cluster`"
        ),
        TakenField(
            fields=((*RUNTIME, "containerd", "runtimes"),),
            why="OCI runtimes have a key of their own",
            todo="write `handlers`",
        ),
        TakenField(
            fields=((*RUNTIME, "cni", "bin_dirs"), (*RUNTIME, "cni", "conf_dir"), (*RUNTIME, "cni", "bin_dir")),
            why="kprov puts the pod network's plugins and configuration there",
        ),
    ),
}


def taken_field(document: str, path: Field) -> TakenField | None:
    """Return the entry that this very field is in, or None."""
    return next((entry for entry in TAKEN_FIELDS.get(document, ()) if path in entry.fields), None)
