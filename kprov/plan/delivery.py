"""How binaries and images get to a host: what it can download itself, and what has to be pushed. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kprov.observe.observation import Observation
from kprov.plan.desired import Desired
from kprov.plan.host import HostPlan
from kprov.values.errors import PreflightError
from kprov.values.resources import Artifact, Binary, Image

Delivery = Literal["auto", "push", "download"]

_SHOWN = 8  # files named in a refusal


@dataclass(frozen=True, kw_only=True)
class Download:
    """What a host fetches: `sha256` is of the file at `url`; `member` is the program inside it when it is an archive."""

    url: str
    sha256: str
    encoding: Literal["raw", "archive"] = "raw"
    member: str = ""


def downloads(artifact: Artifact) -> tuple[Download, ...]:
    """All ways to download an artifact, the best first: the file itself from a mirror folder, else what upstream has."""
    ways = []
    if artifact.copy:
        ways.append(Download(url=artifact.copy, sha256=artifact.sha256))
    if artifact.url and artifact.member:
        ways.append(Download(url=artifact.url, sha256=artifact.url_sha256, encoding="archive", member=artifact.member))
    elif artifact.url:
        ways.append(Download(url=artifact.url, sha256=artifact.sha256))
    return tuple(ways)


def chosen(artifact: Artifact, reachable: Collection[str]) -> Download | None:
    """The first way whose URL the host can reach; None: it has to be pushed."""
    return next((way for way in downloads(artifact) if way.url in reachable), None)


def lacking(desired: Desired, seen: Observation) -> tuple[Artifact, ...]:
    """The artifacts whose content a host does not have yet, or not any more."""
    return tuple(
        resource.artifact
        for resources in desired.values()
        for resource in resources
        if (isinstance(resource, Binary) and _lacks(resource, seen))
        or (isinstance(resource, Image) and resource.key[1] not in seen.images)
    )


def _lacks(binary: Binary, seen: Observation) -> bool:
    state = seen.files.get(binary.path)
    return state is None or state.sha256 != binary.artifact.sha256


def urls(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    """Every URL that a host has to be asked about, each once."""
    return tuple(dict.fromkeys(way.url for artifact in artifacts for way in downloads(artifact)))


def require_downloads(plans: Mapping[str, HostPlan], observations: Mapping[str, Observation]) -> None:
    """For `delivery: download`: every program that a plan installs can be downloaded by its host.

    Images are not asked for: upstream publishes none as a file. Raises PreflightError.
    """
    missing = [
        (name, artifact)
        for name, plan in plans.items()
        for artifact in dict.fromkeys(
            change.resource.artifact
            for change in plan.changes
            if isinstance(change.resource, Binary) and change.action in ("create", "update")
        )
        if chosen(artifact, observations[name].reachable) is None
    ]
    if not missing:
        return
    rows = [
        f"{name}: {artifact.name} {artifact.version}: {_why(artifact, observations[name])}"
        for name, artifact in missing
    ]
    more = f"; {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    raise PreflightError(
        "hosts cannot download their programs; nothing was touched",
        where=", ".join(dict.fromkeys(name for name, _ in missing)),
        found="; ".join(rows[:_SHOWN]) + more,
        needed="a source that each host reaches itself, as artifacts.delivery is download",
        todo="try `curl -I URL` on the host and fix the route to it, or serve what hosts need from a folder of "
        "`kprov artifacts mirror` as artifacts.mirror, or set artifacts.delivery to auto or push",
    )


def _why(artifact: Artifact, seen: Observation) -> str:
    ways = downloads(artifact)
    if not ways:
        return "it was built here and there is no artifacts.mirror"
    return ", ".join(f"{way.url} ({seen.out_of_reach.get(way.url, 'not asked')})" for way in ways)
