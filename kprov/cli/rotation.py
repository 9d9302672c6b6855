"""`kprov certs rotate`, as its user sees it: phase after phase, each shown, confirmed and brought to the hosts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from kprov.cli.apply import ended, show_prepared
from kprov.cli.exits import CHANGES, DONE, PARTLY
from kprov.cli.work import Work, confirmed
from kprov.pki.table import ADMIN, SUPER_ADMIN
from kprov.plan.rotation import Step, Waiting, lines, next_step
from kprov.report import plan_view
from kprov.report.jsonlines import document
from kprov.run.rotation import forget, restart, turned, wait_for, with_store
from kprov.run.up import apply, prepare
from kprov.run.workspace import Workspace
from kprov.state.issued import old_holders, read_issued
from kprov.values.errors import KprovError
from kprov.values.events import Note
from kprov.values.rotation import TITLES, Kind


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line said of a rotation."""

    kinds: tuple[Kind, ...]
    back: bool
    now: bool
    wait: bool
    restart_pods: bool
    yes: bool
    stop_after: str | None


def preview(work: Work, asked: Asked) -> int:
    """Show what the next phase would change. Returns the exit code, as `kprov plan` does."""
    _refuse_none(work)
    workspace = work.workspace
    step = next_step(workspace.store.rotation, asked.kinds, back=asked.back)
    store = turned(workspace, step or "end", asked.kinds)
    with prepare(with_store(workspace, store), draft=True) as prepared:
        if work.given.json:
            click.echo(work.hub.redactor.clean(document(plan_view.plan_values(prepared.plan))))
        else:
            work.say([f"{store.rotation or 'the rotation ends'}", *lines(store.rotation), ""])
            work.say(plan_view.plan_lines(prepared.plan))
        return DONE if prepared.plan.empty else CHANGES


def carry_out(work: Work, asked: Asked) -> int:
    """Go from phase to phase as far as it goes. Returns the exit code."""
    _refuse_none(work)
    workspace, kinds = work.workspace, asked.kinds
    began, plan = time.monotonic(), None
    while True:
        step = next_step(workspace.store.rotation, kinds, back=asked.back)
        if step == "onward":
            _restart(work, workspace, asked)
        if step == "onward" and not asked.now:
            wait = wait_for(workspace)
            if _must_wait(work, wait, asked):
                ended(work, plan, time.monotonic() - began)
                return PARTLY
            if wait.until is not None:
                time.sleep(max(0.0, (wait.until - datetime.now(UTC)).total_seconds()))
                continue  # something else may have begun meanwhile
        if step == "end":
            return _end(work, workspace, plan, time.monotonic() - began)
        workspace, plan = _phase(work, workspace, step or "apply", asked)
        code = 0 if not work.hub.tally.failures else ended(work, plan, time.monotonic() - began)
        if code:
            return code
        rotation = workspace.store.rotation
        work.say([f"{rotation}", *lines(rotation)])
        if rotation is None or rotation.phase == asked.stop_after:
            work.say("the same command goes on from here; --back takes it back")
            return ended(work, plan, time.monotonic() - began)
        kinds = ()  # what has begun goes on, whatever it was called


def _phase(work: Work, workspace: Workspace, step: Step, asked: Asked) -> tuple[Workspace, object]:
    workspace = with_store(workspace, turned(workspace, step, asked.kinds))
    rotation = workspace.store.rotation
    work.say(["", f"{rotation}"])
    why = f"before the rotation of {', '.join(TITLES[kind] for kind in asked.kinds)}" if step == "begin" else ""
    with prepare(workspace, draft=False) as prepared:
        if not prepared.plan.settled:
            show_prepared(work, prepared)
            confirmed("Go on?", yes=asked.yes, json=work.given.json)
        outcome = apply(workspace, prepared, why)
    return workspace, outcome.plan


def _restart(work: Work, workspace: Workspace, asked: Asked) -> None:
    """What kprov runs in pods always; all that is the users' where they say so."""
    restarted = restart(workspace, everything=asked.restart_pods)
    if restarted:
        work.hub.emit(Note(text=f"restarted, to read the new CA: {', '.join(map(str, restarted))}"))


def _must_wait(work: Work, wait: Waiting, asked: Asked) -> bool:
    """Say what the next phase waits for; returns whether this command ends because of it."""
    waits = asked.wait and not wait.blocked
    for note in wait.notes:
        work.hub.emit(Note(text=note))
    for blocked in wait.blocked:
        work.hub.emit(Note(text=blocked, warning=True))
    if wait.until is not None:
        minutes = (wait.until - datetime.now(UTC)).total_seconds() / 60
        text = f"the next phase may begin in {minutes:.0f} minutes, at {wait.until:%Y-%m-%d %H:%M:%S} UTC"
        todo = "waiting" if waits else "run the same command again then, or with --wait; --now does not wait"
        work.hub.emit(Note(text=f"{text}: {todo}"))
    return bool(wait.blocked) or (wait.until is not None and not waits)


def _end(work: Work, workspace: Workspace, plan: object, seconds: float) -> int:
    rotation = workspace.store.rotation
    if rotation is None:  # `next_step` gives no end to what has not begun
        return DONE
    if {"kubernetes", "front-proxy"} & set(rotation.kinds):
        forget(workspace)
    turned(workspace, "end", ()).keep()
    work.say(f"{', '.join(TITLES[kind] for kind in rotation.kinds)}: {_outcome(rotation.phase)}")
    if "backups" in rotation.kinds and rotation.phase == "drop":
        work.say(
            "backups of before open as they did: their key stays in the state folder; write its copy again: "
            "`kprov backup key`"
        )
    if "kubernetes" in rotation.kinds and rotation.phase == "drop":
        for text in _must_fetch(workspace, rotation.signs):
            work.hub.emit(Note(text=text, warning=True))
    return ended(work, plan, seconds)


def _outcome(phase: str) -> str:
    return (
        "as before; nothing of the rotation is left" if phase == "back" else "replaced; the old one is accepted nowhere"
    )


def _must_fetch(workspace: Workspace, signs: str) -> list[str]:
    """Say whose kubeconfig the new CA has not signed: it is refused from now on."""
    people = old_holders(read_issued(workspace.store.path), datetime.fromisoformat(signs), datetime.now(UTC))
    return [f"{name} must fetch a new kubeconfig: `kprov kubeconfig INVENTORY{_user(name)}`" for name in people]


def _user(name: str) -> str:
    """An administrator's kubeconfig is asked for without a name."""
    return "" if name in (ADMIN, SUPER_ADMIN) else f" --user {name}"


def _refuse_none(work: Work) -> None:
    if not work.workspace.store.exists:
        raise KprovError(
            "there is no cluster whose CAs could be replaced",
            where=str(work.workspace.store.path),
            todo="run `kprov up` first",
        )
