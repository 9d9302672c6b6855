"""From a host's plan to what is sent to it: the operations of one stage and their payload, one tar stream.

Pure apart from reading artifacts while they are streamed. The program that carries operations out is script/apply.sh;
names and columns here are its contract. Operations are data: no value is ever part of a shell program.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kprov.apply import scripts
from kprov.objects.objects import Identity
from kprov.observe.observation import Observation
from kprov.plan.delivery import Download
from kprov.plan.host import DATA, Change, HostPlan, Restart
from kprov.values.certificate import CertificateSpec
from kprov.values.resources import (
    Artifact,
    Binary,
    Certificate,
    Directory,
    File,
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

_CHUNK = 1 << 20
_STEADY_SECONDS = 60  # that a unit without gates of its own gets to stay up

# What has to exist before what: within a stage, changes are carried out in this order.
_ORDER: tuple[type, ...] = (Package, User, SwapOff, KernelModule, Sysctl, Directory, Binary, File, Certificate, Unit)


# And in which order things go: a unit stops while its file and program are there, a folder is left when it is empty.
_REMOVAL_ORDER = ("image", "unit", "file", "binary", "package", "user", "sysctl", "module", "swap", "directory")


@dataclass(kw_only=True)
class Batch:
    """Operations of one exec, growing while they are written down; `announce` is what the manifest must know first."""

    operations: list[tuple[str, ...]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)  # what each operation is about, for messages
    announce: list[tuple[str, str, str]] = field(default_factory=list)
    payload: list[tuple[str, bytes | Path]] = field(default_factory=list)
    objects: dict[int, tuple[Identity, ...]] = field(default_factory=dict)  # by number: those that an operation applies
    start: int = 0  # the number of the operation that tells when kubelet started, 0 without one

    def add(self, title: str, *operation: str) -> None:
        bad = [word for word in operation if "\t" in word or "\n" in word]
        if bad:
            raise ValueError(f"{title}: a value holds a tab or a line break")
        self.operations.append(tuple(word or "-" for word in operation))
        self.titles.append(title)

    def attach(self, content: bytes | Path, path: str = "content") -> str:
        """Adds a payload file; returns its name, which ends like `path`: the host moves it to its folder under that."""
        name = f"{len(self.payload):04d}/{path.rpartition('/')[2]}"
        self.payload.append((name, content))
        return name

    def attach_as(self, name: str, content: bytes) -> None:
        self.payload.append((name, content))

    def know(self, key: Key, value: str = "-") -> None:
        self.announce.append((key[0], key[1], value))


@dataclass(frozen=True, kw_only=True)
class Sources:
    """How content that is not in the plan is had: certificates are issued, artifacts are read or downloaded."""

    issue: Issue
    packed: Packed
    download: Callable[[Artifact], Download | None]  # how this host gets it itself, None: it has to be pushed


def stage_batch(plan: HostPlan, stage: str, seen: Observation, sources: Sources, batch: Batch | None = None) -> Batch:
    """All of one stage on one host, but nothing that spans hosts: changes, restarts, gates, stamps, images.

    batch: what comes before it in the same exec.
    """
    changes, restarts = plan.stage(stage)
    batch = batch or Batch()
    _unstamp(batch, plan, changes, restarts)
    leaving = {change.key: change for change in changes if change.resource is None}
    for key in removal_order(leaving):
        write_change(batch, leaving[key], seen, sources)
    if any(kind == "unit" for kind, _ in leaving):
        batch.add("systemd", "reload_units")
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


def _unstamp(batch: Batch, plan: HostPlan, changes: Sequence[Change], restarts: Sequence[Restart]) -> None:
    units = {unit for change in changes for path in _paths(change) for unit in plan.unstamps.get(path, ())}
    for unit in sorted(units | {restart.unit.name for restart in restarts}):
        batch.add(f"unit {unit}", "unstamp", unit)


def _paths(change: Change) -> tuple[str, ...]:
    resource = change.resource
    if isinstance(resource, Certificate):
        return (resource.path, resource.key_path)
    if isinstance(resource, File | Binary | Unit):
        return (resource.path,)
    return ()


def write_restarts(batch: Batch, plan: HostPlan, restarts: Sequence[Restart]) -> None:
    """Restarts all units, then waits for all: they come up side by side."""
    if not restarts:
        return
    batch.add("systemd", "reload_units", " ".join(restart.unit.name for restart in restarts))
    for restart in restarts:
        batch.know(("unit", restart.unit.name))
        batch.add(f"unit {restart.unit.name}", "restart", restart.unit.name)
    for restart in restarts:
        write_gates(batch, restart.unit)
        batch.add(f"unit {restart.unit.name}", "stamp", restart.unit.name, plan.stamps[restart.unit.name])


def write_gates(batch: Batch, unit: Unit) -> None:
    """The questions of a unit that was just restarted; the first is whether its main process stays.

    It comes first, so that the others are answered by a process that has lived for a while. Its wait begins at the
    restart and runs for all units of an exec side by side.
    """
    deadline = max((gate.deadline for gate in unit.gates), default=_STEADY_SECONDS)
    batch.add(f"unit {unit.name}: stays up", "steady", unit.name, str(deadline))
    for gate in unit.gates:
        title = f"unit {unit.name}: {gate.kind} {gate.argument}"
        batch.add(title, "gate", unit.name, gate.kind, str(gate.deadline), gate.argument)
    if unit.heartbeat:
        batch.add(f"unit {unit.name}: its start", "started", object_path(unit.name))
        batch.start = len(batch.operations)


def object_path(unit: str) -> str:
    """A unit as an object of systemd's on D-Bus. Source: systemd.unit(5), sd_bus_path_encode(3)."""
    encoded = "".join(char if char.isascii() and char.isalnum() else f"_{ord(char):02x}" for char in unit)
    return f"/org/freedesktop/systemd1/unit/{encoded}"


