"""What is not well on hosts of a living cluster though every file and unit of kprov's is in order: a table, fact → finding.

`kprov status` shows the findings and ends with 1 while there is one; `kprov plan` and `kprov up` warn of them. A row is
a name, a function of one host's observation that yields sentences, and what to do. Pure; what a host may be like before
the first run is preflight's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from kprov.observe.observation import Observation
from kprov.plan import kms_findings, network_findings, timed_backup
from kprov.plan.ending_certificates import ending
from kprov.plan.network_hosts import is_open_by_age
from kprov.plan.policy_findings import beginning, unenforced
from kprov.roles.host import overruled
from kprov.values.model import Cluster, Host

_DISK_LEAST = 0.1  # of its size: where kubelet begins to evict pods (evictionHard nodefs.available)
_INODES_LEAST = 0.05  # likewise: evictionHard nodefs.inodesFree
_CLOCK_SECONDS = 10.0  # a quarter of a node's lease; `kprov up` refuses hosts that are 30 s apart
_NAMED = 3  # namespaces


@dataclass(frozen=True, kw_only=True)
class Finding:
    """name: of its row, a word to search for. what: a sentence. todo: what leads out of it."""

    name: str
    host: str
    what: str
    todo: str
    grave: bool = True  # whether the cluster is not well with it

    def __str__(self) -> str:
        return f"{self.host}: {self.what} ({self.name})\n  do: {self.todo}"


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One host as it was seen."""

    cluster: Cluster
    host: Host
    seen: Observation
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    find: Callable[[Sight], Iterable[str]]
    todo: str
    grave: bool = True


def findings(cluster: Cluster, observations: Mapping[str, Observation], now: datetime) -> tuple[Finding, ...]:
    """Return all findings, host by host in the order of the inventory. Of hosts without anything of kprov's there are none.

    now: aware UTC.
    """
    return tuple(
        Finding(name=row.name, host=host.name, what=what, todo=row.todo, grave=row.grave)
        for host in cluster.hosts
        if host.name in observations and observations[host.name].records
        for row in ROWS
        for what in row.find(Sight(cluster=cluster, host=host, seen=observations[host.name], now=now))
    )


def _restless_units(sight: Sight) -> Iterable[str]:
    for name, state in sight.seen.units.items():
        if state.loaded and state.restarts and not state.running:
            yield f"{name} does not stay up: {state}"


def _hostname(sight: Sight) -> Iterable[str]:
    """Kubelet takes the name that the host has when it starts; it is not restarted when that changes."""
    host, facts = sight.host, sight.seen.facts
    if not host.is_node or "hostname" in {name.lower() for name in sight.cluster.preflight_ignore}:
        return  # then the name stands in kubelet's unit
    for name, when in ((facts.hostname, "starts next"), (facts.settings.static_hostname, "starts after the next boot")):
        if name and name.lower() != host.name:
            yield f"it is called {name} by now: kubelet would be another node when it {when}"
            return


def _dropins(sight: Sight) -> Iterable[str]:
    for unit, paths in sight.seen.surroundings.dropins.items():
        if ("unit", unit) in sight.seen.records:
            yield f"{unit} is changed by {', '.join(paths)}, which is not kprov's"


def _hosts_open(sight: Sight) -> Iterable[str]:
    if is_open_by_age(sight.cluster.network, sight.seen):
        yield "pods reach etcd, sshd and kubelet of hosts, and a cloud's metadata: this node is older than the key for it"


def _etcd_alarm(sight: Sight) -> Iterable[str]:
    reason = sight.seen.surroundings.etcd
    if "NOSPACE" in reason:
        yield f"etcd's store is full ({reason}): the API answers, and refuses every change"
    elif reason:
        yield f"etcd says of itself that it is not healthy: {reason}"


def _api_server(sight: Sight) -> Iterable[str]:
    """Its unit runs: where it does not, there is nobody to say anything."""
    words = [line.strip() for line in sight.seen.objects_error.splitlines() if line.strip()]
    if sight.seen.objects is None and words:
        yield f"its API server does not list the cluster's objects: {words[-1]}"


def _webhook(sight: Sight) -> Iterable[str]:
    if words := " ".join(sight.seen.webhook_error.split()):
        yield f"its API server makes no pods: {words}"


def _disks(sight: Sight) -> Iterable[str]:
    """A disk that carries several folders is told once."""
    facts = sight.seen.facts
    full: dict[tuple[int, int], list[str]] = {}
    for folder, free in facts.disk_free.items():
        size = facts.disk_size.get(folder, 0)
        if size and free < size * _DISK_LEAST:
            full.setdefault((free, size), []).append(folder)
    for (free, size), folders in full.items():
        yield (
            f"the disk of {', '.join(folders)} is nearly full: {free / 2**30:.1f} of {size / 2**30:.1f} GiB are free"
        )


def _inodes(sight: Sight) -> Iterable[str]:
    full: dict[float, list[str]] = {}
    for folder, share in sight.seen.facts.inodes_free.items():
        if share < _INODES_LEAST:
            full.setdefault(share, []).append(folder)
    for share, folders in full.items():
        yield (
            f"the disk of {', '.join(folders)} takes hardly any more files: {share:.1%} of its inodes are free, whatever "
            "room there is"
        )


def _clock(sight: Sight) -> Iterable[str]:
    skew = sight.seen.facts.clock_skew
    if abs(skew) > _CLOCK_SECONDS:
        yield f"its clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"


def _sysctls(sight: Sight) -> Iterable[str]:
    for name, desired, wins in overruled(sight.host, sight.seen.facts.settings):
        yield f"{name} is {wins.value} from the next boot on, and {desired} is needed: {wins.path} is read after kprov's file"


