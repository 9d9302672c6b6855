"""From a host's plan to what is sent to it: the operations of one stage and their payload.

Pure. What operations there are is declared in wire.py. They are data: no value is ever part of a shell program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.observe.observation import Observation
from kprov.plan.delivery import Download
from kprov.plan.difference import LOOSE
from kprov.plan.going_back import disturbed, kept, stays
from kprov.plan.host import DATA, Change, HostPlan, Restart
from kprov.values.certificate import CertificateSpec
from kprov.values.resources import (
    Artifact,
    Binary,
    Certificate,
    Directory,
    File,
    Gate,
    Image,
    KernelModule,
    Key,
    Package,
    Resource,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

Issue = Callable[[CertificateSpec], tuple[bytes, bytes]]  # specification → certificate PEM, key PEM
Packed = Callable[[Artifact], tuple[Path, Literal["gzip", "raw"]]]  # artifact → the file to send, how it is packed

_STEADY_SECONDS = 60  # that a unit without gates of its own gets to stay up

# What has to exist before what: within a stage, changes are carried out in this order.
_ORDER: tuple[type, ...] = (Package, User, SwapOff, KernelModule, Sysctl, Directory, Binary, File, Certificate, Unit)


# And in which order things go: a unit stops while its file and program are there, a folder is left when it is empty.
_REMOVAL_ORDER = ("image", "unit", "file", "binary", "package", "user", "sysctl", "module", "swap", "directory")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """How content that is not in the plan is had: certificates are issued, artifacts are read or downloaded."""

    issue: Issue
    packed: Packed
    download: Callable[[Artifact], Download | None]  # how this host gets it itself, None: it has to be pushed


def stage_batch(plan: HostPlan, stage: str, seen: Observation, sources: Sources, batch: Batch | None = None) -> Batch:
    """All of one stage on one host, but nothing that spans hosts: changes, restarts, gates, stamps, images.

    batch: what comes before it in the same exec, and cannot be taken back. Without it a host that serves goes back by
    itself when it fails.
    """
    changes, restarts = plan.stage(stage)
    if batch is None:
        batch = Batch(stays=stays(plan, stage, seen))
        if units := kept(plan, stage, seen):
            batch.add("what is there before the change", wire.Keep(units=units))
    for unit in disturbed(plan, stage):
        batch.add(f"unit {unit}", wire.Unstamp(unit=unit))
    leaving = {change.key: change for change in changes if change.resource is None}
    for key in removal_order(leaving):
        write_change(batch, leaving[key], seen, sources)
    if any(kind == "unit" for kind, _ in leaving):
        batch.add("systemd", wire.ReloadUnits())
        give_back_units(batch, leaving, seen)
    for change in sorted(
        (change for change in changes if change.resource and not isinstance(change.resource, Image)),
        key=lambda change: _ORDER.index(type(change.resource)),
    ):
        write_change(batch, change, seen, sources)
    write_restarts(batch, plan, restarts)
    for change in changes:
        if isinstance(change.resource, Image):
            write_change(batch, change, seen, sources)
    return batch


def write_restarts(batch: Batch, plan: HostPlan, restarts: Sequence[Restart]) -> None:
    """Restarts all units, then waits for all: they come up side by side. One that must not find its state stops first."""
    if not restarts:
        return
    batch.add("systemd", wire.ReloadUnits(enable=tuple(restart.unit.name for restart in restarts)))
    for restart in restarts:
        batch.know(("unit", restart.unit.name))
        if restart.clears:
            batch.add(f"unit {restart.unit.name}", wire.Stop(unit=restart.unit.name))
        for path in restart.clears:
            batch.add(f"state file {path}", wire.Remove(kind="file", path=path, before="absent"))
        batch.add(f"unit {restart.unit.name}", wire.Restart(unit=restart.unit.name))
    for restart in restarts:
        write_gates(batch, restart.unit)
        write_stamp(batch, plan, restart)


def write_stamp(batch: Batch, plan: HostPlan, restart: Restart) -> None:
    unit = restart.unit.name
    batch.add(f"unit {unit}", wire.Stamp(unit=unit, value=plan.stamps[unit]))


def write_gates(batch: Batch, unit: Unit) -> None:
    """The questions of a unit that was just restarted; the first is whether its main process stays.

    It comes first, so that the others are answered by a process that has lived for a while. Its wait begins at the
    restart and runs for all units of an exec side by side.
    """
    write_steady(batch, unit)
    for gate in unit.gates:
        write_gate(batch, unit.name, gate)
    if unit.heartbeat:
        batch.add(f"unit {unit.name}: its start", wire.Started(service=object_path(unit.name)))


def write_steady(batch: Batch, unit: Unit) -> None:
    """Whether a unit's main process stays, asked for as long as its slowest gate may take."""
    deadline = max((gate.deadline for gate in unit.gates), default=_STEADY_SECONDS)
    batch.add(f"unit {unit.name}: stays up", wire.Steady(unit=unit.name, seconds=deadline))


