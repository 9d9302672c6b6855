"""Whether hosts are who the inventory says, and each only once: names, machine ids, addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem, Severity
from kprov.values.addresses import bare
from kprov.values.model import Cluster, ClusterFacts, Host

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NODE_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def check(host: Host, seen: Observation) -> Iterable[Problem]:
    """What one host tells of its own name. Hosts that are only etcd need no certain name: no kubelet runs there."""
    if not host.is_node:
        return
    own = seen.facts.hostname.lower()  # kubelet lower-cases it too
    static = seen.facts.settings.static_hostname.lower()
    if own == host.name:
        yield from _lost_at_boot(host, seen, static)
        return
    rename = f"run `hostnamectl set-hostname {host.name}` on the host"
    if static == host.name:
        what = (
            "the host runs under another name than its own: it was set for this boot only (by DHCP, or `hostname NAME`)"
        )
        todo = f"{rename}, which sets the running one again"
    elif _is_node_name(own) and static in ("", own):
        what = "the host's own name is not its name in the inventory, and kubelet takes the host's own"
        todo = f"name it {own} in the inventory, or {rename}; "
        todo += "with preflight_ignore, kubelet runs with --hostname-override (against CIS 4.2.7)"
    elif _is_node_name(own):
        what = "the host's name is not its name in the inventory, and the one it runs under is lost at the next boot"
        todo = rename if not _is_node_name(static) else f"{rename}; or name it {static} in the inventory and run "
        todo += "" if not _is_node_name(static) else f"`hostnamectl set-hostname {static}`"
    else:
        what = "the host's own name is no valid node name"
        todo = rename
    yield Problem(
        name="Hostname",
        host=host.name,
        what=what,
        found=_names(seen.facts.hostname, static),
        needed=host.name,
        todo=todo,
    )


def _lost_at_boot(host: Host, seen: Observation, static: str) -> Iterable[Problem]:
    """The name fits now, and /etc/hostname says another: at the next boot kubelet would be another node.

    Of a host that is in a cluster by now, the findings tell it.
    """
    if static in ("", host.name) or seen.records:
        return
    yield Problem(
        name="Hostname",
        host=host.name,
        what="the host's name is lost at the next boot: kubelet would come back under another one",
        found=_names(seen.facts.hostname, static),
        needed=f"{host.name} in /etc/hostname too",
        todo=f"run `hostnamectl set-hostname {host.name}` on the host",
    )


def _names(running: str, static: str) -> str:
    shown = running or "no hostname"
    return shown if static in ("", running.lower()) else f"{shown}, and {static} in /etc/hostname"


def _is_node_name(name: str) -> bool:
    return bool(_NODE_NAME.fullmatch(name)) and len(name) <= 253


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
        lambda host: _mac(facts, host),
        name="MacAddress",
        what="the link of the node address has the MAC address of another host: packets for one reach the other, unless a "
        "router lies between them",
        todo="give the clone's network card a MAC address of its own, where the machine is defined",
        severity="warning",
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


def _mac(facts: ClusterFacts, host: Host) -> str:
    own = _node_ip(facts, host)
    links = (link for link in facts[host.name].interfaces if own and own in map(bare, link.addresses))
    return next((link.mac for link in links), "")


def _twins(
    hosts: Iterable[Host], of: Callable[[Host], str], *, name: str, what: str, todo: str, severity: Severity = "error"
) -> Iterable[Problem]:
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
                severity=severity,
            )
