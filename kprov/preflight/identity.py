"""Whether hosts are who the inventory says, and each only once: names, machine ids, addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.values.model import Cluster, ClusterFacts, Host

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NODE_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def check(host: Host, seen: Observation) -> Iterable[Problem]:
    """What one host tells of its own name. Hosts that are only etcd need no certain name: no kubelet runs there."""
    if not host.is_node:
        return
    own = seen.facts.hostname.lower()  # kubelet lower-cases it too
    if own == host.name:
        return
    if _NODE_NAME.fullmatch(own) and len(own) <= 253:
        what = "the host's own name is not its name in the inventory, and kubelet takes the host's own"
        todo = f"name it {own} in the inventory, or run `hostnamectl set-hostname {host.name}` on the host; "
        todo += "with preflight_ignore, kubelet runs with --hostname-override (against CIS 4.2.7)"
    else:
        what = "the host's own name is no valid node name"
        todo = f"run `hostnamectl set-hostname {host.name}` on the host"
    yield Problem(
        name="Hostname",
        host=host.name,
        what=what,
        found=seen.facts.hostname or "no hostname",
        needed=host.name,
        todo=todo,
    )


def compare(cluster: Cluster, observations: Mapping[str, Observation]) -> Iterable[Problem]:
    """What several hosts have in common though each must have its own."""
    facts = ClusterFacts({name: seen.facts for name, seen in observations.items()})
    hosts = [host for host in cluster.hosts if host.name in observations]
    yield from _twins(
        hosts,
        lambda host: facts[host.name].machine_id,
        name="MachineID",
        what="the machine id is that of another host, too: one was cloned from the other",
        todo="on the clone: rm /etc/machine-id; systemd-machine-id-setup; reboot",
    )
    yield from _twins(
        hosts,
        lambda host: facts[host.name].hostname.lower(),
        name="Hostname",
        what="another host has the same name",
        todo="give each its own with `hostnamectl set-hostname NAME`",
    )
    yield from _twins(
        hosts,
        lambda host: _node_ip(facts, host),
        name="NodeIP",
        what="another host has the same node address",
        todo="see whether the inventory names one machine twice; else give each host its own node_ip",
    )


def _node_ip(facts: ClusterFacts, host: Host) -> str:
    try:
        return facts.node_ip(host)
    except ValueError:
        return ""


def _twins(hosts: Iterable[Host], of: Callable[[Host], str], *, name: str, what: str, todo: str) -> Iterable[Problem]:
    sharing: dict[str, list[Host]] = {}
    for host in hosts:
        if of(host):
            sharing.setdefault(of(host), []).append(host)
    for value, twins in sharing.items():
        for host in twins if len(twins) > 1 else ():
            others = ", ".join(twin.name for twin in twins if twin is not host)
            yield Problem(
                name=name,
                host=host.name,
                what=what,
                found=f"{value}, as on {others}",
                needed="one of its own",
                todo=todo,
            )
