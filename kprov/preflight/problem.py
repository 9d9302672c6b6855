"""One finding of preflight, and how findings read. Values and text; nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kprov.observe.observation import printable
from kprov.values.errors import PreflightError
from kprov.values.many_hosts import count_hosts, merge_texts
from kprov.values.model import GROUPS

OPERATOR = "this machine"  # stands for a host where the operator's own machine is at fault
INVENTORY = "the inventory"  # and this where a setting is, whichever hosts are to be touched

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something about a host that does not fit what the inventory asks of it.

    Args:
        name: a word to search for and to put into `preflight_ignore`; kubeadm's where it has the same check.
        host: the inventory's name, `this machine` for the operator's own, or `the inventory`.
        what: one sentence. found, needed, todo: what was there, what is desired, the next thing to do.
        severity: an error stops a run before anything is touched; a warning is only shown.
        key: the setting it is about, as `hosts.w1.pod_cidr`; where: its place in the file, once that is known.
        ignorable: whether `preflight_ignore` may name it; what would break a living cluster may not be ignored.
    """

    name: str
    host: str
    what: str
    found: str
    needed: str
    todo: str
    severity: Severity = "error"
    key: str = ""
    where: str = ""
    ignorable: bool = True

    def __str__(self) -> str:
        lines = [f"[{self.severity} {self.name}] {self.what}"]
        rows = (("at", self.where), ("found", self.found), ("needed", self.needed), ("do", self.todo))
        for label, text in rows if self.where else rows[1:]:
            lines.append(f"  {label + ':':<8}{text}")
        # What hosts said is part of the text: a host must not drive the operator's terminal.
        return printable("\n".join(lines))


def judged(problems: Iterable[Problem], ignore: Iterable[str]) -> tuple[Problem, ...]:
    """The problems with those that the inventory ignores (by name, in any case of letters) turned into warnings."""
    names = {name.lower() for name in ignore}
    return tuple(
        replace(problem, severity="warning") if problem.ignorable and problem.name.lower() in names else problem
        for problem in problems
    )


def placed(problems: Iterable[Problem], places: Mapping[str, str]) -> tuple[Problem, ...]:
    """Add to each problem where its setting stands. places: dotted key → `FILE:LINE`, of every key that is written."""
    return tuple(
        replace(problem, where=_place(problem.key, places)) if problem.key else problem for problem in problems
    )


def _place(key: str, places: Mapping[str, str]) -> str:
    """Where a key stands; a variable of a host may stand at a group or at the cluster."""
    section, _, rest = key.partition(".")
    _, _, variable = rest.partition(".") if section == "hosts" else ("", "", "")
    shared = [f"groups.{group}.{variable}" for group in GROUPS] + [f"cluster.{variable}"]
    for written in [key, *(shared if variable else [])]:
        if written in places:
            return f"{places[written]} ({written})"
    above = key.rpartition(".")[0]
    while above and above not in places:
        above = above.rpartition(".")[0]
    return f"{places[above]} ({key} is not written: its default counts)" if above else f"{key}, which is not written"


def render(problems: Iterable[Problem]) -> str:
    """Return all problems as text, errors before warnings; what many hosts have in common is one entry."""
    same: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        same.setdefault((problem.severity, problem.name, problem.what), []).append(problem)
    by_hosts: dict[tuple[str, ...], list[Problem]] = {}
    for group in same.values():
        by_hosts.setdefault(tuple(dict.fromkeys(problem.host for problem in group)), []).append(_merge(group))
    blocks = []
    for hosts, found in by_hosts.items():
        ordered = sorted(found, key=lambda problem: problem.severity)  # "error" < "warning"
        lines = "\n".join(str(problem) for problem in ordered).splitlines()
        blocks.append("\n".join([count_hosts(hosts), *(f"  {line}" for line in lines)]))
    return "\n".join(blocks)


def _merge(group: Sequence[Problem]) -> Problem:
    found, needed, todo = (
        merge_texts([(problem.host, getattr(problem, name)) for problem in group])
        for name in ("found", "needed", "todo")
    )
    return replace(group[0], found=found, needed=needed, todo=todo)


def raise_for(problems: Iterable[Problem]) -> None:
    """Raises one PreflightError that holds every error, grouped by host; returns when there is none."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return
    hosts = len({problem.host for problem in errors})
    names = ", ".join(dict.fromkeys(problem.name for problem in errors if problem.ignorable))
    raise PreflightError(
        f"preflight found {_count(len(errors), 'problem')} on {_count(hosts, 'machine')}; nothing was touched\n"
        f"{render(errors)}",
        todo="fix these and run again"
        + (f"; what you know to be harmless goes into preflight_ignore ({names})" if names else ""),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
