"""One finding of preflight, and how findings read. Values and text; nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from kprov.observe.observation import printable
from kprov.values.errors import PreflightError

OPERATOR = "this machine"  # stands for a host where the operator's own machine is at fault

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something about a host that does not fit what the inventory asks of it.

    Args:
        name: a word to search for and to put into `preflight_ignore`; kubeadm's where it has the same check.
        host: the inventory's name, or `this machine` for the operator's own.
        what: one sentence. found, needed, todo: what was there, what is wanted, the next thing to do.
        severity: an error stops a run before anything is touched; a warning is only shown.
    """

    name: str
    host: str
    what: str
    found: str
    needed: str
    todo: str
    severity: Severity = "error"

    def __str__(self) -> str:
        lines = [f"[{self.severity} {self.name}] {self.what}"]
        for label, text in (("found", self.found), ("needed", self.needed), ("do", self.todo)):
            lines.append(f"  {label + ':':<8}{text}")
        # What hosts said is part of the text: a host must not drive the operator's terminal.
        return printable("\n".join(lines))


def judged(problems: Iterable[Problem], ignore: Iterable[str]) -> tuple[Problem, ...]:
    """The problems with those that the inventory ignores (by name, in any case of letters) turned into warnings."""
    names = {name.lower() for name in ignore}
    return tuple(
        replace(problem, severity="warning") if problem.name.lower() in names else problem for problem in problems
    )


def render(problems: Iterable[Problem]) -> str:
    """All problems as text, host by host in the order given, errors before warnings."""
    by_host: dict[str, list[Problem]] = {}
    for problem in problems:
        by_host.setdefault(problem.host, []).append(problem)
    blocks = []
    for host, found in by_host.items():
        ordered = sorted(found, key=lambda problem: problem.severity)  # "error" < "warning"
        lines = "\n".join(str(problem) for problem in ordered).splitlines()
        blocks.append("\n".join([host, *(f"  {line}" for line in lines)]))
    return "\n".join(blocks)


def raise_for(problems: Iterable[Problem]) -> None:
    """Raises one PreflightError that holds every error, grouped by host; returns when there is none."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return
    hosts = len({problem.host for problem in errors})
    names = ", ".join(dict.fromkeys(problem.name for problem in errors))
    raise PreflightError(
        f"preflight found {_count(len(errors), 'problem')} on {_count(hosts, 'machine')}; nothing was touched\n"
        f"{render(errors)}",
        todo=f"mend these and run again; what you know to be harmless goes into preflight_ignore ({names})",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
