"""`kprov plan`, `kprov up` and `kprov down`: what would change, changing it, and taking it away again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kprov.cli.exits import CHANGES, DONE, FAILED, PARTLY, State
from kprov.cli.options import (
    Given,
    addon_options,
    backup_option,
    deep_option,
    host_options,
    inventory_argument,
    json_option,
    yes_option,
)
from kprov.cli.work import Work, can_ask, confirmed, opened
from kprov.observe.gather import observe
from kprov.observe.probe import Question
from kprov.report import closing, plan_view
from kprov.report.diff import file_diffs, shown_paths
from kprov.report.failures import failure_table
from kprov.report.jsonlines import document, object_line
from kprov.run import down as run_down
from kprov.run.up import Prepared, apply, prepare
from kprov.values.events import Note


def _fine(_: Work) -> None:
    return


@click.command()
@inventory_argument
@host_options
@deep_option
@addon_options
@json_option
@click.option("--diff", is_flag=True, help="Show how text files would change; secret ones never.")
@click.pass_obj
def plan(state: State, /, inventory: Path, *, diff: bool, **options: Any) -> int:
    """Show what `kprov up` would change, and why.

    Asks every host, changes nothing. Exit code 0: nothing to change; 2: something to change.

    \b
    Examples:
      kprov plan inventory.yaml
      kprov plan inventory.yaml --diff --limit worker
      kprov plan inventory.yaml --json | jq .hosts
    """
    return show_plan(state, Given(inventory=inventory, **options), diff=diff)


def show_plan(state: State, given: Given, *, diff: bool) -> int:
    with (
        opened(given, state, keep_log=False, quiet=given.json) as work,
        prepare(work.workspace, draft=True) as prepared,
    ):
        _warn(work, prepared)
        if given.json:
            text = document(plan_view.plan_values(prepared.plan))
            click.echo(work.hub.redactor.clean(text))
        else:
            work.say(plan_view.plan_lines(prepared.plan))
        if diff:
            show_diffs(work, prepared)
        return DONE if prepared.plan.empty else CHANGES


def show_diffs(work: Work, prepared: Prepared) -> None:
    """Asks the hosts for the files that change and shows each difference. Raises TransportError."""
    for name, host in prepared.plan.hosts.items():
        paths = shown_paths(host.changes)
        texts = observe(prepared.fleet.sessions[name], Question(texts=paths, facts=False)).texts if paths else {}
        for text in file_diffs(name, host.changes, texts):
            work.say(text)


@click.command()
@inventory_argument
@host_options
@deep_option
@addon_options
@backup_option
@json_option
@yes_option
@click.option("--check", is_flag=True, help="Only show what would change: the same as `kprov plan`.")
@click.option("--diff", is_flag=True, help="Show the whole plan, and how text files would change.")
@click.pass_obj
def up(state: State, /, inventory: Path, *, check: bool, diff: bool, yes: bool, **options: Any) -> int:
    """Create or update the cluster to match the inventory.

    Checks the hosts, plans, asks, applies. Run it again after any change or failure: it does what is left to do.

    \b
    Examples:
      kprov up inventory.yaml
      kprov up inventory.yaml --yes --limit w3
      kprov up inventory.yaml --yes --json > run.jsonl
    """
    given = Given(inventory=inventory, **options)
    if check:
        return show_plan(state, given, diff=diff)
    return run_up(state, given, yes=yes, diff=diff)


def run_up(state: State, given: Given, *, yes: bool, diff: bool = False, check: Callable[[Work], None] = _fine) -> int:
    """Plan, show, ask, apply. check: looks at what was opened before any host is asked. Returns the exit code."""
    confirm_possible(yes=yes, for_program=given.json)
    began = time.monotonic()
    with opened(given, state, keep_log=True) as work:
        check(work)
        with prepare(work.workspace, draft=False) as prepared:
            _warn(work, prepared)
            nothing = prepared.plan.settled
            if not nothing:
                show_prepared(work, prepared, diff=diff)
                confirmed("Go on?", yes=yes, json=given.json)
            outcome = apply(work.workspace, prepared)
        return ended(work, outcome.plan, time.monotonic() - began)


def confirm_possible(*, yes: bool, for_program: bool) -> None:
    """Refuse at once, before anything is asked of hosts, what could not be confirmed later. Raises KprovError."""
    if not yes and (for_program or not can_ask()):
        confirmed("", yes=False, json=for_program)


def show_prepared(work: Work, prepared: Prepared, *, diff: bool = False) -> None:
    """Show what is about to be confirmed."""
    if work.given.json:
        click.echo(object_line("plan", plan_view.plan_values(prepared.plan)))
        return
    full = diff or work.given.verbose
    work.say(plan_view.plan_lines(prepared.plan) if full else plan_view.summary_lines(prepared.plan))
    if diff:
        show_diffs(work, prepared)


def _warn(work: Work, prepared: Prepared) -> None:
    for warning in (*prepared.warnings, *map(str, prepared.plan.findings)):
        work.hub.emit(Note(text=warning, warning=True))


def ended(work: Work, plan: Any, seconds: float) -> int:
    """Say how a run ended; returns the exit code. plan: None where there is none."""
    hub, traffic = work.hub, work.workspace.transport.counters.total
    hub.close()
    if work.given.json:
        click.echo(object_line("summary", closing.summary_values(plan, hub.tally, seconds, traffic)))
    else:
        if hub.tally.failures:
            click.echo(failure_table(hub.tally.failures))
        work.say(closing.summary_lines(plan, hub.tally, seconds, traffic))
    if not hub.tally.failures:
        return DONE
    return PARTLY if hub.tally.touched else FAILED


@click.command()
@inventory_argument
@host_options
@backup_option
@json_option
@yes_option
@click.pass_obj
def down(state: State, /, inventory: Path, *, yes: bool, **options: Any) -> int:
    """Take the cluster off the hosts: the reverse of `kprov up`.

    Removes what kprov put there, and the cluster's data with it. With --limit, takes hosts out of a cluster that stays:
    drains them, removes them as nodes and etcd members, then cleans them. The keys in the state folder stay.

    \b
    Examples:
      kprov down inventory.yaml
      kprov down inventory.yaml --limit w3 --yes
    """
    given = Given(inventory=inventory, **options)
    confirm_possible(yes=yes, for_program=given.json)
    began = time.monotonic()
    with opened(given, state, keep_log=True) as work:
        limit = work.workspace.options.limit
        names = [host.name for host in work.workspace.cluster.hosts if limit is None or host.name in limit]
        what = (
            f"{', '.join(names)} of cluster {work.workspace.cluster.name}"
            if limit
            else f"the cluster {work.workspace.cluster.name}"
        )
        confirmed(f"This removes {what} with all its data. Go on?", yes=yes, json=given.json)
        run_down.down(work.workspace)
        return ended(work, None, time.monotonic() - began)
