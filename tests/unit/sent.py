"""What a test looks at in operations that are sent: their words, what each is about, and the rows of a stream."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from kprov.apply import wire  # noqa: F401  read() knows the operations that are declared there
from kprov.apply.wire_format import Operation, read


def heads(operations: Iterable[Operation]) -> list[tuple[object, ...]]:
    """Each word, and the operation's first argument where it has one."""
    return [(one.word, *(getattr(one, name) for name in one.arguments()[:1])) for one in operations]


def words(operations: Iterable[Operation]) -> list[str]:
    return [one.word for one in operations]


def received(stream: bytes) -> list[Operation]:
    """The operations in what a host was sent."""
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        member = archive.extractfile("ops")
        assert member is not None
        return [read(line.split("\t")[1:]) for line in member.read().decode().splitlines()]