def removal_order(keys: Iterable[Key]) -> list[Key]:
    """The last recorded first, inner folders before outer ones. keys: in the order of the manifest."""
    latest = list(reversed(list(keys)))
    folders = sorted((key for key in latest if key[0] == "directory"), reverse=True)
    return [
        *sorted((key for key in latest if key[0] != "directory"), key=lambda key: _REMOVAL_ORDER.index(key[0])),
        *folders,
    ]


def write_change(batch: Batch, change: Change, seen: Observation, sources: Sources) -> None:
    """One change as operations."""
    resource = change.resource
    title = change.title
    if resource is None:
        write_removal(batch, change.key, seen)
    elif change.action == "record":
        _write_record(batch, change)
    elif isinstance(resource, File):
        _write_file(
            batch, title, change, resource.path, resource.content, resource.owner, resource.group, resource.mode
        )
    elif isinstance(resource, Unit):
        _write_file(batch, title, change, resource.path, resource.content, "root", "root", 0o600)
    elif isinstance(resource, Certificate):
        _write_certificate(batch, change, resource, sources)
    elif isinstance(resource, Binary):
        _write_binary(batch, change, resource, sources)
    elif isinstance(resource, Image):
        _write_image(batch, title, resource, sources)
    else:
        _write_simple(batch, title, resource, seen)


def _write_simple(
    batch: Batch, title: str, resource: Directory | Sysctl | KernelModule | User | Package | SwapOff, seen: Observation
) -> None:
    batch.know(resource.key, _recorded_value(resource))
    if isinstance(resource, Directory):
        mode, kept = f"{resource.mode:04o}", _recorded_value(resource)
        batch.add(title, "directory", resource.path, resource.owner, resource.group, mode, kept)
    elif isinstance(resource, Sysctl):
        batch.add(title, "sysctl", resource.name, resource.value)
    elif isinstance(resource, KernelModule):
        batch.add(title, "module", resource.name)
    elif isinstance(resource, User):
        batch.add(title, "user", resource.name, resource.home)
    elif isinstance(resource, Package):
        manager = seen.facts.package_manager
        batch.add(title, "package", resource.name, resource.command, resource.service or "-", manager)
    else:
        batch.add(title, "swapoff")


def _recorded_value(resource: Resource) -> str:
    """What the manifest keeps of a resource: the hash of content, a package's program, what becomes of a folder."""
    if isinstance(resource, File):
        return resource.sha256
    if isinstance(resource, Binary | Image):
        return resource.artifact.sha256
    if isinstance(resource, Package):
        return resource.command
    if isinstance(resource, Directory):
        return DATA if resource.data else "purge" if resource.purge else "keep"
    return "-"


def _write_record(batch: Batch, change: Change) -> None:
    resource = change.resource
    if isinstance(resource, Unit):
        resource = File(path=resource.path, content=resource.content)
    if resource is None or isinstance(resource, Certificate):
        raise AssertionError(f"{change.title} cannot be adopted")
    value = _recorded_value(resource)
    batch.know(resource.key, value)
    batch.add(change.title, "adopt", resource.key[0], resource.key[1], value)


def _write_file(
    batch: Batch, title: str, change: Change, path: str, content: bytes, owner: str, group: str, mode: int
) -> None:
    if change.action == "permissions":
        batch.add(title, "mode", path, owner, group, f"{mode:04o}")
        return
    file = File(path=path, content=content)
    batch.know(file.key)
    batch.add(title, "file", batch.attach(content, path), path, owner, group, f"{mode:04o}", file.sha256)


