"""What happens in a run, as values that a reporter turns into progress, JSON lines or a log. Secrets are never in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something worth a line."""

    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """All hosts were asked. `seconds` since the run began."""

    hosts: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StageStarted:
    stage: str
    title: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StageEnded:
    stage: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class HostStarted:
    """Operations are on their way to a host. changes: whether any of them may change something; else they look or wait."""

    stage: str
    host: str
    operations: int
    changes: bool = True


@dataclass(frozen=True, kw_only=True)
class OperationDone:
    """One operation of a host's exec is done."""

    stage: str
    host: str
    number: int
    title: str


@dataclass(frozen=True, kw_only=True)
class HostEnded:
    stage: str
    host: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class HostFailed:
    """What went wrong on one host: a row of the closing table.

    fatal: whether the run stops before the next batch. now: what runs there since then, where that can be said.
    """

    stage: str
    host: str
    resource: str
    expected: str
    found: str
    log: str
    todo: str
    fatal: bool = True
    now: str = ""


Event = Note | Gathered | StageStarted | StageEnded | HostStarted | OperationDone | HostEnded | HostFailed
Sink = Callable[[Event], None]