def _timed_backups(sight: Sight) -> Iterable[str]:
    return timed_backup.troubles(sight.cluster, sight.host.name, sight.seen, sight.now)


ROWS: tuple[Row, ...] = (
    Row(
        name="UnitRestless",
        find=_restless_units,
        todo="look at `journalctl -u UNIT -n 50`; the next `kprov up` restarts it and waits until it stays up",
    ),
    Row(
        name="ServiceRules",
        find=lambda sight: network_findings.service_rules(sight.cluster, sight.seen),
        todo=(
            "something flushed the firewall (`nft flush ruleset`, `iptables -t nat -F`): kprov-service-rules.service puts "
            "the rules back within 15 s; if they stay away, `systemctl restart kube-proxy` on the host"
        ),
    ),
    Row(
        name="Forwarding",
        find=lambda sight: network_findings.forwarding(sight.seen),
        todo=(
            "`sysctl -w NAME=1`, and see who wrote 0 (a VPN, libvirt, a firewall, a file in /etc/sysctl.d); with the "
            "networks routed and vxlan, kprov-network.service writes 1 again within 15 s"
        ),
    ),
    Row(
        name="PeerRoute",
        find=lambda sight: network_findings.peer_routes(sight.seen),
        todo=(
            "look at `ip rule` and `ip route get ADDRESS` on the host: another program's policy rule or route (a VPN's, a "
            "mesh's) covers the pod network; take the pod network out of it"
        ),
    ),
    Row(
        name="CniFile",
        find=lambda sight: network_findings.cni_files(sight.cluster, sight.seen),
        todo="remove the file, or move it to another folder, then delete the pods that have an address of the other network",
    ),
    Row(
        name="CniShared",
        find=lambda sight: network_findings.shared_cni_files(sight.cluster, sight.seen),
        todo="leave it if it hands pods over to the cluster's network, as Multus does; else remove it, then delete the pods "
        "that have an address of the other network",
        grave=False,  # such a file may be somebody's decision
    ),
    Row(
        name="Hostname",
        find=_hostname,
        todo="`hostnamectl set-hostname NAME` with its name in the inventory; see what else sets one (DHCP, cloud-init)",
    ),
    Row(
        name="DropIn",
        find=_dropins,
        todo="leave it if it is meant; else remove the file and run `systemctl daemon-reload`",
        grave=False,  # a drop-in may be somebody's decision
    ),
    Row(
        name="PolicyUnenforced",
        find=lambda sight: unenforced(sight.cluster.network, sight.seen),
        todo="do not rely on them; with the networks routed and vxlan, `network: {policies: on}` enforces them, and calico "
        "and cilium do by themselves",
        grave=False,  # pods are reached, as they were without a policy
    ),
    Row(
        name="PolicyBegins",
        find=lambda sight: beginning(sight.cluster.network, sight.seen),
        todo="look at them first (`kubectl get networkpolicies -A`), or write `network: {policies: off}`",
        grave=False,  # it is what they ask for
    ),
    Row(
        name="HostsOpen",
        find=_hosts_open,
        todo="write `network: {hosts: closed}`: nothing of kprov's own needs them; or `open`, where pods of yours do",
        grave=False,  # as it was when the cluster was made
    ),
    Row(
        name="DiskSpace",
        find=_disks,
        todo="make room, or give it a larger disk: kubelet evicts pods below 10 %, and etcd stops at a full disk",
    ),
    Row(
        name="Inodes",
        find=_inodes,
        todo=(
            "`du --inodes -xS / | sort -n | tail` names the folders with the most files; remove what nobody needs: kubelet "
            "evicts pods below 5 %, and etcd stops when it can make no file"
        ),
    ),
    Row(
        name="Clock",
        find=_clock,
        todo="let a time service run there (chrony, systemd-timesyncd): certificates, leases and logs are compared by clocks",
    ),
    Row(
        name="Sysctl",
        find=_sysctls,
        todo="take the line out of that file; what kprov needs is in /etc/sysctl.d/zz-kprov.conf",
    ),
    Row(
        name="Certificate",
        find=lambda sight: ending(sight.seen, sight.now, signed_by_itself=False),
        todo="run `kprov up`, which renews it",
    ),
    Row(
        name="Authority",
        find=lambda sight: ending(sight.seen, sight.now, signed_by_itself=True),
        todo=(
            "of a registry or another server that the inventory names: put its new certificate into the file beside the "
            "inventory and run `kprov up`; `kprov certs list` tells the ends of the cluster's own authorities"
        ),
    ),
    Row(
        name="ApiServer",
        find=_api_server,
        todo=(
            "look at `journalctl -u kube-apiserver -n 50` and at etcd; until an API server answers, no plan knows which "
            "objects differ"
        ),
    ),
    Row(
        name="KmsPlugin",
        find=lambda sight: kms_findings.unwell(sight.cluster.api.encryption, sight.seen.kms),
        todo=(
            "start its plugin on that host, and let the user kube-apiserver at its socket; until then that API server is not "
            "ready, and after three minutes it writes nothing that the KMS encrypts (docs/access.md)"
        ),
    ),
    Row(
        name="Webhook",
        find=_webhook,
        todo=(
            "see why what answers it does not (`kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations "
            "-o wide` names its Service); until it does, delete that configuration: its owner makes it again"
        ),
    ),
    Row(
        name="EtcdAlarm",
        find=_etcd_alarm,
        todo=(
            "of a full store: raise `etcd: {quota_bytes: …}` in the inventory and run `kprov up`, which clears the alarm; "
            "otherwise look at `journalctl -u etcd -n 50`"
        ),
    ),
    Row(
        name=timed_backup.NAME,
        find=_timed_backups,
        todo="look at `journalctl -u kprov-backup -n 50` there; it is tried again by itself, by any host of etcd",
    ),
)
