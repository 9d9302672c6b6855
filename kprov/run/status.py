"""`kprov status`: asks every host once, and says what they told: components, etcd, API servers, nodes, add-ons.

Nothing on a host is changed; `summarize` is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509

from kprov.addon.state import AddonStatus, addon_states
from kprov.objects.objects import Object, is_ready
from kprov.observe.gather import Fleet, gather
from kprov.observe.observation import EtcdMember, Observation, UnitState
from kprov.observe.probe import Question
from kprov.plan.cluster_findings import cluster_findings
from kprov.plan.findings import Finding, findings
from kprov.plan.questions import with_objects
from kprov.plan.quorum import quorum_finding
from kprov.plan.timed_backup import newest
from kprov.run.backup_places import place_of
from kprov.run.refusals import refuse_foreign_trust
from kprov.run.workspace import Workspace
from kprov.state.backup_place import kept
from kprov.values.components import BY_NAME, COMPONENTS
from kprov.values.errors import BackupError, KprovError, PkiError, PreflightError
from kprov.values.model import Cluster, Host

MISSING = "missing"  # the unit state of a component that should be there


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """One component on one host. `expires_in`: whole days until its first certificate ends, None without one."""

    name: str
    version: str
    unit: str
    health: str
    expires_in: int | None

    @property
    def good(self) -> bool:
        return self.unit == "active" and self.health == "ok" and (self.expires_in is None or self.expires_in > 0)


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """One host; `error` is why it is unreachable."""

    name: str
    components: tuple[ComponentStatus, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    name: str
    id: str
    leader: bool
    learner: bool


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    name: str
    ready: bool
    version: str


@dataclass(frozen=True, kw_only=True)
class BackupStatus:
    """The newest backup, by its name; age in seconds. Without a path there is none; `error` is why nobody can say.

    host: that has it, of those that hosts take by themselves.
    """

    path: str = ""
    age: int = 0
    size: int = 0
    error: str = ""
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The whole cluster.

    nodes, addons: None when no API server is reachable; a desired node without a Node is in it.
    """

    hosts: tuple[HostStatus, ...]
    members: tuple[MemberStatus, ...]
    api_servers: Mapping[str, bool]
    nodes: tuple[NodeStatus, ...] | None
    addons: tuple[AddonStatus, ...] | None = None
    findings: tuple[Finding, ...] = ()
    backup: BackupStatus = BackupStatus()
    timed: BackupStatus | None = None  # None where hosts take none

    @property
    def good(self) -> bool:
        return (
            not any(finding.grave for finding in self.findings)
            and all(not host.error and all(component.good for component in host.components) for host in self.hosts)
            and any(member.leader for member in self.members)
            and all(self.api_servers.values())
            and bool(self.nodes)
            and all(node.ready for node in self.nodes or ())
            and all(addon.good for addon in self.addons or ())
        )


def summarize(
    cluster: Cluster, observations: Mapping[str, Observation], failures: Mapping[str, KprovError], now: datetime
) -> Status:
    """`now`: aware UTC."""
    live = next((seen.objects for seen in observations.values() if seen.objects is not None), None)
    lost = quorum_finding(cluster, observations, failures)
    return Status(
        hosts=tuple(
            HostStatus(name=host.name, components=tuple(_components(cluster, host, observations[host.name], now)))
            if host.name in observations
            else HostStatus(name=host.name, error=failures[host.name].what)
            for host in cluster.hosts
        ),
        members=_members(observations.values()),
        api_servers={
            host.name: host.name in observations and observations[host.name].health.get("kube-apiserver") == "ok"
            for host in cluster.group("control_plane")
        },
        nodes=None if live is None else _nodes(cluster, live),
        addons=None if live is None else addon_states(cluster.addons, live),
        findings=(
            *((lost,) if lost is not None else ()),
            *findings(cluster, observations, now),
            *cluster_findings(live or ()),
        ),
        timed=_timed(cluster, observations, now),
    )


def _components(cluster: Cluster, host: Host, seen: Observation, now: datetime) -> Iterable[ComponentStatus]:
    for component in COMPONENTS:
        if component.runs_on(cluster, host) and component.name not in seen.health:
            yield ComponentStatus(name=component.name, version="", unit=MISSING, health="-", expires_in=None)
    for name, health in seen.health.items():
        state = seen.units.get(f"{name}.service")
        yield ComponentStatus(
            name=name,
            version=_version(seen.versions.get(name, "")),
            unit=_unit(state),
            health=health,
            expires_in=_first_end(seen, name, now),
        )


