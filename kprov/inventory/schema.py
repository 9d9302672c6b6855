"""The keys of an inventory with their types, bounds and meaning: the one source of validation, editor schema and docs.

Shape only: what depends on several values is in `checks`, defaults of the cluster are those of `kprov.values.model`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kprov.inventory.api_keys import AdmissionKeys, AuditKeys, AuthenticationKeys, AuthorizationKeys, EncryptionKeys
from kprov.inventory.backup_keys import BackupKeys
from kprov.inventory.cloud_keys import CloudKeys
from kprov.inventory.fields import (
    Address,
    CheckName,
    DnsLabel,
    DnsName,
    Endpoint,
    FlagName,
    FlagValue,
    HostKey,
    HostName,
    JumpHosts,
    LabelKey,
    LabelValue,
    Mirror,
    Network,
    NodeAddress,
    PathText,
    ProviderId,
    ServiceAddress,
    TaintText,
    UserName,
    Version,
)
from kprov.inventory.keys import Keys, Reference
from kprov.inventory.network_keys import NetworkEntry, NetworkKeys
from kprov.inventory.pki_keys import PkiKeys
from kprov.inventory.runtime_fields import HandlerName, RuntimeName
from kprov.inventory.runtime_keys import HandlerKeys, RegistryKeys
from kprov.values.effect import drains, fixed, free, procedure, restarts
from kprov.values.model import Component, Group

Part = Literal[
    "etcd", "containerd", "runc", "cni-plugins", "coredns", "pause", "docker", "cri-dockerd", "crio", "cri-tools"
]


class HostVariables(Keys):
    """What may be set for all hosts (under `cluster`), for a group, and for one host; the nearest to the host wins."""

    user: UserName | None = Field(
        default=None, description="SSH user; default: what ssh_config says, else your name.", json_schema_extra=free()
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="SSH port; default: what ssh_config says, or 22.",
        json_schema_extra=free(),
    )
    key: PathText | None = Field(
        default=None,
        description="Private SSH key of the operator: a path, relative to the inventory's folder, or with `~`; "
        "default: the agent and what ssh_config says.",
        json_schema_extra=free(),
    )
    jump: JumpHosts | None = Field(
        default=None,
        description="Jump hosts: `[USER@]HOST[:PORT]`, several as a list or with commas, the first first; default: what "
        "ssh_config says; `none` for none.",
        json_schema_extra=free(),
    )
    become: bool | None = Field(
        default=None,
        description="Whether to use sudo when the SSH user is not root; default: true.",
        json_schema_extra=free(),
    )
    password: Reference | None = Field(
        default=None,
        description="SSH password, as a reference: `{env: NAME}` or `{file: PATH}`.",
        json_schema_extra=free(),
    )
    become_password: Reference | None = Field(
        default=None,
        description="Password for sudo, as a reference: `{env: NAME}` or `{file: PATH}`.",
        json_schema_extra=free(),
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Node labels; those of cluster, group and host are put together.",
        json_schema_extra=free(
            "pods that run are not moved; those that ask for a label that is gone end when their node's kubelet starts next"
        ),
    )
    taints: list[TaintText] = Field(
        default_factory=list,
        description="Node taints, each `KEY=VALUE:EFFECT` or `KEY:EFFECT`; those of cluster, group and host are put "
        "together. Control planes that are not workers get node-role.kubernetes.io/control-plane:NoSchedule besides.",
        json_schema_extra=free("NoExecute evicts pods that do not tolerate it"),
    )
    runtime: RuntimeName | None = Field(
        default=None,
        description="What runs containers on a node; default: containerd. A changed runtime is swapped with the node "
        "drained; see docs/runtimes.md.",
        json_schema_extra=drains(
            "kubelet", "the old and the new runtime", note="images and containers of the old one are removed"
        ),
    )
    handlers: dict[HandlerName, HandlerKeys] = Field(
        default_factory=dict,
        description="OCI runtimes besides runc, by name; kprov makes a RuntimeClass of that name, which leads pods to the "
        "nodes that have it.",
        json_schema_extra=restarts("containerd", note="containers go on; another runtime restarts likewise"),
    )
    restrict_oom_score_adj: bool | None = Field(
        default=None,
        description="Let no container have a lower OOM score than its runtime, whatever kubelet asks for. Needed where "
        "CAP_SYS_RESOURCE is missing, as in machines inside containers: no pod starts there otherwise.",
        json_schema_extra=restarts("the runtime", note="containers go on; for pods that start from then on"),
    )
    kubelet: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of KubeletConfiguration (kubelet.config.k8s.io/v1beta1), laid over kprov's own.",
        json_schema_extra=restarts(
            "kubelet",
            note="containers go on. Less room for pods (fewer of them, more reserved or kept free), policies of the CPU, "
            "memory and topology managers, and the root of cgroups: the node is drained first, as kubelet would end what "
            "does not fit any more; its managers begin with new state files",
        ),
    )
    kube_proxy: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1), laid over kprov's own.",
        json_schema_extra=restarts("kube-proxy", note="connections go on"),
    )
    kube_scheduler: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), laid over kprov's own.",
        json_schema_extra=restarts("kube-scheduler", note="new pods wait for a moment"),
    )
    containerd: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of containerd's configuration, laid over kprov's own: what stands at the top of its file "
        "(`plugins`, `debug`, `timeouts` …), and everything else in the CRI's runtime table.",
        json_schema_extra=restarts("containerd", note="containers go on"),
    )
    extra_args: dict[Component, dict[FlagName, FlagValue]] = Field(
        default_factory=dict,
        description="Command line flags by component, without `--`, laid over kprov's own; a list is joined, or repeats a "
        "flag that does not split. Flags that the version does not have, and those which kprov must set itself, are refused.",
        json_schema_extra=restarts(
            "the component",
            note="flags that say where data is are fixed (etcd: wal-dir, force-new-cluster; "
            "kube-apiserver: etcd-prefix, etcd-servers-overrides; kubelet: root-dir; containerd: root, state): "
            "take the host out with `kprov down --limit HOST`, then `kprov up`",
        ),
    )


class ArtifactKeys(Keys):
    """Delivery and origin of binaries and images."""

    delivery: Literal["auto", "push", "download"] = Field(
        default="auto",
        description="`auto`: each host downloads what it can reach, the rest is pushed over SSH; "
        "`push`: all over SSH; `download`: hosts download every program, or the run is refused.",
        json_schema_extra=free(),
    )
    mirror: Mirror | None = Field(
        default=None,
        description="Base URL that replaces the scheme and host of upstream URLs, or of a folder that "
        "`kprov artifacts mirror` filled.",
        json_schema_extra=free(),
    )
    source: Literal["auto", "upstream", "modules"] = Field(
        default="auto",
        description="`upstream`: published binaries; `modules`: built from pinned Go modules; `auto`: upstream, "
        "and modules where upstream cannot be reached.",
        json_schema_extra=drains(
            "every component", note="other binaries of the same versions take the place of those that run"
        ),
    )
    sources: dict[str, Literal["upstream", "modules"]] = Field(
        default_factory=dict,
        description="The same for single components, by name, as `kprov artifacts list` shows them: "
        "`{cri-dockerd: upstream}` in a cluster whose `source` is `modules`.",
        json_schema_extra=drains(
            "the component", note="another binary of the same version takes the place of the one that runs"
        ),
    )
    compress: bool = Field(
        default=True,
        description="Pushed binaries and images go as gzip, about a third of their size. `false` is faster where "
        "the network to each host carries more than about 1 Gbit/s, as on one computer.",
        json_schema_extra=free(),
    )


class UpgradeKeys(Keys):
    """How nodes are upgraded."""

    drain: bool = Field(
        default=True,
        description="Whether a node is cordoned and drained before its kubelet gets another minor version or its "
        "runtime is replaced, and uncordoned afterwards. A cluster of one node is never drained.",
        json_schema_extra=free(),
    )
    max_unavailable: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How many nodes are drained at the same time; the first one goes alone.",
        json_schema_extra=free(),
    )
    drain_timeout: int = Field(
        default=300,
        ge=10,
        le=1500,
        description="Seconds that pods and their disruption budgets have to leave a node. When they are over, the run "
        "stops with that node cordoned and otherwise as it was.",
        json_schema_extra=free(),
    )


class CorednsKeys(Keys):
    """Settings of CoreDNS."""

    replicas: int = Field(default=2, ge=1, le=50, description="Number of CoreDNS pods.", json_schema_extra=free())


class EtcdKeys(Keys):
    """Limits and timers of etcd."""

    quota_bytes: int = Field(
        default=8 * 2**30,
        ge=2**26,
        le=2**34,
        description="Size of the database at which etcd refuses writes, in bytes.",
        json_schema_extra=restarts("etcd", note="one member after the other"),
    )
    heartbeat_ms: int = Field(
        default=100,
        ge=10,
        le=5000,
        description="Time between a leader's heartbeats, in ms.",
        json_schema_extra=restarts("etcd", note="one member after the other"),
    )
    election_ms: int = Field(
        default=1000,
        ge=100,
        le=50000,
        description="Time without heartbeats after which members elect, in ms.",
        json_schema_extra=restarts("etcd", note="one member after the other"),
    )


class ClusterKeys(HostVariables):
    """The cluster's settings, and variables for all its hosts."""

    name: DnsLabel = Field(
        description="Name of the cluster; kprov keeps its state under this name.",
        json_schema_extra=fixed(
            "write the old name; another name is another cluster, made on other hosts or after `kprov down`"
        ),
    )
    kubernetes: Version | None = Field(
        default=None,
        description='Kubernetes version, in quotes: a minor version ("1.37": the patch kprov knows) or a full one; '
        "default: the newest minor version kprov knows.",
        json_schema_extra=drains(
            "every component", note="one minor version at a time, never back; see docs/upgrades.md"
        ),
    )
    versions: dict[Part, Version] = Field(
        default_factory=dict,
        description="Versions of other parts, in quotes; default: those that fit Kubernetes'.",
        json_schema_extra=drains(
            "the component", note="etcd and CoreDNS are not drained for; never back by a minor version of etcd"
        ),
    )
    domain: DnsName = Field(
        default="cluster.local",
        description="DNS domain of the cluster.",
        json_schema_extra=fixed(
            "write the old domain; pods and tokens that exist have it. Build a second cluster and move there"
        ),
    )
    pod_cidr: Network = Field(
        default="10.244.0.0/16",
        validate_default=True,
        description="IPv4 network of all pods.",
        json_schema_extra=fixed(
            "write the old network; with routed and vxlan it may become larger or smaller around the networks of nodes"
        ),
    )
    pod_cidr_node_prefix: int = Field(
        default=24,
        ge=9,
        le=28,
        description="Prefix length of each node's part of `pod_cidr`.",
        json_schema_extra=free("for nodes that join from now on; nodes keep their networks"),
    )
    service_cidr: Network = Field(
        default="10.96.0.0/16",
        validate_default=True,
        description="IPv4 network of service addresses, /12 to /28.",
        json_schema_extra=fixed(
            "write the old network; Services that exist have addresses of it. Build a second cluster and move there"
        ),
    )
    dns_ip: ServiceAddress | None = Field(
        default=None,
        description="Service address of cluster DNS; default: the tenth of `service_cidr`.",
        json_schema_extra=fixed("write the old address; pods that exist ask it"),
    )
    api_endpoint: Endpoint | None = Field(
        default=None,
        description="`HOST:PORT` of a load balancer or virtual IP in front of the API servers; "
        "default: a local proxy on each host.",
        json_schema_extra=restarts("kubelet", "kube-proxy", note="one node first, then the others"),
    )
    api_sans: list[Address] = Field(
        default_factory=list,
        description="More names and addresses in the API servers' certificates.",
        json_schema_extra=free(
            "the API servers reload their certificates; clients that ask by a name that is taken out trust them no more"
        ),
    )
    network: NetworkEntry = Field(
        default_factory=NetworkKeys,
        description="The pod network: its mode alone (`network: vxlan`), or a mapping with its settings.",
    )
    kube_proxy_mode: Literal["auto", "nftables", "iptables"] = Field(
        default="auto",
        description="How kube-proxy programs the kernel; `auto`: nftables where kernel and nft allow.",
        json_schema_extra=restarts("kube-proxy", "kprov-network", note="connections through Services may break"),
    )
    swap: Literal["off", "keep"] = Field(
        default="off",
        description="`off`: swap is switched off for good (taken out of `/etc/fstab`, `swap.target` masked for zram and "
        "partitions that systemd finds by itself); `keep`: it is left as it is.",
        json_schema_extra=restarts("kubelet"),
    )
    allow_cgroup_v1: bool = Field(
        default=False,
        description="Whether hosts with cgroup v1 are taken; Kubernetes is about to drop it.",
        json_schema_extra=restarts("kubelet"),
    )
    pki: PkiKeys = Field(default_factory=PkiKeys, description="Certificates: algorithm and lifetimes.")
    artifacts: ArtifactKeys = Field(default_factory=ArtifactKeys, description="Where binaries and images come from.")
    registry: RegistryKeys = Field(
        default_factory=RegistryKeys, description="Mirrors, CAs and credentials for pulls of images."
    )
    upgrade: UpgradeKeys = Field(default_factory=UpgradeKeys, description="Draining of nodes that are upgraded.")
    backup: BackupKeys = Field(default_factory=BackupKeys, description="Where backups go, and who may open them.")
    coredns: CorednsKeys = Field(default_factory=CorednsKeys, description="Cluster DNS.")
    etcd: EtcdKeys = Field(default_factory=EtcdKeys, description="Tuning of etcd.")
    authentication: AuthenticationKeys = Field(
        default_factory=AuthenticationKeys, description="Single sign-on, and requests of nobody."
    )
    authorization: AuthorizationKeys = Field(
        default_factory=AuthorizationKeys, description="Who is asked besides Node and RBAC."
    )
    audit: AuditKeys = Field(default_factory=AuditKeys, description="Audit: policy, log, webhook.")
    admission: AdmissionKeys = Field(
        default_factory=AdmissionKeys, description="What is refused although it is allowed: Pod Security, plugins."
    )
    encryption: EncryptionKeys = Field(default_factory=EncryptionKeys, description="Encryption of what is in etcd.")
    scheduler: dict[str, Any] = Field(
        default_factory=dict,
        description="A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) for all schedulers, laid over kprov's "
        "own; `kube_scheduler` of a group or host is laid over it.",
        json_schema_extra=restarts("kube-scheduler", note="one host after the other; new pods wait for a moment"),
    )
    cloud: CloudKeys | None = Field(
        default=None,
        description="The cloud that the machines are of: nodes are registered with it by a cloud controller, which "
        "gives them addresses, zone and type, and Services load balancers.",
    )
    addons: dict[DnsLabel, bool | dict[str, Any]] = Field(
        default_factory=dict,
        description="Add-ons by name: `true`, `false`, or a mapping of parameters; `kprov addons list` shows them. Your "
        "own are folders in `addons/` beside the inventory.",
        json_schema_extra=free(
            "add-ons come and go; each parameter says below what it means. What holds data stays until --delete-data"
        ),
    )
    preflight_ignore: list[CheckName] = Field(
        default_factory=list,
        description="Names of preflight checks whose findings do not stop a run.",
        json_schema_extra=free(),
    )


