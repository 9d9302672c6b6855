"""The cluster as frozen values: what an inventory means once it is validated, and what hosts told about themselves.

No I/O, no defaults that depend on a host, and nothing here is ever written back to: configuration (`Host`) and
observation (`Facts`) are different types on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from kprov.values.addon import Addon
from kprov.values.addresses import bare
from kprov.values.api_settings import ApiSettings
from kprov.values.backup_place import Address, S3Settings, SftpSettings
from kprov.values.certificate import Authority, OwnAuthority
from kprov.values.host_settings import HostSettings
from kprov.values.paths import KEPT_BACKUPS
from kprov.values.secret import Secret

Group = Literal["etcd", "control_plane", "worker"]
GROUPS: tuple[Group, ...] = ("etcd", "control_plane", "worker")

Component = Literal[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "containerd",
    "crio",
    "dockerd",
    "cri-dockerd",
]

NetworkMode = Literal["routed", "vxlan", "flannel", "calico", "cilium", "none"]
NETWORK_ADDONS: tuple[NetworkMode, ...] = ("flannel", "calico", "cilium")

PackageManager = Literal["apt", "dnf", "zypper", ""]  # empty: none that kprov knows

_EMPTY: Mapping[str, Any] = MappingProxyType({})


RUNC_SHIM = "io.containerd.runc.v2"


@dataclass(frozen=True, kw_only=True)
class Handler:
    """An OCI runtime besides runc. path: of the program, or of the shim when `type` is not runc's; options: the shim's."""

    path: str
    type: str = RUNC_SHIM
    options: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)


def pods_of(prefix: int) -> int:
    """How many pods a node's network of this prefix length holds: without its two ends, and the node's own address."""
    return (1 << (32 - prefix)) - 3


@dataclass(frozen=True, kw_only=True)
class Taint:
    """A node taint, as in core/v1."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a host is reached. `None` means: what ssh_config or its defaults say."""

    address: str
    port: int | None = None
    user: str | None = None
    key: Path | None = None
    jump: str | None = None
    host_key: str | None = None  # "ssh-ed25519 AAAA…", pinned in the inventory; wins over known_hosts
    become: bool = True  # use sudo when the user is not root
    password: Secret | None = None  # SSH password
    become_password: Secret | None = None


@dataclass(frozen=True, kw_only=True)
class Host:
    """One machine of the inventory, with group and cluster variables already merged in."""

    name: str  # node name: lower case, RFC 1123
    groups: frozenset[Group]
    connection: Connection
    node_ip: IPv4Address | None = None  # None: taken from facts (the address of the connection or of the default route)
    pod_cidr: IPv4Network | None = None  # None: kprov assigns one and keeps it
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    taints: tuple[Taint, ...] = ()
    provider_id: str = ""  # what the cloud calls this machine, such as aws:///eu-central-1a/i-0123456789abcdef0
    runtime: str = "containerd"  # a name of kprov.values.runtimes
    handlers: Mapping[str, Handler] = field(default_factory=lambda: _EMPTY)  # by name, which is its RuntimeClass's too
    restrict_oom_score_adj: bool = (
        False  # no process here may lower its score below its parent's, whatever a pod asks for
    )
    kubelet: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)  # KubeletConfiguration fields laid over kprov's
    kube_proxy: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)  # KubeProxyConfiguration fields, laid over
    kube_scheduler: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)  # KubeSchedulerConfiguration fields
    containerd: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)  # e.g. {"enable_selinux": True}
    # component → flag → value; several for a flag that is written once for each
    extra_args: Mapping[str, Mapping[str, str | tuple[str, ...]]] = field(default_factory=lambda: _EMPTY)

    def in_group(self, group: Group) -> bool:
        return group in self.groups

    @property
    def is_node(self) -> bool:
        """Whether a kubelet runs here: control planes and workers are nodes, hosts that are only etcd are not."""
        return bool(self.groups & {"control_plane", "worker"})


@dataclass(frozen=True, kw_only=True)
class CloudSettings:
    """The cloud that the machines are of; its controller is the add-on `cloud-PROVIDER`."""

    provider: str

    @property
    def addon(self) -> str:
        return f"cloud-{self.provider}"


@dataclass(frozen=True, kw_only=True)
class PkiSettings:
    """Key algorithm and lifetimes; `renew_before` is the remaining life, in days, under which `up` renews a leaf.

    authorities: the CAs that are the user's own.
    """

    algorithm: Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"] = "ecdsa-p256"
    ca_days: int = 3650
    leaf_days: int = 365
    renew_before_days: int = 120
    authorities: Mapping[Authority, OwnAuthority] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ArtifactSettings:
    """Where binaries and images come from.

    delivery: `auto` lets each host download what it can reach and pushes the rest; `push` and `download` force one way.
    mirror: base URL that replaces upstream's scheme and host, or None.
    source: `upstream`, or `modules` (built from pinned Go modules), or `auto` (upstream, else modules).
    sources: by component, for those that come from elsewhere than `source` says.
    compress: what is pushed goes as gzip, or else as it is.
    """

    delivery: Literal["auto", "push", "download"] = "auto"
    mirror: str | None = None
    source: Literal["auto", "upstream", "modules"] = "auto"
    sources: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    compress: bool = True