def write_gate(batch: Batch, unit: str, gate: Gate) -> None:
    operation = wire.Gate(unit=unit, kind=gate.kind, seconds=gate.deadline, argument=gate.argument)
    batch.add(f"unit {unit}: {gate.kind} {gate.argument}", operation)


def object_path(unit: str) -> str:
    """A unit as an object of systemd's on D-Bus. Source: systemd.unit(5), sd_bus_path_encode(3)."""
    encoded = "".join(char if char.isascii() and char.isalnum() else f"_{ord(char):02x}" for char in unit)
    return f"/org/freedesktop/systemd1/unit/{encoded}"


def removal_order(keys: Iterable[Key]) -> list[Key]:
    """The last recorded first, inner folders before outer ones. keys: in the order of the ledger."""
    latest = list(reversed(list(keys)))
    folders = sorted((key for key in latest if key[0] == "directory"), reverse=True)
    return [
        *sorted((key for key in latest if key[0] != "directory"), key=lambda key: _REMOVAL_ORDER.index(key[0])),
        *folders,
    ]


def write_change(batch: Batch, change: Change, seen: Observation, sources: Sources) -> None:
    """One change as operations."""
    resource, title = change.resource, change.title
    if resource is None:
        write_removal(batch, change.key, seen)
        return
    if change.action == "record":
        _write_record(batch, change)
        return
    match resource:
        case File():
            _write_file(batch, change, resource)
        case Unit(path=path, content=content, check=check):
            _write_file(batch, change, File(path=path, content=content, mode=0o600, check=check))
        case Certificate():
            _write_certificate(batch, change, resource, sources)
        case Binary():
            _write_binary(batch, change, resource, sources)
        case Image():
            _write_image(batch, change, resource, sources)
        case Directory() | Sysctl() | KernelModule() | User() | Package() | SwapOff():
            batch.know(resource.key, _recorded_value(resource))
            batch.add(title, _simple(resource, seen))
        case unknown:
            assert_never(unknown)


def _simple(
    resource: Directory | Sysctl | KernelModule | User | Package | SwapOff, seen: Observation
) -> wire.Directory | wire.Sysctl | wire.Module | wire.User | wire.Package | wire.Swapoff:
    """The one operation of what needs no payload."""
    match resource:
        case Directory(path=path, owner=owner, group=group):
            mode, content = _octal(resource.mode), _recorded_value(resource)
            return wire.Directory(path=path, owner=owner, group=group, mode=mode, content=content)
        case Sysctl():
            return wire.Sysctl(name=resource.name, value=resource.value)
        case KernelModule():
            return wire.Module(name=resource.name)
        case User():
            return wire.User(name=resource.name, home=resource.home)
        case Package(name=name, command=command, service=service):
            return wire.Package(name=name, command=command, service=service, manager=seen.facts.package_manager)
        case SwapOff():
            return wire.Swapoff()


def _recorded_value(resource: Resource) -> str:
    """What the ledger keeps of a resource: the hash of content, a package's program, what becomes of a folder."""
    match resource:
        case File():
            return resource.sha256
        case Binary() | Image():
            return resource.artifact.sha256
        case Package():
            return resource.command
        case Directory():
            return DATA if resource.data else "purge" if resource.purge else "keep"
        case User():
            return "marked"  # accounts that kprov makes say so themselves, which an older kprov's do not
        case Certificate() | Unit() | Sysctl() | KernelModule() | SwapOff():
            return "-"
        case unknown:
            assert_never(unknown)


def _write_record(batch: Batch, change: Change) -> None:
    resource = change.resource
    if isinstance(resource, Unit):
        resource = File(path=resource.path, content=resource.content)
    if resource is None or isinstance(resource, Certificate):
        raise AssertionError(f"{change.title} cannot be adopted")
    value = _recorded_value(resource)
    batch.know(resource.key, value)
    batch.add(change.title, wire.Adopt(kind=resource.key[0], name=resource.key[1], value=value))


def _write_file(batch: Batch, change: Change, file: File) -> None:
    if change.action == "permissions":
        batch.add(change.title, wire.Mode(path=file.path, owner=file.owner, group=file.group, mode=_octal(file.mode)))
        return
    write_file(batch, change.title, file)


