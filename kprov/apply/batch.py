"""What one exec carries to a host: steps, what the ledger must know first, payload; and the one tar stream of it all.

Pure apart from reading artifacts while they are streamed. The program that carries operations out is scripts/apply.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from kprov.apply import program, wire
from kprov.apply.wire_format import Operation
from kprov.objects.objects import Identity
from kprov.plan.conversation import Refused, Remark
from kprov.values.resources import Key

_CHUNK = 1 << 20
_MUCH = 1 << 18  # bytes of payload from which on packing costs more than it saves; programs are packed already


@dataclass(frozen=True, kw_only=True)
class Step:
    """An operation, and what it is about, for messages. objects: those that it applies. changes: whether it may change
    anything, on the host or in the cluster. stage: that it belongs to, where it is sent with another one's. todo: what
    leads out where it fails, if more is known than usual.
    """

    title: str
    operation: Operation
    objects: tuple[Identity, ...] = ()
    changes: bool = True
    stage: str = ""
    todo: str = ""


@dataclass(kw_only=True)
class Batch:
    """Steps of one exec, growing while they are written down; `announce` is what the ledger must know first."""

    steps: list[Step] = field(default_factory=list)
    announce: list[tuple[str, str, str]] = field(default_factory=list)
    payload: list[tuple[str, bytes | Path]] = field(default_factory=list, repr=False)  # may hold secrets
    stays: str = ""  # why the host does not go back when the exec fails, where that is worth a word
    remarks: list[Remark | Refused] = field(default_factory=list)  # told before it is sent
    beside: bool = False  # sent while what came before it comes up: nothing waits for its bytes

    def add(
        self,
        title: str,
        operation: Operation,
        objects: tuple[Identity, ...] = (),
        *,
        changes: bool | None = None,
        todo: str = "",
    ) -> None:
        """Write down one step; it changes what its kind does, unless that is told. Raises ValueError for a value that
        would break its row.
        """
        operation.row()
        changing = operation.changes if changes is None else changes
        self.steps.append(Step(title=title, operation=operation, objects=objects, changes=changing, todo=todo))

    @property
    def changes(self) -> bool:
        """Whether anything of it may change something."""
        return any(step.changes for step in self.steps)

    @property
    def operations(self) -> list[Operation]:
        """Return what is carried out, in order."""
        return [step.operation for step in self.steps]

    @property
    def start(self) -> int:
        """Return the number of the operation that tells when kubelet started, 0 without one."""
        return next((n for n, one in enumerate(self.operations, start=1) if isinstance(one, wire.Started)), 0)

    @property
    def keeps(self) -> bool:
        """Whether the host goes back when the exec fails."""
        return any(isinstance(one, wire.Keep) for one in self.operations)

    @property
    def unready(self) -> int:
        """Return the number of the operation that tells which nodes are not Ready, 0 without one."""
        return next((n for n, one in enumerate(self.operations, start=1) if isinstance(one, wire.NodesReady)), 0)

    def attach(self, content: bytes | Path, path: str = "content") -> str:
        """Adds a payload file; returns its name, which ends like `path`: the host moves it to its folder under that."""
        name = f"{len(self.payload):04d}/{path.rpartition('/')[2]}"
        self.payload.append((name, content))
        return name

    def attach_as(self, name: str, content: bytes) -> None:
        self.payload.append((name, content))

    def know(self, key: Key, value: str = "-") -> None:
        self.announce.append((key[0], key[1], value))


def stream(batch: Batch, generation: str) -> Iterator[bytes]:
    """Return what APPLY_COMMAND reads: program, operations, announcements, then the payload, never all in memory."""
    words = frozenset(operation.word for operation in batch.operations)
    rest = _rest(batch, generation)
    if sum(_size(item) for _, item in batch.payload) > _MUCH:
        yield b"plain\n"
        yield b"".join(_member("apply.sh", program.cut(words)))
        yield from rest
    else:
        yield b"packed\n"
        yield _packed_program(words)
        yield gzip.compress(b"".join(rest), mtime=0)


@lru_cache(maxsize=256)
def _packed_program(words: frozenset[str]) -> bytes:
    """Packed by itself, once for all hosts: what is packed piece by piece is unpacked as one."""
    return gzip.compress(b"".join(_member("apply.sh", program.cut(words))), compresslevel=9, mtime=0)


def _rest(batch: Batch, generation: str) -> Iterator[bytes]:
    numbered = "".join(
        "\t".join((str(number), *operation.row())) + "\n" for number, operation in enumerate(batch.operations, start=1)
    )
    announced = "".join("\t".join(row) + "\n" for row in dict.fromkeys(batch.announce))
    yield from _member("ops", numbered.encode())
    yield from _member("announce", announced.encode())
    yield from _member("generation", f"{generation}\n".encode())
    yield _header("payload/", 0, directory=True)
    for name, item in batch.payload:
        yield from _member(f"payload/{name}", item)
    yield b"\0" * 1024


def _size(item: bytes | Path) -> int:
    return len(item) if isinstance(item, bytes) else item.stat().st_size


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