@dataclass(frozen=True, kw_only=True)
class RegistryAccess:
    """How a registry's host is asked: certificates of its CA (PEM, none: the system's), and credentials."""

    ca: bytes = b""
    username: str = ""
    password: Secret | None = None

    @property
    def given(self) -> bool:
        return bool(self.ca or self.username)


@dataclass(frozen=True, kw_only=True)
class RegistryEntry:
    """One registry. mirror: `HOST[:PORT][/PATH]` that is asked in its place, empty: it is asked itself."""

    mirror: str = ""
    access: RegistryAccess = RegistryAccess()


@dataclass(frozen=True, kw_only=True)
class RegistrySettings:
    """Where runtimes get images. mirror: in the place of every registry that has no entry of its own, or empty."""

    mirror: str = ""
    access: RegistryAccess = RegistryAccess()
    registries: Mapping[str, RegistryEntry] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, kw_only=True)
class UpgradeSettings:
    """How nodes get another minor of kubelet, or another runtime or release of it. `drain_timeout` is in seconds."""

    drain: bool = True
    max_unavailable: int = 1
    drain_timeout: int = 300


@dataclass(frozen=True, kw_only=True)
class Keep:
    """How many timed backups stay: the last ones, and the newest of each of the last days, weeks and months."""

    last: int = 28
    daily: int = 14
    weekly: int = 8
    monthly: int = 12


