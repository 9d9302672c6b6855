"""What hosts of etcd say of the backups that they take by themselves, and whether that is as it should be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kprov.observe.observation import Observation, printable
from kprov.values.model import Cluster
from kprov.values.paths import BACKUP_STATUS

NAME = "TimedBackup"
_LATE = 2  # intervals after which the last one is too old


@dataclass(frozen=True, kw_only=True)
class Told:
    """One host's word. at: epoch seconds of the cluster's last backup, 0 for none; by: the host that has it.

    tried: when this host looked last; error: what went wrong then. proven: when it last restored one for trial.
    """

    at: int = 0
    by: str = ""
    file: str = ""
    size: int = 0
    tried: int = 0
    error: str = ""
    proven: int = 0


def told(seen: Observation) -> Told | None:
    """Return what a host says; None where it has not begun."""
    text = seen.texts.get(BACKUP_STATUS)
    if text is None:
        return None
    rows = dict(line.partition("=")[::2] for line in printable(text.decode(errors="replace")).splitlines())
    return Told(
        at=_number(rows.get("success")),
        by=rows.get("host", ""),
        file=rows.get("file", ""),
        size=_number(rows.get("size")),
        tried=_number(rows.get("tried")),
        error=rows.get("error", ""),
        proven=_number(rows.get("proven")),
    )


def newest(observations: Mapping[str, Observation]) -> Told | None:
    """Return the word of the host that knows of the newest backup; None where none has begun."""
    words = [word for seen in observations.values() if (word := told(seen)) is not None]
    return max(words, key=lambda word: (word.at, word.tried), default=None)


def troubles(cluster: Cluster, host: str, seen: Observation, now: datetime) -> list[str]:
    """Return what is wrong with timed backups, as one of their hosts sees it. now: aware UTC."""
    every = cluster.backup.every
    word = told(seen)
    if not every or word is None or host not in {one.name for one in cluster.group("etcd")}:
        return []
    found = [f"the backup that it tried to take failed: {word.error}"] if word.error else []
    age = int(now.timestamp()) - word.at
    if word.at and age > _LATE * every:
        found.append(f"the last timed backup is {age // 60} minutes old, and one is due every {every // 60}")
    return found


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