class HostKeys(HostVariables):
    """One host: where it is, what it does, and its own variables."""

    address: Address = Field(
        description="IPv4 address or DNS name that SSH connects to.",
        json_schema_extra=free("where node_ip is not written, it is what node_ip says of itself"),
    )
    groups: list[Group] | None = Field(
        default=None,
        description="Groups of the host; default: worker alone.",
        json_schema_extra=procedure(
            "a group more: what it needs is started there, etcd members join one by one. etcd or control_plane less: "
            "taken away there, members leave one by one. No longer a node: `kprov down --limit HOST` with the old groups, "
            "then `kprov up`"
        ),
    )
    group: Group | None = Field(
        default=None, description="Short for `groups` with one entry.", json_schema_extra=procedure("as `groups`")
    )
    host_key: HostKey | None = Field(
        default=None, description="The host's SSH key, `TYPE BASE64`; wins over known_hosts.", json_schema_extra=free()
    )
    provider_id: ProviderId | None = Field(
        default=None,
        description="What the cloud calls this machine, such as `aws:///eu-central-1a/i-0123456789abcdef0`; needed where "
        "its controller does not find it by the node's name. It cannot be changed while the node exists.",
        json_schema_extra=fixed("`kprov down --limit HOST`, then write the other ID and run `kprov up`"),
    )
    node_ip: NodeAddress | None = Field(
        default=None,
        description="Address other hosts know this one by; default: `address` when the host owns it, "
        "else the address of its default route.",
        json_schema_extra=restarts(
            "kubelet",
            "kube-apiserver",
            "kprov-network",
            note="fixed for members of etcd, which know each other by it: "
            "`kprov down --limit HOST` with the old address, then write the new one and run `kprov up`",
        ),
    )
    pod_cidr: Network | None = Field(
        default=None,
        description="The node's part of the cluster's `pod_cidr`; default: kprov assigns one and keeps it.",
        json_schema_extra=fixed("`kprov down --limit HOST`, then write the other network and run `kprov up`"),
    )


