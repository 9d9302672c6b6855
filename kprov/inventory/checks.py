"""What must hold between the values of an inventory: groups, variables, lifetimes. No I/O.

Each check takes the review of a draft and notes mistakes; a value that has a mistake of its own already is left out, so
that one slip is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kprov.artifacts import catalog
from kprov.inventory import networks
from kprov.inventory.merge import Merger, clashes
from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.inventory.schema import HostVariables
from kprov.values.addon import Addon
from kprov.values.model import GROUPS
from kprov.values.runtimes import REFUSES_HANDLERS
from kprov.values.spelling import did_you_mean


def _hosts(review: Review) -> None:
    if not review.sound("hosts"):
        return
    if not review.inventory.hosts:
        review.fault(("hosts",), "there are no hosts", needed="at least one host", todo="write `cp1: {address: …}`")
    elif not any("control_plane" in groups for groups in review.groups.values()):
        review.fault(
            ("hosts",),
            "no host is in the group control_plane",
            found="no control plane",
            needed="at least one host with `groups: [control_plane]`",
            todo="write `groups: [control_plane, worker]` at a host that shall be both",
        )


def _group_keys(review: Review) -> None:
    for name, entry in review.inventory.hosts.items():
        path = ("hosts", name, "groups")
        if entry.group is not None and entry.groups is not None:
            review.fault(path, "both `groups` and `group` are written", needed="one of them")
        elif entry.groups is not None and not entry.groups and review.sound(*path):
            review.fault(path, "an empty list of groups", needed="at least one", todo="name a group, or remove the key")
        elif entry.groups is not None and len(set(entry.groups)) < len(entry.groups):
            review.fault(path, "a group is named twice", found=", ".join(entry.groups), needed="each group once")


def _pki(review: Review) -> None:
    pki = review.inventory.cluster.pki
    if not review.sound("cluster", "pki"):
        return
    if pki.leaf_days > pki.ca_days:
        review.fault(
            ("cluster", "pki", "leaf_days" if "leaf_days" in pki.model_fields_set else "ca_days"),
            "certificates would outlive their CA",
            found=f"leaf_days {pki.leaf_days}, ca_days {pki.ca_days}",
            needed="leaf_days at most ca_days",
        )
    if pki.renew_before_days >= pki.leaf_days:
        review.fault(
            ("cluster", "pki", "renew_before_days" if "renew_before_days" in pki.model_fields_set else "leaf_days"),
            "every run would renew every certificate",
            found=f"renew_before_days {pki.renew_before_days}, leaf_days {pki.leaf_days}",
            needed="renew_before_days less than leaf_days",
        )


def _etcd(review: Review) -> None:
    etcd = review.inventory.cluster.etcd
    if review.sound("cluster", "etcd") and etcd.election_ms < 5 * etcd.heartbeat_ms:
        review.fault(
            ("cluster", "etcd", "election_ms" if "election_ms" in etcd.model_fields_set else "heartbeat_ms"),
            "members would elect a leader on every slow heartbeat",
            found=f"heartbeat_ms {etcd.heartbeat_ms}, election_ms {etcd.election_ms}",
            needed="election_ms at least five times heartbeat_ms (source: etcd, tuning)",
        )
    count = sum("etcd" in groups for groups in review.groups.values())
    if count and count % 2 == 0:
        review.caution(
            ("hosts",),
            f"{count} etcd members survive the loss of {(count - 1) // 2}, no more than {count - 1} would",
            "make it an odd number",
        )


def _workers(review: Review) -> None:
    if review.groups and not any("worker" in groups for groups in review.groups.values()):
        review.caution(
            ("hosts",),
            "no host is a worker, so ordinary pods find no node",
            "add a worker, or write `groups: [control_plane, worker]`",
        )


def _clashes(review: Review) -> None:
    for clash in clashes(review.inventory, review.groups):
        review.fault(
            ("groups", clash.second, *clash.path),
            f"group {clash.first} says otherwise, and host {clash.host} is in both",
            needed="the same value in both groups, or the key at the host itself",
        )


def variables_of(review: Review) -> Iterator[tuple[Path, HostVariables]]:
    """Yield the variables of cluster, groups and hosts, each with its place."""
    yield ("cluster",), review.inventory.cluster
    yield from ((("groups", group), variables) for group, variables in review.inventory.groups.items())
    yield from ((("hosts", name), entry) for name, entry in review.inventory.hosts.items())


def handlers(review: Review, versions: Mapping[str, str]) -> None:
    """Refuse OCI handlers on nodes whose cri-dockerd takes none: no pod that asks for one would ever start there."""
    version = versions.get("cri-dockerd", "")
    if not version or catalog.numbers(version) > catalog.numbers(REFUSES_HANDLERS) or not review.sound("hosts"):
        return
    merger = Merger(review.inventory)
    refused: dict[Path, list[str]] = {}
    for name, entry in review.inventory.hosts.items():
        variables = merger.variables(entry, review.groups[name])
        if variables.get("runtime") == "docker" and variables.get("handlers"):
            refused.setdefault(_nearest(review, name, "handlers"), []).append(name)
    for path, names in refused.items():
        review.fault(
            path,
            f"Docker nodes cannot have OCI handlers: cri-dockerd {version} takes no RuntimeClass",
            found=f"runtime docker on {', '.join(names)}",
            needed=f"containerd or CRI-O there, or a release of cri-dockerd after {REFUSES_HANDLERS} with its #350",
            todo="write `handlers` only at groups or hosts with another runtime, or name such a release as "
            "`versions: {cri-dockerd: …}`",
        )


def sources(review: Review, addons: tuple[Addon, ...]) -> None:
    """Refuse a source for a component that nothing of this cluster can be of."""
    table = catalog.load()
    known = {*table.components, *(image.component for image in table.images.values())}
    known |= {image.entry.component for addon in addons for image in addon.images}
    known |= {program.component.name for addon in addons for program in addon.programs}
    for name in review.inventory.cluster.artifacts.sources:
        if name not in known:
            review.fault(
                ("cluster", "artifacts", "sources", name),
                "not a component of this cluster",
                found=name,
                needed=f"one of {', '.join(sorted(known))}",
                todo=did_you_mean(name, known) or "take it out",
            )


def _nearest(review: Review, name: str, key: str) -> Path:
    """Where a host's variable is written: at the host, at the last of its groups that has it, or at the cluster."""
    inventory = review.inventory
    if key in inventory.hosts[name].model_fields_set:
        return ("hosts", name, key)
    for group in reversed(GROUPS):
        entry = inventory.groups.get(group)
        if group in review.groups[name] and entry is not None and key in entry.model_fields_set:
            return ("groups", group, key)
    return ("cluster", key)


_CHECKS: tuple[Callable[[Review], None], ...] = (
    _hosts,
    _group_keys,
    networks.addresses,
    networks.networks,
    networks.services,
    networks.pods,
    networks.pod_network,
    networks.node_networks,
    _pki,
    _etcd,
    _workers,
    _clashes,
)


def check(review: Review) -> None:
    """Run all checks."""
    for one in _CHECKS:
        one(review)