def write_file(batch: Batch, title: str, file: File) -> None:
    """Put a file in place, after the program that will read it has taken it."""
    batch.know(file.key)
    batch.add(
        title,
        wire.File(
            payload=batch.attach(file.content, file.path),
            path=file.path,
            owner=file.owner,
            group=file.group,
            mode=_octal(file.mode),
            sha256=file.sha256,
        ),
    )
    if file.check:
        program = Path(file.check[0]).name.removeprefix("kprov-judge-")  # of which that is the script that asks it
        batch.add(f"{title}: {program} reads it", wire.Check(path=file.path, words=file.check))


def _octal(mode: int) -> str:
    return f"{mode:04o}"


def _write_certificate(batch: Batch, change: Change, resource: Certificate, sources: Sources) -> None:
    owner, group = resource.owner, resource.group
    if change.action == "permissions":
        for path, mode in ((resource.key_path, 0o600), (resource.path, 0o644)):
            batch.add(change.title, wire.Mode(path=path, owner=owner, group=group, mode=_octal(mode)))
        return
    certificate, key = sources.issue(resource.spec)
    for path, content, mode in ((resource.key_path, key, 0o600), (resource.path, certificate, 0o644)):
        write_file(batch, change.title, File(path=path, content=content, owner=owner, group=group, mode=mode))


def _write_binary(batch: Batch, change: Change, resource: Binary, sources: Sources) -> None:
    artifact, mode = resource.artifact, _octal(resource.mode)
    if change.action == "permissions":
        batch.add(change.title, wire.Mode(path=resource.path, owner="root", group="root", mode=mode))
        return
    batch.know(resource.key)
    got = _source(batch, artifact, sources)
    operation = wire.Binary(
        path=resource.path,
        mode=mode,
        sha256=artifact.sha256,
        source=got.place,
        encoding=got.encoding,
        member=got.member,
        download_sha256=got.sha256,
    )
    batch.add(change.title, operation)


def _write_image(batch: Batch, change: Change, resource: Image, sources: Sources) -> None:
    batch.know(resource.key)
    if change.action == "update" and change.reasons == (LOOSE,):
        batch.add(change.title, wire.PinImage(name=resource.key[1]))
        return
    got = _source(batch, resource.artifact, sources)
    name, sha256 = resource.key[1], resource.artifact.sha256
    batch.add(change.title, wire.Image(name=name, source=got.place, encoding=got.encoding, sha256=sha256))


@dataclass(frozen=True, kw_only=True)
class _Source:
    """place: a payload or a URL. member: of an archive. sha256: of what the URL gives."""

    place: str
    encoding: wire.Encoding
    member: str = ""
    sha256: str = ""


def _source(batch: Batch, artifact: Artifact, sources: Sources) -> _Source:
    way = sources.download(artifact)
    if way is not None:
        return _Source(place=way.url, encoding=way.encoding, member=way.member, sha256=way.sha256)
    file, encoding = sources.packed(artifact)
    return _Source(place=batch.attach(file), encoding=encoding)


def write_removal(batch: Batch, key: Key, seen: Observation) -> None:
    """Takes one recorded thing away and puts back what was there before."""
    kind, name = key
    record = seen.records[key]
    before = record.before or "absent"
    title = f"{kind} {name}"
    if kind in ("file", "binary"):
        batch.add(title, wire.Remove(kind=kind, path=name, before=before))
    elif kind == "directory":
        content = "purge" if record.value == DATA else record.value
        batch.add(title, wire.RemoveDirectory(path=name, before=before, content=content))
    elif kind == "package":
        batch.add(title, wire.RemovePackage(name=name, before=before, manager=seen.facts.package_manager))
    elif kind == "swap":
        batch.add(title, wire.RemoveSwapoff(before=before))
    elif kind == "unit":
        batch.add(title, wire.RemoveUnit(unit=name))
    elif kind == "image":
        batch.add(title, wire.RemoveImage(name=name))
    elif kind == "user":
        batch.add(title, wire.RemoveUser(name=name, before=before, value=record.value))
    elif kind == "module":
        batch.add(title, wire.RemoveModule(name=name, before=before))
    elif kind == "sysctl":
        batch.add(title, wire.RemoveSysctl(name=name, before=before))


def give_back_units(batch: Batch, keys: Iterable[Key], seen: Observation) -> None:
    """Write down how foreign units whose names kprov had taken are enabled and run again, as they were.

    To be sent when all removals are done and systemd has read their files again.
    """
    for key in keys:
        before = seen.records[key].before
        if key[0] == "unit" and before.startswith("present "):
            batch.add(f"unit {key[1]}", wire.GiveBackUnit(unit=key[1], before=before))