def _address_alone(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


HostEntry = Annotated[HostKeys, BeforeValidator(_address_alone, json_schema_input_type=str | HostKeys)]


class Inventory(Keys):
    """An inventory of kprov: one cluster."""

    cluster: ClusterKeys = Field(description="Settings of the cluster, and variables for all hosts.")
    groups: dict[Group, HostVariables] = Field(
        default_factory=dict, description="Variables for the hosts of a group; they win over those of `cluster`."
    )
    hosts: dict[HostName, HostEntry] = Field(
        description="Hosts by node name: `NAME: ADDRESS` for a worker, or `NAME: {address: …, groups: […]}`. "
        "When no host is in the group etcd, the control planes are etcd's members.",
        json_schema_extra=procedure(
            "a host more joins. Less: `kprov down --limit HOST` first, then take it out. Another name: the same, then "
            "write it under the new name and run `kprov up`"
        ),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an inventory, for editors; every key has a description."""
    schema = _without_null(Inventory.model_json_schema(mode="validation"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_null(schema: Any) -> Any:
    """Leave out `null`, which is how the models say "not written": a key without a value is a mistake in a file."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema if item != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _without_null(value) for key, value in schema.items() if (key, value) != ("default", None)}
    choices = plain.get("anyOf", ())
    if len(choices) == 1:
        del plain["anyOf"]
        plain = {**choices[0], **plain}
    return plain
