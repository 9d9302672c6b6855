"""What a component is: one daemon that kprov runs as a unit, as a record. Types only; the records are in components.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kprov.values.certificate import Authority
from kprov.values.model import Cluster, Group, Host
from kprov.values.taken_flags import Taken

ETCD_HOSTS: frozenset[Group] = frozenset({"etcd"})
CONTROL_PLANE: frozenset[Group] = frozenset({"control_plane"})
NODES: frozenset[Group] = frozenset({"control_plane", "worker"})
ALL_HOSTS: frozenset[Group] = ETCD_HOSTS | NODES

ORDINARY = 10  # in the order at `down`: after kubelet and kube-proxy, before runtimes and the control plane

Names = Literal["none", "loopback", "host", "etcd", "api"]  # which names a certificate has: pki/addresses.py


@dataclass(frozen=True, kw_only=True)
class Port:
    """A TCP port that a component listens on.

    loopback: on 127.0.0.1 alone. addon: it is open only while that add-on is enabled. callers: groups of hosts whose
    own programs connect to it on other hosts.
    """

    name: str
    number: int
    loopback: bool = False
    addon: str = ""
    callers: frozenset[Group] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Health:
    """How the probe asks for health, as far as that needs no rights.

    kind: `active` (systemd says so), `http` (argument: `PORT PATH`, plain HTTP 200 on 127.0.0.1), `api` (a path of the
    API server, with the credential of the run), `socket` (argument: `SOCKET URL`, 2xx over a Unix socket), `command`
    (a program in BIN and its arguments, exit code 0), `cri` (the socket of a containerd,
    whose CRI plugin is loaded). Of `http`, a gate takes the same argument.
    """

    kind: Literal["active", "http", "api", "socket", "command", "cri"]
    argument: str = "-"


ACTIVE = Health(kind="active")


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A certificate that a component serves or calls with.

    path: without suffix. `{host}` in `cn` stands for the node name. restarts: it is read at start only, so that the
    unit restarts when it is renewed; others are read again by the component itself.
    """

    name: str
    path: str
    cn: str
    usage: Literal["server", "client", "both"]
    authority: Authority = "kubernetes"
    o: tuple[str, ...] = ()
    names: Names = "none"
    restarts: bool = False

    @property
    def paths(self) -> tuple[str, str]:
        """Certificate and key."""
        return f"{self.path}.crt", f"{self.path}.key"


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What kprov-metrics-proxy passes on at /NAME/metrics. tls: the component serves HTTPS and asks who comes."""

    name: str
    port: str  # its name
    path: str = "/metrics"
    tls: bool = False


def _always(_: Cluster) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Component:
    """One daemon.

    name: of its unit, without suffix. It runs on hosts of `groups`, while `addon` is enabled and `when` is true of the
    cluster; a component of a `runtime` on nodes with that runtime. program: in BIN, asked for its `--version`; empty
    for a script or a program of the distribution. process: what the kernel calls what listens, where it is not the
    program. release: the component of the catalog that the program comes from; empty where an add-on or the
    distribution brings it. flags: those that users may not set; None when it takes none from them. stops: units stop
    in this order at `down`, equal ones in the reverse order of their start; those below ORDINARY go before pods do.
    version_decides: whether its running version decides which one may come next.
    """

    name: str
    groups: frozenset[Group]
    health: Health
    addon: str = ""
    runtime: str = ""
    when: Callable[[Cluster], bool] = _always
    program: str = ""
    process: str = ""
    release: str = ""
    ports: tuple[Port, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    flags: tuple[Taken, ...] | None = None
    stops: int = ORDINARY
    metrics: Metrics | None = None
    version_decides: bool = False

    @property
    def unit(self) -> str:
        """The name of its unit, which is also where its journal is read."""
        return f"{self.name}.service"

    @property
    def listener(self) -> str:
        """The name of the process that listens on its ports."""
        return self.process or self.program

    @property
    def read_at_start(self) -> frozenset[str]:
        """Paths of the certificates that it restarts for."""
        return frozenset(path for leaf in self.leaves if leaf.restarts for path in leaf.paths)

    @property
    def read_again(self) -> frozenset[str]:
        """Paths of the certificates that it reads again by itself."""
        return frozenset(path for leaf in self.leaves if not leaf.restarts for path in leaf.paths)

    def port(self, name: str) -> int:
        """Return the number of one of its ports. Raises KeyError."""
        return {port.name: port.number for port in self.ports}[name]

    def leaf(self, name: str) -> str:
        """Return the path of one of its certificates, without suffix. Raises KeyError."""
        return {leaf.name: leaf.path for leaf in self.leaves}[name]

    def open_ports(self, cluster: Cluster) -> tuple[Port, ...]:
        """The ports that it listens on in this cluster, wherever it runs."""
        return tuple(port for port in self.ports if not port.addon or cluster.addon(port.addon) is not None)

    def runs_on(self, cluster: Cluster, host: Host) -> bool:
        """Whether this host of the cluster should have it."""
        return (
            bool(self.groups & host.groups)
            and (not self.addon or cluster.addon(self.addon) is not None)
            and (not self.runtime or self.runtime == host.runtime)
            and self.when(cluster)
        )