def _unit(state: UnitState | None) -> str:
    if state is None:
        return "not kprov's"
    return state.active if state.running or state.active != "active" else "restless"


def _version(text: str) -> str:
    """`v1.37.2` out of whatever a program says of itself; the text itself when there is no number in it."""
    for word in text.split():
        bare = word.removeprefix("v").rstrip(",")
        if bare[:1].isdigit() and "." in bare:
            return f"v{bare}"
    return text


def _first_end(seen: Observation, name: str, now: datetime) -> int | None:
    ends = []
    component = BY_NAME.get(name)  # what an older kprov left is not known any more
    for leaf in component.leaves if component is not None else ():
        pem = seen.texts.get(leaf.paths[0])
        if pem is None:
            continue
        try:
            ends.append(x509.load_pem_x509_certificate(pem).not_valid_after_utc)
        except ValueError:
            return 0  # a certificate that cannot be read serves nobody
    return (min(ends) - now.astimezone(UTC)).days if ends else None


def _members(observations: Iterable[Observation]) -> tuple[MemberStatus, ...]:
    leader = ""
    members: tuple[EtcdMember, ...] = ()
    for seen in observations:
        leader = seen.etcd.leader or leader
        members = seen.etcd.members or members
    return tuple(
        MemberStatus(name=member.name, id=member.id, leader=member.id == leader, learner=member.learner)
        for member in members
    )


def _nodes(cluster: Cluster, live: Iterable[Object]) -> tuple[NodeStatus, ...]:
    there = tuple(
        NodeStatus(
            name=str(item["metadata"]["name"]),
            ready=is_ready(item),
            version=str(item.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")),
        )
        for item in live
        if item["kind"] == "Node"
    )
    names = {node.name for node in there}
    absent = [host.name for host in cluster.nodes if host.name not in names]
    return (*there, *(NodeStatus(name=name, ready=False, version=MISSING) for name in absent))


def _timed(cluster: Cluster, observations: Mapping[str, Observation], now: datetime) -> BackupStatus | None:
    """The newest of those that hosts take."""
    if not cluster.backup.every:
        return None
    word = newest(observations)
    if word is None or not word.at:
        return BackupStatus(error=word.error if word is not None else "")
    return BackupStatus(
        path=f"{cluster.backup.folder}/{word.file}",
        age=max(0, int(now.timestamp()) - word.at),
        size=word.size,
        error=word.error,
        host=word.by,
    )


def last_backup(workspace: Workspace, now: datetime) -> BackupStatus:
    """Return what the place of backups says of the newest one. now: aware UTC."""
    try:
        found = kept(place_of(workspace), workspace.cluster.name)
    except BackupError as error:
        return BackupStatus(error=f"{error.where}: {error.found or error.what}")
    if not found:
        return BackupStatus()
    last = found[-1]
    return BackupStatus(path=last.where, age=int((now - last.made).total_seconds()), size=last.size)


def ask(workspace: Workspace) -> Status:
    """Ask every host, and say all that is known of the cluster now."""
    fleet, now = look(workspace), datetime.now(UTC)
    found = summarize(workspace.cluster, fleet.observations, fleet.failures, now)
    findings = (*_of_folder(workspace, fleet), *found.findings)
    return replace(found, backup=last_backup(workspace, now), findings=findings)


def _of_folder(workspace: Workspace, fleet: Fleet) -> tuple[Finding, ...]:
    """Return the finding of a state folder that is not the one these hosts live by; nothing where it is."""
    try:
        refuse_foreign_trust(workspace.store, fleet, workspace.places)
    except (PkiError, PreflightError) as error:
        what = f"{error.what.removesuffix('; nothing was touched')}: {error.found or error.where}"
        return (Finding(name="StateFolder", host=str(workspace.store.path), what=what, todo=error.todo),)
    return ()


def look(workspace: Workspace) -> Fleet:
    """Ask every host about itself: one exec a host, and nothing changes. Sessions are closed.

    Hosts that are unreachable are in the failures.
    """
    cluster = workspace.cluster
    questions = {host.name: Question(status=True) for host in cluster.hosts}
    if workspace.credential is not None and workspace.store.signs("kubernetes"):
        for host in cluster.group("control_plane"):
            question = with_objects(questions[host.name], workspace.credential)
            questions[host.name] = replace(question, kms=workspace.asks_kms)
    fleet = gather(workspace.transport, cluster.hosts, questions, forks=workspace.options.forks)
    fleet.close()
    return fleet
