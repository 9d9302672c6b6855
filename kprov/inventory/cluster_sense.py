"""Settings that each component takes, and a cluster does not live with: told apart by what several of them say together.

No I/O. What a component refuses by itself is judged in `flag_checks` and `field_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from kprov.inventory.checks import variables_of
from kprov.inventory.flag_checks import parts
from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.values.durations import go_seconds

_Component = Literal["kube-controller-manager", "kube-scheduler", "kube-apiserver"]
_GRACE, _LEASE = 50.0, 40  # seconds; Kubernetes' own since 1.32
_MISSED = 2  # heartbeats that a node may miss
_DEAD = "nodes would be taken for dead between two of their heartbeats, and their pods would be evicted"
_PORTS = re.compile(r"(\d+)(?:-(\d+)|\+(\d+))?")
# Names and defaults, in seconds, as flags and as fields. Source: client-go, tools/leaderelection, NewLeaderElector.
_ELECTION = {
    "leader-elect-lease-duration": ("leaseDuration", 15.0),
    "leader-elect-renew-deadline": ("renewDeadline", 10.0),
    "leader-elect-retry-period": ("retryPeriod", 2.0),
}
_JITTER = 1.2
# Controllers without which Services find no pods, pods have no token or CA, or add-ons do not come; older names too.
_NEEDED = frozenset(
    f"{name}{end}"
    for name in ("endpointslice", "serviceaccount", "deployment", "replicaset", "daemonset", "namespace")
    for end in ("", "-controller")
) | {
    *(
        "root-ca-cert-publisher",
        "root-ca-certificate-publisher-controller",
        "nodelifecycle",
        "node-lifecycle-controller",
    ),
    *("garbagecollector", "garbage-collector-controller"),
}
_DOORS: tuple[tuple[tuple[str, ...], Any, str], ...] = (
    (("authentication", "anonymous", "enabled"), True, "whoever reaches port 10250 is asked for no name"),
    (("authorization", "mode"), "AlwaysAllow", "whoever kubelet knows may run programs in every pod of the node"),
    (
        ("authentication", "webhook", "enabled"),
        False,
        "kubelet takes no tokens any more: metrics-server and monitoring cannot read it",
    ),
)


def check(review: Review) -> None:
    """Note what no cluster lives with, and caution against open doors."""
    _heartbeats(review)
    for path, flags in (*_flags(review, "kube-controller-manager"), *_flags(review, "kube-scheduler")):
        _election(review, path, {name: flags[name] for name in _ELECTION if name in flags})
    for path, flags in _flags(review, "kube-controller-manager"):
        _controllers(review, path, flags)
    for path, flags in _flags(review, "kube-apiserver"):
        _node_ports(review, path, flags)
        _address_types(review, path, flags)
    for where, variables in variables_of(review):
        _scheduler(review, (*where, "kube_scheduler"), variables.kube_scheduler)
        _doors(review, (*where, "kubelet"), variables.kubelet)
    if review.sound("cluster", "scheduler"):
        _scheduler(review, ("cluster", "scheduler"), review.inventory.cluster.scheduler or {})


def _flags(review: Review, component: _Component) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for where, variables in variables_of(review):
        path = (*where, "extra_args", component)
        flags = variables.extra_args.get(component, {})
        yield path, {name: value for name, value in flags.items() if review.sound(*path, name)}


def _heartbeats(review: Review) -> None:
    """A node whose heartbeats come more slowly than it is waited for is taken for dead, and its pods go."""
    name = "node-monitor-grace-period"
    graces = [
        ((*path, name), go_seconds(flags[name]))
        for path, flags in _flags(review, "kube-controller-manager")
        if name in flags
    ]
    leases = [
        ((*where, "kubelet", "nodeLeaseDurationSeconds"), variables.kubelet["nodeLeaseDurationSeconds"])
        for where, variables in variables_of(review)
        if type(variables.kubelet.get("nodeLeaseDurationSeconds")) is int
    ]
    longest = max([_LEASE, *(lease for _, lease in leases)])
    shortest = min([_GRACE, *(grace for _, grace in graces)])
    for path, grace in graces:
        if grace < _MISSED * longest / 4:
            review.fault(
                path,
                _DEAD,
                needed=f"at least {_MISSED * longest / 4:g}s: kubelets renew their lease every {longest / 4:g} s",
            )
    for path, lease in leases:
        if shortest < _MISSED * lease / 4 and not graces:
            review.fault(
                path,
                _DEAD,
                needed=f"at most {int(shortest * 4 / _MISSED)}: the lease is renewed in a quarter of it, and a node that is "
                f"silent for {shortest:g} s is dead",
            )


def _election(review: Review, path: Path, written: Mapping[str, Any]) -> None:
    """Of a component's flags or fields: it would end at its start."""
    if not written:
        return
    lease, renew, retry = (
        go_seconds(written.get(flag, written.get(field, f"{default}s"))) for flag, (field, default) in _ELECTION.items()
    )
    if not lease > renew > _JITTER * retry:
        review.fault(
            (*path, next(iter(written))),
            "a leader would lose its lease before it may renew it",
            found=f"lease {lease:g} s, renewed within {renew:g} s, tried every {retry:g} s",
            needed=f"a lease longer than its renewal, and that longer than {_JITTER} times what lies between two tries",
        )


