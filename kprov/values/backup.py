"""What a backup says of itself: the cluster it is of, etcd's snapshot in it, and what was counted. Values and their text.

A newer kprov may write a newer format; an older one refuses it by its number before it reads anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from kprov.values.certificate import Authority
from kprov.values.errors import BackupError

FORMAT = 2
_KNOWN = (1, FORMAT)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot of etcd as a file. hash, revision, keys: what `etcdutl snapshot status` says of it; size: bytes.

    sha256: hexadecimal, of all but the last 32 bytes, which are the same hash, as etcd wrote it when it gave the snapshot
    away; in format 1 of the whole file.
    counts: kind of object → how many, as `kprov.plan.backup` counts keys at that revision.
    """

    size: int
    sha256: str
    hash: int
    revision: int
    keys: int
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The first thing in a backup. made: aware UTC. member: host whose etcd gave the snapshot; why: what it was taken for.

    authorities: SHA-256 of each CA certificate, hexadecimal. versions: Kubernetes' and etcd's.
    """

    cluster: str
    cluster_id: str
    made: datetime
    member: str
    members: tuple[str, ...]
    authorities: Mapping[Authority, str]
    versions: Mapping[str, str]
    why: str
    snapshot: Snapshot


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as JSON text."""
    values = {**asdict(manifest), "made": manifest.made.isoformat(timespec="seconds")}
    return json.dumps({"format": FORMAT, **values}, indent=2).encode() + b"\n"


def decode(content: bytes, where: str) -> Manifest:
    """Return the manifest. where: the file it is in, for messages. Raises BackupError."""
    values = _object(content)
    if values.get("format") not in _KNOWN:
        raise BackupError(
            "this backup is of a format that this kprov does not know",
            where=where,
            found=f"format {values.get('format')}",
            needed=" or ".join(f"format {number}" for number in _KNOWN),
            todo="use the release of kprov that wrote it, or a newer one",
        )
    try:
        snapshot = Snapshot(**values["snapshot"])
        known = {name: values[name] for name in Manifest.__dataclass_fields__}
        made = datetime.fromisoformat(values["made"])
        return Manifest(**{**known, "made": made, "members": tuple(values["members"]), "snapshot": snapshot})
    except (KeyError, TypeError, ValueError):
        raise BackupError(
            "the manifest of this backup is not as kprov writes it", where=where, todo="use another backup"
        ) from None


def _object(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {}
