"""What a test looks at in operations that are sent: their words, what each is about, and the rows of a stream."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Iterable

from kprov.apply import wire
from kprov.apply.wire_format import Operation, read
from kprov.plan.conversation import Answer


def heads(operations: Iterable[Operation]) -> list[tuple[object, ...]]:
    """Each word, and the operation's first argument where it has one."""
    return [(one.word, *(getattr(one, name) for name in one.arguments()[:1])) for one in operations]


def words(operations: Iterable[Operation]) -> list[str]:
    return [one.word for one in operations]


def answer_line(number: int, answer: Answer) -> str:
    """What a host prints of a client that was asked."""
    text = base64.b64encode(gzip.compress(answer.text.encode())).decode()
    return f"answer\t{number}\t{answer.code}\t{text}\t{base64.b64encode(answer.words.encode()).decode()}\n"


def members(stream: bytes) -> dict[str, bytes]:
    """Name → content of what a host was sent with APPLY_COMMAND."""
    how, _, rest = stream.partition(b"\n")
    text = {b"packed": gzip.decompress, b"plain": bytes}[how](rest)
    with tarfile.open(fileobj=io.BytesIO(text), mode="r:") as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        assert all(member.mode & 0o077 == 0 for member in archive.getmembers())
        return {member.name: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def received(stream: bytes) -> list[Operation]:
    """The operations in what a host was sent."""
    return [read(line.split("\t")[1:]) for line in members(stream)["ops"].decode().splitlines()]


def cluster_says(asked: wire.Ask) -> Answer:
    """What a cluster answers in which all is as it should be: nodes are marked and Ready, and no pods are on them."""
    verb, kind, *more = asked.asked
    if "--no-headers" in more:
        return Answer(code=0, text="")
    if verb == "get" and kind == "nodes":
        names = [word for word in more[: more.index("-o")] if not word.startswith("-")]
        return Answer(code=0, text=json.dumps({"kind": "List", "items": [_well(name) for name in names]}))
    return Answer(code=0, text=json.dumps({"kind": "List", "items": []}))


def _well(name: str) -> dict[str, object]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "annotations": {"kprov.io/cordoned": "upgrade"}},
        "status": {
            "nodeInfo": {"kubeletVersion": "v1.37.2", "containerRuntimeVersion": "containerd://2"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
