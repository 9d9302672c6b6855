"""Counts what happens in a run, for its closing summary. A sink of events like any other; it shows nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from kprov.values.events import Event, HostEnded, HostFailed, HostStarted, OperationDone, StageEnded


@dataclass(kw_only=True)
class Tally:
    """stages: name → seconds. started, ended: (stage, host) pairs to which something was sent that may change it.
    operations: how many were done.
    """

    stages: dict[str, float] = field(default_factory=dict)
    started: set[tuple[str, str]] = field(default_factory=set)
    ended: set[tuple[str, str]] = field(default_factory=set)
    worked: set[tuple[str, str]] = field(default_factory=set)  # pairs in which an operation was done
    failures: list[HostFailed] = field(default_factory=list)
    operations: int = 0

    @property
    def touched(self) -> bool:
        """Whether anything was sent to a host that could change it."""
        return bool(self.started)

    def count(self, event: Event) -> None:
        if isinstance(event, HostStarted):
            if event.changes:
                self.started.add((event.stage, event.host))
        elif isinstance(event, HostEnded):
            if (event.stage, event.host) in self.started:
                self.ended.add((event.stage, event.host))
        elif isinstance(event, StageEnded):
            self.stages[event.stage] = self.stages.get(event.stage, 0.0) + event.seconds
        elif isinstance(event, OperationDone):
            self.operations += 1
            self.worked.add((event.stage, event.host))
        elif isinstance(event, HostFailed):
            self.failures.append(event)