def _write_certificate(batch: Batch, change: Change, resource: Certificate, sources: Sources) -> None:
    owner, group = resource.owner, resource.group
    if change.action == "permissions":
        batch.add(change.title, "mode", resource.key_path, owner, group, "0600")
        batch.add(change.title, "mode", resource.path, owner, group, "0644")
        return
    certificate, key = sources.issue(resource.spec)
    for path, content, mode in ((resource.key_path, key, "0600"), (resource.path, certificate, "0644")):
        file = File(path=path, content=content)
        batch.know(file.key)
        batch.add(change.title, "file", batch.attach(content, path), path, owner, group, mode, file.sha256)


def _write_binary(batch: Batch, change: Change, resource: Binary, sources: Sources) -> None:
    artifact, mode = resource.artifact, f"{resource.mode:04o}"
    if change.action == "permissions":
        batch.add(change.title, "mode", resource.path, "root", "root", mode)
        return
    batch.know(resource.key)
    source, encoding, member, expected = _source(batch, artifact, sources)
    batch.add(change.title, "binary", resource.path, mode, artifact.sha256, source, encoding, member, expected)


def _write_image(batch: Batch, title: str, resource: Image, sources: Sources) -> None:
    batch.know(resource.key)
    source, encoding, _, _ = _source(batch, resource.artifact, sources)
    batch.add(title, "image", resource.key[1], source, encoding, resource.artifact.sha256)


def _source(batch: Batch, artifact: Artifact, sources: Sources) -> tuple[str, str, str, str]:
    """Payload file or URL, how it is packed, the member of an archive, the sha256 of a download."""
    way = sources.download(artifact)
    if way is not None:
        return way.url, way.encoding, way.member, way.sha256
    file, encoding = sources.packed(artifact)
    return batch.attach(file), encoding, "-", "-"


def write_removal(batch: Batch, key: Key, seen: Observation) -> None:
    """Takes one recorded thing away and puts back what was there before."""
    kind, name = key
    record = seen.records[key]
    before = record.before or "absent"
    title = f"{kind} {name}"
    if kind in ("file", "binary"):
        batch.add(title, "remove", kind, name, before)
    elif kind == "directory":
        batch.add(title, "remove_directory", name, before, "purge" if record.value == DATA else record.value)
    elif kind == "package":
        batch.add(title, "remove_package", name, before, seen.facts.package_manager or "-")
    elif kind == "swap":
        batch.add(title, "remove_swapoff", before)
    elif kind in ("unit", "image"):
        batch.add(title, f"remove_{kind}", name)
    elif kind in ("user", "module", "sysctl"):
        batch.add(title, f"remove_{kind}", name, before)


def give_back_units(batch: Batch, keys: Iterable[Key], seen: Observation) -> None:
    """Write down how foreign units whose names kprov had taken are enabled and run again, as they were.

    To be sent when all removals are done and systemd has read their files again.
    """
    for key in keys:
        before = seen.records[key].before
        if key[0] == "unit" and before.startswith("present "):
            batch.add(f"unit {key[1]}", "give_back_unit", key[1], before)


def stream(batch: Batch, generation: str) -> Iterator[bytes]:
    """The tar stream of a batch: program, operations, announcements, then the payload, never all in memory."""
    numbered = "".join(
        "\t".join((str(number), *operation)) + "\n" for number, operation in enumerate(batch.operations, start=1)
    )
    announced = "".join("\t".join(row) + "\n" for row in dict.fromkeys(batch.announce))
    small: Mapping[str, bytes] = {
        "apply.sh": scripts.text("apply.sh"),
        "ops": numbered.encode(),
        "announce": announced.encode(),
        "generation": f"{generation}\n".encode(),
    }
    for name, content in small.items():
        yield from _member(name, content)
    yield _header("payload/", 0, directory=True)
    for name, item in batch.payload:
        yield from _member(f"payload/{name}", item)
    yield b"\0" * 1024


def _header(name: str, size: int, *, directory: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o700 if directory else 0o600
    info.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    return info.tobuf(tarfile.USTAR_FORMAT)


def _member(name: str, item: bytes | Path) -> Iterable[bytes]:
    with io.BytesIO(item) if isinstance(item, bytes) else item.open("rb") as source:
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
        yield _header(name, size)
        left = size
        while left:
            chunk = source.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(f"{name}: the file became shorter while it was sent")
            left -= len(chunk)
            yield chunk
    if size % tarfile.BLOCKSIZE:
        yield b"\0" * (tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)
