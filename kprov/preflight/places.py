"""Whether the places that a host's resources take are free: what is somebody else's is named, and never taken. Pure.

What is recorded in the host's ledger is kprov's. Files in the way of files are not named here: they are kept, and come
back with `down`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.plan.desired import Desired
from kprov.preflight.problem import Problem, judged
from kprov.values.model import Cluster
from kprov.values.resources import Binary, Directory, File, Unit
from kprov.values.runtimes import RUNTIMES

# What CNI plugins remember, of podman's and nerdctl's networks too: kprov's goes by name, the others' stays.
_SHARED = frozenset({"/var/lib/cni"})
_RUNTIME_UNITS = {unit for runtime in RUNTIMES.values() for unit in runtime.units}


def check(
    cluster: Cluster,
    desired: Mapping[str, Desired],
    observations: Mapping[str, Observation],
    limit: frozenset[str] | None = None,
) -> tuple[Problem, ...]:
    """Return all problems of the hosts that are to be touched, in inventory order.

    `observations` must have been asked `wanted.questions` of each host. Names in `cluster.preflight_ignore` are warnings.
    """
    names = [host.name for host in cluster.hosts if host.name in desired and (limit is None or host.name in limit)]
    found = [problem for name in names for problem in _one(name, desired[name], observations[name])]
    return judged(found, cluster.preflight_ignore)


def _one(host: str, desired: Desired, seen: Observation) -> Iterable[Problem]:
    for resources in desired.values():
        for resource in resources:
            if isinstance(resource, Directory):
                yield from _directory(host, resource, seen)
            elif isinstance(resource, Unit):
                yield from _unit(host, resource, seen)
            elif isinstance(resource, File | Binary):
                yield from _file(host, resource.path, seen)


def _directory(host: str, folder: Directory, seen: Observation) -> Iterable[Problem]:
    state = seen.files.get(folder.path)
    if folder.path in seen.links:
        yield _link(host, folder.path, seen.links[folder.path], recorded=folder.key in seen.records)
    elif state is not None and state.kind != "directory":
        yield _in_the_way(host, folder.path, state.kind, "a folder")
    if folder.path in seen.holding and folder.key not in seen.records and folder.path not in _SHARED:
        yield Problem(
            name="LeftOver",
            host=host,
            what="a folder that will hold the cluster's data holds something already",
            found=f"files in {folder.path}",
            needed="an empty folder, or none: all that is in it goes with `kprov down`",
            todo=_rescue(folder.path),
        )


def _rescue(path: str) -> str:
    remedy = f"move it away (mv {path} {path}.old), or remove it if nobody needs it"
    if any(path in runtime.folders for runtime in RUNTIMES.values()):
        return f"stop what uses it, then {remedy}; or choose another runtime for this node"
    return remedy


def _link(host: str, path: str, target: str, *, recorded: bool) -> Problem:
    first = "stop the units that use it; " if recorded else ""
    return Problem(
        name="SymbolicLink",
        host=host,
        what="a folder that kprov needs is a symbolic link",
        found=f"{path} leads to {target}",
        needed="a folder, which may be a mount point: programs that are given a link see the folder under two names",
        todo=f"{first}put a bind mount in its place: mkdir -p {target} && rm {path} && mkdir {path} && "
        f"echo '{target} {path} none bind 0 0' >> /etc/fstab && mount {path}",
    )


def _file(host: str, path: str, seen: Observation) -> Iterable[Problem]:
    state = seen.files.get(path)
    if state is not None and state.kind == "directory":
        yield _in_the_way(host, path, "directory", "a file")


def _in_the_way(host: str, path: str, kind: str, needed: str) -> Problem:
    return Problem(
        name="InTheWay",
        host=host,
        what="something else has the place of what kprov puts there",
        found=f"a {kind}: {path}",
        needed=f"{needed} of that name",
        todo=f"move it away: mv {path} {path}.old",
    )


def _unit(host: str, unit: Unit, seen: Observation) -> Iterable[Problem]:
    yield from _file(host, unit.path, seen)
    state = seen.units.get(unit.name)
    ours = any(key in seen.records for key in (unit.key, ("file", unit.path)))
    if ours or state is None or not state.loaded:
        return
    fragment = state.fragment or unit.path
    other = ", or choose another runtime for this node" if unit.name in _RUNTIME_UNITS else ""
    yield Problem(
        name="ForeignUnit",
        host=host,
        what=f"there is a {unit.name} that is not kprov's",
        found=f"{fragment}, {state.active}, {state.enabled or 'not installed for boot'}",
        needed=f"the name {unit.name} for the unit that kprov writes",
        todo=f"if nothing on this host needs it, remove the package it came with (dpkg -S or rpm -qf {fragment} "
        f"names it, what else needs it is told by `systemctl list-dependencies --reverse {unit.name}`){other}",
    )
