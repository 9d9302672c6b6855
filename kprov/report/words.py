"""Events as sentences: what a plain line and the log say. Pure text."""

from __future__ import annotations

from collections.abc import Sequence

from kprov.values.events import (
    Event,
    Gathered,
    HostEnded,
    HostFailed,
    HostStarted,
    Note,
    OperationDone,
    StageEnded,
    StageStarted,
)
from kprov.values.many_hosts import count_hosts

_NAMES_SHOWN = 5


def sentence(event: Event) -> str:
    """One line for an event; a failure's log and advice are left to the closing table."""
    match event:
        case Note():
            return f"warning: {event.text}" if event.warning else event.text
        case Gathered():
            return f"asked {count(event.hosts, 'host')} in {duration(event.seconds)}"
        case StageStarted():
            return f"{event.title}: {names(event.hosts)}"
        case StageEnded():
            return f"stage {event.stage}: done in {duration(event.seconds)}"
        case HostStarted():
            return f"{event.stage} on {event.host}: {count(event.operations, 'operation')}"
        case OperationDone():
            return f"{event.stage} on {event.host}: {event.title}"
        case HostEnded():
            return f"{event.stage} on {event.host}: done in {duration(event.seconds)}"
        case HostFailed():
            return f"{event.stage} on {event.host}: FAILED at {event.resource}: {event.found}"


def is_detail(event: Event) -> bool:
    """Whether an event is shown only to those who asked for more."""
    return isinstance(event, OperationDone | HostStarted)


def names(hosts: Sequence[str]) -> str:
    """Return `cp1, w1, w2`, or how many they are and which when they are many."""
    return ", ".join(hosts) if len(hosts) <= _NAMES_SHOWN else count_hosts(hosts)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits: `5 min`, `3 h`, `12 days`."""
    for length, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def size(number: int) -> str:
    """Bytes for people: `512 B`, `3.4 MiB`."""
    value = float(number)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
