"""Whether the versions that are desired can follow those that run: no way back, no minor left out, no kubelet too far off.

Pure: it judges what hosts said. Rules: Kubernetes' version skew policy, etcd's upgrade guides (3.7 wants 3.6.11 first).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.values.model import Cluster, Host
from kprov.values.versions import Version, numbers

Minor = tuple[int, int]

OLDEST_KUBELET = 3  # minors behind the API server
# etcd's minor → what every member must run before the first of them takes the step to it.
_FLOORS: Mapping[Minor, Version] = {(3, 7): (3, 6, 11)}


@dataclass(frozen=True, kw_only=True)
class Running:
    """One program on one host. `version`: None when it has never run there, or when it is not known which one does.

    answered: whether the host could be asked. touched: whether this run may change it.
    """

    host: str
    program: str
    version: Version | None
    known: bool
    answered: bool
    touched: bool


def compare(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None
) -> Iterable[Problem]:
    """Every refusal, at the hosts that are to be touched; those that `limit` leaves out keep what they run."""

    def programs(name: str, hosts: Iterable[Host]) -> list[Running]:
        return [
            running(name, host.name, observations.get(host.name), touched=limit is None or host.name in limit)
            for host in hosts
        ]

    desired = numbers(cluster.versions["kubernetes"])
    members = programs("etcd", cluster.group("etcd"))
    servers = programs("kube-apiserver", cluster.group("control_plane"))
    kubelets = programs("kubelet", cluster.nodes)
    if desired is None:
        return
    etcd = numbers(cluster.versions.get("etcd", ""))
    if etcd is not None:
        yield from _steps(members, etcd)
        yield from _floor(members, etcd)
    yield from _steps(servers, desired)
    yield from _kubelets(kubelets, servers, desired)
    yield from _left_behind(kubelets, servers, desired)
    yield from _unknown([*members, *servers, *kubelets], desired)


def running(program: str, host: str, seen: Observation | None, *, touched: bool) -> Running:
    """What of a program runs on a host, out of `Observation.versions`."""
    there = seen is None or has_run(seen, program)
    version = numbers(seen.versions.get(program, "")) if seen is not None and there else None
    return Running(
        host=host,
        program=program,
        version=version,
        known=version is not None or not there,
        answered=seen is not None,
        touched=touched,
    )


def has_run(seen: Observation, program: str) -> bool:
    """Whether kprov has ever started this program here: its unit is recorded before it is first started."""
    return ("unit", f"{program}.service") in seen.records


def _steps(parts: Sequence[Running], desired: Version) -> Iterable[Problem]:
    """Members of one group: neither behind the newest nor more than one minor before the oldest of them."""
    there = [part for part in parts if part.version is not None]
    if not there:
        return
    newest, oldest = max(there, key=_minor), min(there, key=_minor)
    for part in parts:
        if not part.touched:
            continue
        if desired[:2] < _minor(newest):
            yield _downgrade(part, part if _minor(part) == _minor(newest) else newest, desired)
        elif _distance(_minor(oldest), desired[:2]) > 1:
            yield _skipped(part, part if _minor(part) == _minor(oldest) else oldest, desired)


def _downgrade(part: Running, newest: Running, desired: Version) -> Problem:
    kept = _dotted(_minor(newest))
    back = (
        "to go back, restore a snapshot of etcd that was taken before, or use `etcdctl downgrade` by hand"
        if part.program == "etcd"
        else "to go back, restore a snapshot of etcd that was taken before the upgrade"
    )
    return Problem(
        name="VersionDowngrade",
        host=part.host,
        what=f"{part.program} would go back by a minor version, which upstream does not support",
        found=_found(newest, part),
        needed=f"{kept} or later; {_dotted(desired)} is desired",
        todo=f"write {_setting(part.program, kept, newest)} in the inventory; {back}",
    )


def _skipped(part: Running, oldest: Running, desired: Version) -> Problem:
    path = [_dotted((desired[0], minor)) for minor in range(_minor(oldest)[1] + 1, desired[1] + 1)]
    path = path if desired[0] == _minor(oldest)[0] else ["every minor version in between"]
    return Problem(
        name="VersionSkip",
        host=part.host,
        what=f"{part.program} would leave out a minor version",
        found=_found(oldest, part),
        needed=f"{_dotted(_minor(oldest))} or {path[0]} as the next step; {_dotted(desired)} is desired",
        todo=f"go through {', then '.join(path)}: write each in turn in the inventory and run `kprov up`",
    )


def _floor(members: Sequence[Running], desired: Version) -> Iterable[Problem]:
    floor = _FLOORS.get(desired[:2])
    if floor is None:
        return
    behind = [
        part for part in members if part.version is not None and (floor[0], floor[1] - 1, 0) <= part.version < floor
    ]
    for part in members if behind else ():
        if part.touched:
            yield Problem(
                name="VersionSkip",
                host=part.host,
                what=f"etcd takes the step to {_dotted(desired[:2])} only from {_dotted(floor)} or later",
                found=", ".join(f"etcd {_dotted(other.version or ())} on {other.host}" for other in behind),
                needed=f"{_dotted(floor)} or a later {_dotted(floor[:2])} on every member; {_dotted(desired)} is desired",
                todo=f"write such a version as `versions: {{etcd: …}}`, run `kprov up`, then {_dotted(desired)}",
            )


def _kubelets(kubelets: Sequence[Running], servers: Sequence[Running], desired: Version) -> Iterable[Problem]:
    """Kubelets that are to be touched: not back, not newer than an API server that stays, not too old for one."""
    staying = [part for part in servers if part.version is not None and not part.touched]
    for part in kubelets:
        if not part.touched:
            continue
        if part.version is not None and desired[:2] < part.version[:2]:
            yield _downgrade(part, part, desired)
            continue
        older = [server for server in staying if _minor(server) < desired[:2]]
        newer = [server for server in staying if _distance(desired[:2], _minor(server)) > OLDEST_KUBELET]
        if older:
            minor = min(map(_minor, older))
            names = ", ".join(server.host for server in older)
            yield Problem(
                name="VersionSkew",
                host=part.host,
                what="kubelet would be newer than an API server",
                found=f"kube-apiserver {_listed(older)}, which --limit leaves as they are",
                needed=f"kubelet {_dotted(minor)} or older; {_dotted(desired)} is desired",
                todo=f"upgrade the control plane first: `kprov up` with `--limit {names.replace(' ', '')}`, or without",
            )
        elif newer:
            first = (newer[0].version or desired)[1] - OLDEST_KUBELET
            yield Problem(
                name="VersionSkew",
                host=part.host,
                what=f"kubelet would be more than {OLDEST_KUBELET} minor versions older than an API server",
                found=f"kube-apiserver {_listed(newer)}",
                needed=f"kubelet {_dotted((desired[0], first))} or later; {_dotted(desired)} is desired",
                todo=f'write `kubernetes: "{_dotted(_minor(newer[0]))}"` in the inventory',
            )


def _left_behind(kubelets: Sequence[Running], servers: Sequence[Running], desired: Version) -> Iterable[Problem]:
    """API servers go first: at that moment every kubelet is still as it is now."""
    old = [part for part in kubelets if part.version and _distance(_minor(part), desired[:2]) > OLDEST_KUBELET]
    now = [server for server in servers if server.version is not None]
    if not old or not now:
        return
    oldest = _dotted((desired[0], desired[1] - OLDEST_KUBELET))
    for server in servers:
        if server.touched:
            yield Problem(
                name="VersionSkew",
                host=server.host,
                what=f"kubelets would be more than {OLDEST_KUBELET} minor versions older than the API server",
                found=f"kubelet {_listed(old)}",
                needed=f"kubelet {oldest} or later everywhere before kube-apiserver {_dotted(desired)}",
                todo=f'first run `kprov up` with `kubernetes: "{_dotted(min(map(_minor, now)))}"` for '
                f"{', '.join(part.host for part in old)}",
            )


def _unknown(parts: Sequence[Running], desired: Version) -> Iterable[Problem]:
    """Told, never refused: a program of foreign making. A host nobody could ask matters only while versions move."""
    touched = [part.host for part in parts if part.touched]
    moving = any(part.version and part.program != "etcd" and _minor(part) != desired[:2] for part in parts)
    for part in parts:
        matters = part.answered if part.touched else moving  # of a host that is to be touched more is said elsewhere
        if part.known or not touched or not matters:
            continue
        yield Problem(
            name="VersionUnknown",
            host=part.host if part.touched else touched[0],
            what=f"it is not known which version of {part.program} runs {_where(part)}, so its step is not checked",
            found="a program that kprov does not know and that tells no version, or no answer",
            needed="a version that the desired one may follow",
            todo=f"see for yourself: `/opt/kprov/bin/{part.program} --version` there",
            severity="warning",
        )


def _minor(part: Running) -> Minor:
    return part.version[:2] if part.version is not None else (0, 0)


def _distance(old: Minor, new: Minor) -> int:
    """Minors from old to new; another major is always too far."""
    return new[1] - old[1] if new[0] == old[0] else (1000 if new > old else -1000)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _found(other: Running, part: Running) -> str:
    place = "runs here" if other is part else f"runs on {other.host}"
    return f"{other.program} {_dotted(other.version or ())} {place}"


def _listed(parts: Sequence[Running]) -> str:
    return ", ".join(f"{_dotted(part.version or ())} on {part.host}" for part in parts)


def _where(part: Running) -> str:
    return "here" if part.touched else f"on {part.host}"


def _setting(program: str, minor: str, newest: Running) -> str:
    if program == "etcd":
        return f'`versions: {{etcd: "{_dotted(newest.version or ())}"}}`'
    return f'`kubernetes: "{minor}"`'
