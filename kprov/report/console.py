"""A run in a terminal: what is at work now as bars, what is done as lines above them."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kprov.report.words import count, duration, names, sentence
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


class Terminal:
    """Args:
    console: where to draw.
    verbose: whether single operations get a line of their own.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._stages: dict[str, StageStarted] = {}

    def event(self, event: Event) -> None:
        match event:
            case Note():
                self._line(sentence(event), "yellow" if event.warning else "")
            case Gathered():
                self._line(sentence(event), "dim")
            case StageStarted():
                self._stages[event.stage] = event
            case StageEnded():
                self._end_stage(event)
            case HostStarted():
                self._begin(
                    f"{event.stage} {event.host}", f"{self._title(event.stage)}  {event.host}", event.operations
                )
            case OperationDone():
                self._operation(event)
            case HostEnded():
                self._end(f"{event.stage} {event.host}")
                if self._verbose:
                    self._line(f"  {sentence(event)}", "green")
            case HostFailed():
                self._end(f"{event.stage} {event.host}")
                self._line(f"✗ {sentence(event)}", "red")

    def started(self, name: str, total: int) -> None:
        self._begin(name, name, total)

    def advanced(self, name: str, n: int) -> None:
        if self._bars is not None and name in self._tasks:
            self._bars.advance(self._tasks[name], n)

    def finished(self, name: str) -> None:
        self._end(name)
        self._line(f"✓ {name}", "dim")

    def note(self, text: str) -> None:
        self._line(text, "")

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._tasks = None, {}

    def _title(self, stage: str) -> str:
        return self._stages[stage].title if stage in self._stages else stage

    def _end_stage(self, event: StageEnded) -> None:
        hosts = names(self._stages[event.stage].hosts) if event.stage in self._stages else ""
        self._line(f"✓ {self._title(event.stage)}  {hosts}  {duration(event.seconds)}", "green")

    def _operation(self, event: OperationDone) -> None:
        key = f"{event.stage} {event.host}"
        if self._verbose:
            self._line(f"  {sentence(event)}", "dim")
        if self._bars is not None and key in self._tasks:
            self._bars.update(self._tasks[key], completed=event.number, now=event.title)

    def _begin(self, key: str, title: str, total: int) -> None:
        if self._bars is None:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[now]}", style="dim", markup=False),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        self._tasks[key] = self._bars.add_task(title, total=total or None, now=count(total, "step") if total else "")

    def _end(self, key: str) -> None:
        task = self._tasks.pop(key, None)
        if self._bars is None or task is None:
            return
        self._bars.remove_task(task)
        if not self._tasks:
            self.close()  # a bar that stands still would be in the way of a question

    def _line(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)
