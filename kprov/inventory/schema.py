"""The keys of an inventory with their types, bounds and meaning: the one source of validation, editor schema and docs.

Shape only: what depends on several values is in `checks`, defaults of the cluster are those of `kprov.values.model`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

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
from kprov.inventory.runtime_fields import HandlerName, RuntimeName
from kprov.inventory.runtime_keys import HandlerKeys, RegistryKeys
from kprov.values.model import Component, Group

Part = Literal[
    "etcd", "containerd", "runc", "cni-plugins", "coredns", "pause", "docker", "cri-dockerd", "crio", "cri-tools"
]


class HostVariables(Keys):
    """What may be set for all hosts (under `cluster`), for a group, and for one host; the nearest to the host wins."""

    user: UserName | None = Field(default=None, description="SSH user; default: what ssh_config says, else your name.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="SSH port; default: what ssh_config says, or 22."
    )
    key: PathText | None = Field(
        default=None,
        description="Private SSH key of the operator: a path, relative to the inventory's folder, or with `~`; "
        "default: the agent and what ssh_config says.",
    )
    jump: JumpHosts | None = Field(
        default=None,
        description="Jump hosts: `[USER@]HOST[:PORT]`, several as a list or with commas, the first first; default: what "
        "ssh_config says; `none` for none.",
    )
    become: bool | None = Field(
        default=None, description="Whether to use sudo when the SSH user is not root; default: true."
    )
    password: Reference | None = Field(
        default=None, description="SSH password, as a reference: `{env: NAME}` or `{file: PATH}`."
    )
    become_password: Reference | None = Field(
        default=None, description="Password for sudo, as a reference: `{env: NAME}` or `{file: PATH}`."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Node labels; those of cluster, group and host are put together."
    )
    taints: list[TaintText] = Field(
        default_factory=list,
        description="Node taints, each `KEY=VALUE:EFFECT` or `KEY:EFFECT`; those of cluster, group and host are put "
        "together. Control planes that are not workers get node-role.kubernetes.io/control-plane:NoSchedule besides.",
    )
    runtime: RuntimeName | None = Field(
        default=None,
        description="What runs containers on a node; default: containerd. A changed runtime is swapped with the node "
        "drained; see docs/runtimes.md.",
    )
    handlers: dict[HandlerName, HandlerKeys] = Field(
        default_factory=dict,
        description="OCI runtimes besides runc, by name; kprov makes a RuntimeClass of that name, which leads pods to the "
        "nodes that have it.",
    )
    restrict_oom_score_adj: bool | None = Field(
        default=None,
        description="Let no container have a lower OOM score than its runtime, whatever kubelet asks for. Needed where "
        "CAP_SYS_RESOURCE is missing, as in machines inside containers: no pod starts there otherwise.",
    )
    kubelet: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of KubeletConfiguration (kubelet.config.k8s.io/v1beta1), laid over kprov's own.",
    )
    kube_proxy: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1), laid over kprov's own.",
    )
    containerd: dict[str, Any] = Field(
        default_factory=dict, description="Settings of containerd's configuration, laid over kprov's own."
    )
    extra_args: dict[Component, dict[FlagName, FlagValue]] = Field(
        default_factory=dict,
        description="Command line flags by component, without `--`, laid over kprov's own; flags which kprov must "
        "set itself are refused.",
    )


class PkiKeys(Keys):
    """Key algorithm and lifetimes."""

    algorithm: Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"] = Field(
        default="ecdsa-p256", description="Algorithm of all keys made from now on."
    )
    ca_days: int = Field(default=3650, ge=1, le=36500, description="Life of the certificate authorities, in days.")
    leaf_days: int = Field(default=365, ge=1, le=36500, description="Life of all other certificates, in days.")
    renew_before_days: int = Field(
        default=120, ge=0, le=36500, description="`kprov up` renews a certificate that lives fewer days than this."
    )


class ArtifactKeys(Keys):
    """Delivery and origin of programs and images."""

    delivery: Literal["auto", "push", "download"] = Field(
        default="auto",
        description="`auto`: each host downloads what it can reach, the rest is pushed over SSH; "
        "`push`: all over SSH; `download`: hosts download every program, or the run is refused.",
    )
    mirror: Mirror | None = Field(
        default=None,
        description="Base URL that replaces the scheme and host of upstream URLs, or of a folder that "
        "`kprov artifacts mirror` filled.",
    )
    source: Literal["auto", "upstream", "modules"] = Field(
        default="auto",
        description="`upstream`: published binaries; `modules`: built from pinned Go modules; `auto`: upstream, "
        "and modules where upstream cannot be reached.",
    )
    sources: dict[str, Literal["upstream", "modules"]] = Field(
        default_factory=dict,
        description="The same for single components, by name, as `kprov artifacts list` shows them: "
        "`{cri-dockerd: upstream}` in a cluster whose `source` is `modules`.",
    )
    compress: bool = Field(
        default=True,
        description="Pushed programs and images go as gzip, about a third of their size. `false` is faster where "
        "the network to each host carries more than about 1 Gbit/s, as on one computer.",
    )


class UpgradeKeys(Keys):
    """How nodes are upgraded."""

    drain: bool = Field(
        default=True,
        description="Whether a node is cordoned and drained before its kubelet gets another minor version or its "
        "runtime is replaced, and uncordoned afterwards. A cluster of one node is never drained.",
    )
    max_unavailable: int = Field(
        default=1, ge=1, le=100, description="How many nodes are drained at the same time; the first one goes alone."
    )
    drain_timeout: int = Field(
        default=300,
        ge=10,
        le=1500,
        description="Seconds that pods and their disruption budgets have to leave a node. When they are over, the run "
        "stops with that node cordoned and otherwise as it was.",
    )


class CorednsKeys(Keys):
    """Settings of CoreDNS."""

    replicas: int = Field(default=2, ge=1, le=50, description="Number of CoreDNS pods.")


class EtcdKeys(Keys):
    """Limits and timers of etcd."""

    quota_bytes: int = Field(
        default=8 * 2**30,
        ge=2**26,
        le=2**34,
        description="Size of the database at which etcd refuses writes, in bytes.",
    )
    heartbeat_ms: int = Field(default=100, ge=10, le=5000, description="Time between a leader's heartbeats, in ms.")
    election_ms: int = Field(
        default=1000, ge=100, le=50000, description="Time without heartbeats after which members elect, in ms."
    )


class ClusterKeys(HostVariables):
    """The cluster's settings, and variables for all its hosts."""

    name: DnsLabel = Field(description="Name of the cluster; kprov keeps its state under this name.")
    kubernetes: Version | None = Field(
        default=None,
        description='Kubernetes version, in quotes: a minor version ("1.37": the patch kprov knows) or a full one; '
        "default: the newest minor version kprov knows.",
    )
    versions: dict[Part, Version] = Field(
        default_factory=dict, description="Versions of other parts, in quotes; default: those that fit Kubernetes'."
    )
    domain: DnsName = Field(default="cluster.local", description="DNS domain of the cluster.")
    pod_cidr: Network = Field(default="10.244.0.0/16", validate_default=True, description="IPv4 network of all pods.")
    pod_cidr_node_prefix: int = Field(
        default=24, ge=9, le=28, description="Prefix length of each node's part of `pod_cidr`."
    )
    service_cidr: Network = Field(
        default="10.96.0.0/16", validate_default=True, description="IPv4 network of service addresses, /12 to /28."
    )
    dns_ip: ServiceAddress | None = Field(
        default=None, description="Service address of cluster DNS; default: the tenth of `service_cidr`."
    )
    api_endpoint: Endpoint | None = Field(
        default=None,
        description="`HOST:PORT` of a load balancer or virtual IP in front of the API servers; "
        "default: a local proxy on each host.",
    )
    api_sans: list[Address] = Field(
        default_factory=list, description="More names and addresses in the API servers' certificates."
    )
    network: NetworkEntry = Field(
        default_factory=NetworkKeys,
        description="The pod network: its mode alone (`network: vxlan`), or a mapping with its settings.",
    )
    kube_proxy_mode: Literal["auto", "nftables", "iptables"] = Field(
        default="auto", description="How kube-proxy programs the kernel; `auto`: nftables where kernel and nft allow."
    )
    swap: Literal["off", "keep"] = Field(
        default="off", description="`off`: swap is switched off for good; `keep`: it is left as it is."
    )
    allow_cgroup_v1: bool = Field(
        default=False, description="Whether hosts with cgroup v1 are taken; Kubernetes is about to drop it."
    )
    pki: PkiKeys = Field(default_factory=PkiKeys, description="Certificates: algorithm and lifetimes.")
    artifacts: ArtifactKeys = Field(default_factory=ArtifactKeys, description="Where programs and images come from.")
    registry: RegistryKeys = Field(
        default_factory=RegistryKeys, description="Mirrors, authorities and credentials for pulls of images."
    )
    upgrade: UpgradeKeys = Field(default_factory=UpgradeKeys, description="Draining of nodes that are upgraded.")
    coredns: CorednsKeys = Field(default_factory=CorednsKeys, description="Cluster DNS.")
    etcd: EtcdKeys = Field(default_factory=EtcdKeys, description="Tuning of etcd.")
    cloud: CloudKeys | None = Field(
        default=None,
        description="The cloud that the machines are of: nodes are registered with it by a cloud controller, which "
        "gives them addresses, zone and type, and Services load balancers.",
    )
    addons: dict[DnsLabel, bool | dict[str, Any]] = Field(
        default_factory=dict,
        description="Add-ons by name: `true`, `false`, or a mapping of parameters; `kprov addons list` shows them. Your "
        "own are folders in `addons/` beside the inventory.",
    )
    preflight_ignore: list[CheckName] = Field(
        default_factory=list, description="Names of preflight checks whose findings do not stop a run."
    )


class HostKeys(HostVariables):
    """One host: where it is, what it does, and its own variables."""

    address: Address = Field(description="IPv4 address or DNS name that SSH connects to.")
    groups: list[Group] | None = Field(default=None, description="Groups of the host; default: worker alone.")
    group: Group | None = Field(default=None, description="Short for `groups` with one entry.")
    host_key: HostKey | None = Field(
        default=None, description="The host's SSH key, `TYPE BASE64`; wins over known_hosts."
    )
    provider_id: ProviderId | None = Field(
        default=None,
        description="What the cloud calls this machine, such as `aws:///eu-central-1a/i-0123456789abcdef0`; needed where "
        "its controller does not find it by the node's name. It cannot be changed while the node exists.",
    )
    node_ip: NodeAddress | None = Field(
        default=None,
        description="Address other hosts know this one by; default: `address` when the host owns it, "
        "else the address of its default route.",
    )
    pod_cidr: Network | None = Field(
        default=None,
        description="The node's part of the cluster's `pod_cidr`; default: kprov assigns one and keeps it.",
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
        "When no host is in the group etcd, the control planes are etcd's members."
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
