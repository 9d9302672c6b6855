"""Settings of single hosts that cannot change while they are in a cluster, against what it lives with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.living import etcd_members, own_name, unit_flags
from kprov.preflight.fixed_view import View, listed, refused
from kprov.preflight.problem import Problem
from kprov.roles.etcd import peer_url
from kprov.values.components import KUBE_APISERVER
from kprov.values.model import Component, Host

# Flags that say where data is or what of it counts: another value leaves it behind.
FIXED_FLAGS: Mapping[Component, tuple[str, ...]] = {
    "etcd": ("wal-dir", "force-new-cluster"),
    "kube-apiserver": ("etcd-prefix", "etcd-servers-overrides"),
    "kubelet": ("root-dir",),
    "containerd": ("root", "state"),
}


def refuse_pod_cidr(view: View) -> Iterable[Problem]:
    for host in view.cluster.nodes:
        if host.pod_cidr is None:
            continue
        own = view.networks.get(host.name)
        if own is not None and own[0] != host.pod_cidr:
            yield refused(
                f"hosts.{host.name}.pod_cidr",
                "a node's pod network cannot be changed: Kubernetes takes no other while the node exists",
                found=f"{own[0]} ({own[1]})",
                needed=str(host.pod_cidr),
                todo=f"write `pod_cidr: {own[0]}` or leave it out; to have another one: `kprov down --limit {host.name}`, "
                "then write it and run `kprov up`",
            )
        if own is None and (
            taken := {name: row for name, row in view.networks.items() if row[0].overlaps(host.pod_cidr)}
        ):
            yield refused(
                f"hosts.{host.name}.pod_cidr",
                "this pod network overlaps one that another node has",
                found=listed(taken),
                needed=f"a network of its own in {view.cluster.pod_cidr}",
                todo="write a free one, or leave it out: kprov takes the lowest that is free",
            )


def refuse_provider_id(view: View) -> Iterable[Problem]:
    for host in view.cluster.nodes:
        given = str(view.nodes.get(host.name, {}).get("spec", {}).get("providerID", ""))
        if given and host.provider_id and given != host.provider_id:
            yield refused(
                f"hosts.{host.name}.provider_id",
                "a node's provider ID cannot be changed",
                found=f"{given} (Node object)",
                needed=host.provider_id,
                todo=f"if it is another machine now: `kprov down --limit {host.name}`, then `kprov up`; else write "
                f"`provider_id: {given}` again",
            )


def refuse_node_ip(view: View) -> Iterable[Problem]:
    """Members of etcd know each other by their addresses."""
    members = {member.name: member for member in etcd_members(view.observations) if member.name}
    for host in view.cluster.group("etcd"):
        urls = members[host.name].peer_urls if host.name in members else _recorded_peer(view, host, bool(members))
        try:
            desired = peer_url(host, view.facts)
        except (KeyError, ValueError):
            continue  # a host without an address is told elsewhere
        if not urls or desired in urls:
            continue
        old = urls[0].removeprefix("https://").partition(":")[0]
        yield refused(
            f"hosts.{host.name}.node_ip",
            "a member of etcd cannot be given another address: the others know it by the one it has",
            found=f"{old} ({'the member list of etcd' if host.name in members else 'etcd.service on the host'})",
            needed=desired.removeprefix("https://").partition(":")[0],
            todo=_leave_by(host, old, len(members)),
        )


def _recorded_peer(view: View, host: Host, answered: bool) -> tuple[str, ...]:
    """What the unit on the host says, while no member answers."""
    if answered or host.name not in view.observations or not view.observations[host.name].etcd.has_data:
        return ()
    return (unit_flags(view.observations[host.name], "etcd") or {}).get("initial-advertise-peer-urls", ())


def _leave_by(host: Host, old: str, members: int) -> str:
    if members > 2:
        return (
            f"write `node_ip: {old}` (its `address`, for SSH, may be the new one) and run `kprov down --limit {host.name}`; "
            "then write the new node_ip and run `kprov up`"
        )
    return (
        f"write `node_ip: {old}` again and let the host keep that address, a second one on its link will do; to leave it, "
        "first let etcd have three members (`groups`), then take this one out and in again"
    )


def refuse_name(view: View) -> Iterable[Problem]:
    """A machine that the cluster knows by another name."""
    machines = {
        str(node.get("status", {}).get("nodeInfo", {}).get("machineID", "")): name for name, node in view.nodes.items()
    }
    for host in view.cluster.hosts:
        seen = view.observations.get(host.name)
        if seen is None:
            continue
        old = own_name(seen)
        by = "the certificate that it has"
        if not old and seen.facts.machine_id and host.name not in view.nodes:
            old, by = machines.get(seen.facts.machine_id, ""), "the Node object with its machine id"
        if old and old != host.name:
            yield refused(
                f"hosts.{host.name}",
                "this machine is in the cluster under another name, and a host cannot be renamed in place",
                found=f"{old} ({by})",
                needed=host.name,
                todo=f"write `{old}` again and name the machine so (`hostnamectl set-hostname {old}`); to rename it: "
                f"`kprov down --limit {old}` under the old name, then name both {host.name} and run `kprov up`",
                name="HostRenamed",
            )


def refuse_groups(view: View) -> Iterable[Problem]:
    """A node that would be one no longer: its pods would lose their kubelet. All control planes at once likewise."""
    yield from _refuse_to_leave_all(view)
    for host in view.cluster.hosts:
        seen = view.observations.get(host.name)
        if host.is_node or seen is None or ("unit", "kubelet.service") not in seen.records:
            continue
        if view.objects is None or host.name in view.nodes:
            yield refused(
                f"hosts.{host.name}.groups",
                "a host cannot stop being a node in place: its pods would go with it",
                found=f"{host.name} is a node",
                needed=f"only {', '.join(sorted(host.groups))}",
                todo=f"write the old groups and run `kprov down --limit {host.name}`; then write the new ones and run "
                "`kprov up`",
            )


def _refuse_to_leave_all(view: View) -> Iterable[Problem]:
    """API servers of which none stays: nobody could be asked while others begin."""
    desired = [host.name for host in view.cluster.group("control_plane")]
    serve = [name for name, seen in view.observations.items() if KUBE_APISERVER.unit in seen.stamps]
    if serve and not set(serve) & set(desired) and set(desired) <= view.observations.keys():
        yield refused(
            f"hosts.{desired[0]}.groups",
            "the control plane cannot move in one step: none of its hosts would stay one",
            found=f"API servers on {', '.join(serve)}",
            needed=f"one of them beside {', '.join(desired)}, until these serve and etcd has its data there too",
            todo=f"let {', '.join(serve)} stay in the groups they are in, add {', '.join(desired)}, and run `kprov up`; when "
            "that is done, take out of the groups what is to leave, and run it again",
        )


def refuse_flags(view: View) -> Iterable[Problem]:
    for host in view.cluster.hosts:
        seen = view.observations.get(host.name)
        if seen is None or (view.limit is not None and host.name not in view.limit):
            continue
        for component, names in FIXED_FLAGS.items():
            lived = unit_flags(seen, component)
            if lived is None:
                continue
            for name in names:
                given = host.extra_args.get(component, {}).get(name)
                desired = tuple([given] if isinstance(given, str) else given or ())
                before = lived.get(name, ())
                if desired != before:
                    yield refused(
                        f"hosts.{host.name}.extra_args.{component}.{name}",
                        f"--{name} of {component} cannot be changed: what is stored now would be left behind",
                        found=f"{', '.join(before) or 'not set'} ({component}.service on {host.name})",
                        needed=", ".join(desired) or "not set",
                        todo=f"write what is found; to change it: `kprov down --limit {host.name}`, then `kprov up`",
                    )