@dataclass(frozen=True, kw_only=True)
class BackupSettings:
    """Where backups go, None for the state folder, and who may open them besides it: public keys.

    sftp, s3: how such a place is reached.
    every: seconds between two that hosts of etcd take by themselves, 0 for none; folder: where they keep them; keep: how many
    of them stay.
    """

    to: Path | Address | None = None
    sftp: SftpSettings = field(default_factory=SftpSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    recipients: tuple[str, ...] = ()
    every: int = 0
    folder: str = KEPT_BACKUPS
    keep: Keep = Keep()


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """How pods' packets get from node to node.

    mode: `routed` (host routes; hosts in one network) and `vxlan` (a tunnel between hosts apart) are built in; flannel,
    calico and cilium are add-ons by these names; with `none` the cluster's user brings a network.
    vni, port: of vxlan. mtu: of pods' interfaces, None for the largest that each host's link carries. hosts: whether pods
    reach what only machines need of hosts, and the cloud's metadata; of the built-in networks; empty: closed where it is new,
    else as it is (plan/network_hosts.py). policies: whether
    NetworkPolicies are enforced; of the built-in networks.
    """

    mode: NetworkMode = "routed"
    vni: int = 4096
    port: int = 4789  # IANA's for VXLAN
    mtu: int | None = None
    hosts: Literal["", "closed", "open"] = ""
    policies: Literal["on", "off"] = "on"

    @property
    def enforces(self) -> bool:
        """Whether kprov's own engine enforces NetworkPolicies: it knows the built-in networks, and others have their own."""
        return self.built_in and self.policies == "on"

    @property
    def built_in(self) -> bool:
        return self.mode in ("routed", "vxlan")

    @property
    def overhead(self) -> int:
        """Bytes that the way between nodes adds to a pod's packet: for vxlan Ethernet, IPv4, UDP and VXLAN headers."""
        return 50 if self.mode == "vxlan" else 0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A validated inventory.

    `versions` maps each component to its version without "v" (keys: kubernetes, etcd, containerd, runc, cni-plugins,
    coredns, pause, docker, cri-dockerd, crio, cri-tools).
    `api_endpoint` is None for the local proxy on each host, else "HOST:PORT" of a load balancer or virtual IP.
    """

    name: str
    versions: Mapping[str, str]
    hosts: tuple[Host, ...]
    domain: str = "cluster.local"
    pod_cidr: IPv4Network = IPv4Network("10.244.0.0/16")
    pod_cidr_node_prefix: int = 24
    service_cidr: IPv4Network = IPv4Network("10.96.0.0/16")
    dns_ip: IPv4Address = IPv4Address("10.96.0.10")
    api_endpoint: str | None = None
    api_sans: tuple[str, ...] = ()
    pki: PkiSettings = PkiSettings()
    artifacts: ArtifactSettings = ArtifactSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    backup: BackupSettings = BackupSettings()
    registry: RegistrySettings = RegistrySettings()
    network: NetworkSettings = NetworkSettings()
    kube_proxy_mode: Literal["auto", "nftables", "iptables"] = "auto"
    swap: Literal["off", "keep"] = "off"
    allow_cgroup_v1: bool = False
    preflight_ignore: tuple[str, ...] = ()
    coredns: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)  # {"replicas": 2}
    etcd: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)  # {"quota_bytes": …, "heartbeat_ms": …}
    cloud: CloudSettings | None = None
    api: ApiSettings = field(default_factory=ApiSettings)
    addons: tuple[Addon, ...] = ()  # those that are on, in an order in which each finds what it needs
    templates_dir: Path | None = None  # the user's own templates beside the inventory, if that folder exists

    def group(self, group: Group) -> tuple[Host, ...]:
        """Hosts of a group in inventory order; an inventory without etcd hosts gets them from control_plane at load."""
        return tuple(host for host in self.hosts if host.in_group(group))

    def addon(self, name: str) -> Addon | None:
        """The add-on of that name when it is on."""
        return next((addon for addon in self.addons if addon.name == name), None)

    @property
    def nodes(self) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts if host.is_node)

    def host(self, name: str) -> Host:
        """The host of that name. Raises KeyError."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    @property
    def service_ip(self) -> IPv4Address:
        """The first service address: the API server's own ClusterIP."""
        return self.service_cidr[1]

    @property
    def kubernetes_minor(self) -> tuple[int, int]:
        major, minor, *_ = self.versions["kubernetes"].split(".")
        return int(major), int(minor)


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A network interface with its IPv4 addresses in CIDR form."""

    name: str
    mtu: int
    addresses: tuple[str, ...]
    mac: str = ""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listening TCP or UDP socket: `process` is the program's name and pid as far as the host could tell."""

    port: int
    address: str
    process: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What one host told about itself in this run. All sizes in bytes."""

    hostname: str
    machine_id: str
    arch: Literal["amd64", "arm64"] | str
    os_id: str  # ID of os-release: debian, ubuntu, rhel, rocky, almalinux, opensuse-leap, sles …
    os_version: str  # VERSION_ID
    kernel: tuple[int, int]
    kernel_release: str
    systemd: int
    cgroup: Literal[1, 2]
    clock: float  # epoch seconds at the host when the probe ran
    clock_skew: float  # host minus operator in seconds, half a round trip taken off
    cpus: int
    memory: int
    swap: bool
    interfaces: tuple[Interface, ...]
    default_address: str | None  # source address of the default route
    disk_free: Mapping[
        str, int
    ]  # folder → bytes free: /etc /opt /var /var/lib, and data folders with a disk of their own
    disk_size: Mapping[str, int]
    listeners: tuple[Listener, ...]
    modules: frozenset[str]  # kernel features that are there (loaded or built in), of those kprov asks about
    loadable: frozenset[str]  # kernel modules that modprobe could load, of those kprov asks about
    commands: frozenset[str]  # programs on root's PATH, of those kprov asks about (nft, iptables, conntrack, curl …)
    nft: tuple[int, int] | None
    package_manager: PackageManager
    selinux: Literal["", "disabled", "permissive", "enforcing"]
    leftovers: tuple[str, ...]  # paths and units of other installers
    is_root: bool  # whether the probe ran with root rights
    udp_listeners: tuple[Listener, ...] = ()  # UDP sockets; `listeners` are TCP's
    inodes_free: Mapping[str, float] = field(default_factory=dict)  # share, by folder; none where files are not counted
    memory_available: int = 0  # bytes that programs could still get, 0 where the kernel does not say
    settings: HostSettings = field(default_factory=HostSettings)


class ClusterFacts(Mapping[str, Facts]):
    """Facts of all hosts that answered, by host name."""

    def __init__(self, facts: Mapping[str, Facts], told: Mapping[str, str] = MappingProxyType({})) -> None:
        """told: addresses of hosts that did not answer, as the rest of the cluster knows them."""
        self._facts = dict(facts)
        self._told = dict(told)
        self._addresses: dict[str, tuple[Host, str]] = {}  # every host's settings name every other host

    def __getitem__(self, name: str) -> Facts:
        return self._facts[name]

    def __iter__(self) -> Any:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def node_ip(self, host: Host) -> str:
        """The address other hosts and the API know this host by.

        The inventory's node_ip wins; else the connection's address when the host owns it; else the source address of
        its default route. A host that has not answered keeps its place in what others are told: by what the cluster
        says of it, else by the connection's address. Raises KeyError when that is a name, ValueError when a host that
        answered has none of these.
        """
        known = self._addresses.get(host.name)
        if known is None or known[0] is not host:
            known = self._addresses[host.name] = (host, self._find_address(host))
        return known[1]

    def _find_address(self, host: Host) -> str:
        if host.node_ip is not None:
            return str(host.node_ip)
        if host.name not in self._facts:
            return self._of_silent(host)
        facts = self._facts[host.name]
        owned = {bare(address) for interface in facts.interfaces for address in interface.addresses}
        if host.connection.address in owned and not host.connection.address.startswith("127."):
            return host.connection.address
        if facts.default_address:
            return facts.default_address
        raise ValueError(f"{host.name}: no default route and no node_ip in the inventory")

    def _of_silent(self, host: Host) -> str:
        if host.name in self._told:
            return self._told[host.name]
        try:
            return str(ip_address(host.connection.address))
        except ValueError:
            raise KeyError(host.name) from None
