"""What a cluster of kprov's is closed with by default, a row each: value, reason, CIS id, and how it is changed.

docs/security.md is rendered from it, tests hold roles against it, and `kprov verify` looks for each row on the machines.
Values only; it is written beside the roles on purpose, so that a slip in one of them is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kprov.values.model import Cluster, Host
from kprov.values.paths import API_SERVER_FOLDER, KUBE_PROXY_CONFIG, KUBELET_CONFIG

_API, _CONTROLLERS, _SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
_FIXED = "fixed"
_ARGS = "`extra_args`"


def _as_is(cluster: Cluster, host: Host) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Row:
    """unit: the component. flag: of its command line, or, where `file` is given, a field of that YAML file, with dots.

    value: as the command line or the file has it; of a list, all that is in it. cis: of CIS Kubernetes Benchmark 1.12.
    change: the key of the inventory. holds: whether the inventory leaves the row as it is.
    """

    unit: str
    flag: str
    value: Any
    why: str
    cis: str = ""
    change: str = _FIXED
    file: str = ""
    holds: Callable[[Cluster, Host], bool] = _as_is

    def applies(self, cluster: Cluster, host: Host) -> bool:
        """Whether the row is about this host, as its inventory is."""
        flags: Mapping[str, Any] = host.extra_args.get(self.unit, {})
        documents = {KUBELET_CONFIG: host.kubelet, KUBE_PROXY_CONFIG: host.kube_proxy}
        chosen = documents.get(self.file, {}) if self.file else flags
        return self.flag.partition(".")[0] not in chosen and self.holds(cluster, host)


def _no_webhook(cluster: Cluster, host: Host) -> bool:
    return not cluster.api.authorizers


def _own_log(cluster: Cluster, host: Host) -> bool:
    return not cluster.api.audit.log


def _own_plugins(cluster: Cluster, host: Host) -> bool:
    return not (cluster.api.admission.enable or cluster.api.admission.disable)


def _own_paths(cluster: Cluster, host: Host) -> bool:
    return not cluster.api.authentication.get("anonymous")


ROWS: tuple[Row, ...] = (
    Row(
        unit=_API,
        flag="anonymous.conditions",
        file=f"{API_SERVER_FOLDER}/authentication.yaml",
        value=[{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}],
        cis="1.2.1",
        why="nobody is let in without a name but for these paths, which proxies and load balancers ask",
        change="`authentication: {anonymous: …}`",
        holds=_own_paths,
    ),
    Row(
        unit=_API,
        flag="authorization-mode",
        value="Node,RBAC",
        cis="1.2.6, 1.2.7, 1.2.8",
        why="a kubelet sees what its own pods need, everybody else what a role says; webhooks come after both",
        change="`authorization: {authorizers: […]}`",
        holds=_no_webhook,
    ),
    Row(
        unit=_API,
        flag="enable-admission-plugins",
        value="NodeRestriction,DenyServiceExternalIPs,EventRateLimit",
        cis="1.2.3, 1.2.9, 1.2.14",
        why="a kubelet changes its own node alone, no Service takes other people's addresses, no flood of events",
        change="`admission: {enable: […], disable: […]}`; NodeRestriction stays",
        holds=_own_plugins,
    ),
    Row(
        unit=_API,
        flag="audit-log-maxage",
        value="30",
        cis="1.2.17",
        why="days that the audit log is kept; bodies of secrets and tokens are never in it (3.2.1, 3.2.2)",
        change="`audit: {policy: …, log: …, webhook: …}`",
        holds=_own_log,
    ),
    Row(
        unit=_API,
        flag="audit-log-maxbackup",
        value="10",
        cis="1.2.18",
        why="files of the audit log",
        change="`audit: {log: …}`",
        holds=_own_log,
    ),
    Row(
        unit=_API,
        flag="audit-log-maxsize",
        value="100",
        cis="1.2.19",
        why="MiB of each",
        change="`audit: {log: …}`",
        holds=_own_log,
    ),
    Row(
        unit=_API,
        flag="encryption-provider-config",
        value=f"{API_SERVER_FOLDER}/encryption.yaml",
        cis="1.2.27, 1.2.28",
        why="secrets are encrypted in etcd by secretbox; its key is in the state folder and on control planes alone",
        change="`encryption: {resources: […], providers: […]}`",
    ),
    Row(unit=_API, flag="profiling", value="false", cis="1.2.15", why="no profiles to read", change=_ARGS),
    Row(
        unit=_API,
        flag="request-timeout",
        value="300s",
        cis="1.2.20",
        why="a slow client holds a request for no longer",
        change=_ARGS,
    ),
    Row(
        unit=_API,
        flag="service-account-lookup",
        value="true",
        cis="1.2.21",
        why="a token of a deleted service account is worth nothing",
        change=_ARGS,
    ),
    Row(
        unit=_API,
        flag="service-account-extend-token-expiration",
        value="false",
        cis="1.2.30",
        why="a pod's token ends after an hour, and not after a year",
        change=_ARGS,
    ),
    Row(unit=_API, flag="tls-min-version", value="VersionTLS12", why="nothing older than TLS 1.2", change=_ARGS),
    Row(
        unit=_CONTROLLERS,
        flag="terminated-pod-gc-threshold",
        value="100",
        cis="1.3.1",
        why="pods that ended do not fill etcd",
        change=_ARGS,
    ),
    Row(unit=_CONTROLLERS, flag="profiling", value="false", cis="1.3.2", why="no profiles to read", change=_ARGS),
    Row(
        unit=_CONTROLLERS,
        flag="use-service-account-credentials",
        value="true",
        cis="1.3.3",
        why="each controller has its own rights",
    ),
    Row(unit=_CONTROLLERS, flag="bind-address", value="127.0.0.1", cis="1.3.7", why="it is asked on its host alone"),
    Row(unit=_SCHEDULER, flag="profiling", value="false", cis="1.4.1", why="no profiles to read", change=_ARGS),
    Row(unit=_SCHEDULER, flag="bind-address", value="127.0.0.1", cis="1.4.2", why="it is asked on its host alone"),
    Row(
        unit="etcd",
        flag="client-cert-auth",
        value="true",
        cis="2.2",
        why="only API servers and kprov have a client's certificate of etcd's own CA",
    ),
    Row(unit="etcd", flag="peer-client-cert-auth", value="true", cis="2.5", why="only members speak to members"),
    Row(
        unit="etcd",
        flag="data-dir",
        value="/var/lib/etcd",
        cis="1.1.11, 1.1.12",
        why="a folder of etcd's, closed to others",
    ),
    *(
        Row(unit="kubelet", flag=flag, file=KUBELET_CONFIG, value=value, cis=cis, why=why, change="`kubelet: {…}`")
        for flag, value, cis, why in (
            ("authentication.anonymous.enabled", False, "4.2.1", "kubelet tells nobody without a certificate or token"),
            ("authorization.mode", "Webhook", "4.2.2", "the API server decides what others may ask kubelet"),
            ("readOnlyPort", 0, "4.2.4", "the port without certificates is closed"),
            ("streamingConnectionIdleTimeout", "5m0s", "4.2.5", "idle exec and port-forward end"),
            ("makeIPTablesUtilChains", True, "4.2.6", "kubelet keeps its own firewall rules"),
            ("eventRecordQPS", 50, "4.2.8", "events are not lost, and no flood"),
            ("podPidsLimit", 4096, "4.2.13", "a pod that forks without end takes no node with it"),
            ("seccompDefault", True, "4.2.14", "pods have the runtime's filter of system calls"),
            ("tlsMinVersion", "VersionTLS12", "", "nothing older than TLS 1.2"),
            ("enableProfilingHandler", False, "", "no profiles to read"),
            ("enableDebugFlagsHandler", False, "", "nobody turns log levels over the network"),
        )
    ),
    Row(
        unit=_SCHEDULER,
        flag="enableProfiling",
        file="/etc/kubernetes/scheduler-config.yaml",
        value=False,
        cis="1.4.1",
        why="the flag alone is ignored beside a file",
        change="`scheduler: {…}`",
        holds=lambda cluster, host: "enableProfiling" not in host.kube_scheduler,
    ),
    Row(
        unit="kube-proxy",
        flag="metricsBindAddress",
        file=KUBE_PROXY_CONFIG,
        value="127.0.0.1:10249",
        cis="4.3.1",
        why="its metrics are read on its host alone",
    ),
)


def field_of(document: Any, path: str) -> Any:
    """The value of a field of a document, by its path with dots; None where there is none."""
    for step in path.split("."):
        document = document.get(step) if isinstance(document, Mapping) else None
    return document