def _controllers(review: Review, path: Path, flags: Mapping[str, Any]) -> None:
    words = parts(flags["controllers"]) if "controllers" in flags else ["*"]
    if "*" not in words:
        review.fault(
            (*path, "controllers"),
            "all controllers that are not named would be off: no Service would find its pods, no node would be watched",
            needed="'*' among them, and what is to be off behind a '-'",
        )
    for name in sorted(word[1:] for word in words if word.startswith("-") and word[1:] in _NEEDED):
        review.fault(
            (*path, "controllers"),
            f"{name} would be off, and a cluster does not live without it",
            needed="controllers behind a '-' that nothing of the cluster's own needs",
        )


def _node_ports(review: Review, path: Path, flags: Mapping[str, Any]) -> None:
    written = flags.get("service-node-port-range")
    if not isinstance(written, str):
        return
    match = _PORTS.fullmatch(written)
    first = int(match[1]) if match else 0
    last = (int(match[2]) if match[2] else first + int(match[3] or 0)) if match else 0
    at = (*path, "service-node-port-range")
    if not 0 < first <= last < 65536:
        review.fault(at, "no range of ports", needed="FIRST-LAST between 1 and 65535, such as 30000-32767")
    elif first < 11000 and last >= 22:
        what = "Services may take ports of the nodes' own programs, such as 22, 2379, 6443 and 10250"
        review.caution(at, what, "write a range above 11000")


def _address_types(review: Review, path: Path, flags: Mapping[str, Any]) -> None:
    """By which of a node's addresses an API server asks its kubelet; no Node has others than its cloud gives it."""
    name = "kubelet-preferred-address-types"
    words = parts(flags[name]) if name in flags else ["InternalIP"]
    cloud = review.inventory.cluster.cloud is not None
    if not {"InternalIP", "Hostname"} & set(words) and not cloud:
        review.fault(
            (*path, name),
            "API servers would not find the kubelets: logs, exec, port-forward and metrics would end",
            needed="InternalIP among them, the address that kprov's Nodes have",
        )


def _scheduler(review: Review, path: Path, given: Mapping[str, Any]) -> None:
    profiles = given.get("profiles")
    if isinstance(profiles, list | tuple) and profiles and review.sound(*path):
        names = [one.get("schedulerName", "default-scheduler") for one in profiles if isinstance(one, Mapping)]
        if "default-scheduler" not in names:
            review.fault(
                (*path, "profiles"),
                "no profile is for pods that name no scheduler: they would stay Pending, cluster DNS too",
                needed="a profile without `schedulerName`, or with default-scheduler",
            )
    election = given.get("leaderElection")
    if isinstance(election, Mapping):
        fields = {field: election[field] for field, _ in _ELECTION.values() if field in election}
        _election(review, (*path, "leaderElection"), fields)


def _doors(review: Review, path: Path, kubelet: Mapping[str, Any]) -> None:
    for steps, value, what in _DOORS:
        found: Any = kubelet
        for step in steps:
            found = found.get(step) if isinstance(found, Mapping) else None
        if found == value and type(found) is type(value):
            review.caution((*path, *steps), what)
    if kubelet.get("readOnlyPort"):
        review.caution((*path, "readOnlyPort"), "whoever reaches this port reads what runs on the node")
