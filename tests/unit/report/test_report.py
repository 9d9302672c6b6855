"""What people, programs and the log are shown of a run: given events, exact text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from kprov.report.closing import changed_hosts, failure_details, summary_lines, summary_values
from kprov.report.failures import failure_table
from kprov.report.hub import Hub
from kprov.report.jsonlines import JsonLines
from kprov.report.lines import Lines
from kprov.report.redact import Redactor
from kprov.transport.base import Count
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

FAILED = HostFailed(
    stage="etcd",
    host="cp2",
    resource="unit etcd.service: http 2381 /readyz",
    expected="http 2381 /readyz within 60 s",
    found="activating auto-restart exit-code 1",
    log="\n".join(f"line {number}" for number in range(30)),
    todo="fix what the log names, then run the same command again",
)
RUN: tuple[Event, ...] = (
    Gathered(hosts=2, seconds=0.42),
    StageStarted(stage="host", title="Hosts", hosts=("cp1", "cp2")),
    HostStarted(stage="host", host="cp1", operations=3),
    OperationDone(stage="host", host="cp1", number=1, title="file /etc/x"),
    HostEnded(stage="host", host="cp1", seconds=12.3),
    StageEnded(stage="host", seconds=75.0),
    Note(text="odd", warning=True),
    FAILED,
)
TRAFFIC = Count(connections=2, execs=5, bytes_sent=3_500_000, bytes_received=900)


def lines(*, verbose: bool) -> list[str]:
    shown: list[str] = []
    view = Lines(shown.append, verbose=verbose)
    for event in RUN:
        view.event(event)
    return shown


def test_plain_lines_tell_stages_and_failures() -> None:
    assert lines(verbose=False) == [
        "asked 2 hosts in 0.4 s",
        "Hosts: cp1, cp2",
        "host on cp1: done in 12 s",
        "stage host: done in 1 min 15 s",
        "warning: odd",
        "etcd on cp2: FAILED at unit etcd.service: http 2381 /readyz: activating auto-restart exit-code 1",
    ]


def test_single_operations_are_for_those_who_ask() -> None:
    assert set(lines(verbose=True)) - set(lines(verbose=False)) == {
        "host on cp1: 3 operations",
        "host on cp1: file /etc/x",
    }


def test_programs_get_one_object_a_line() -> None:
    written: list[str] = []
    view = JsonLines(written.append)
    for event in RUN:
        view.event(event)
    objects = [json.loads(line) for line in written]
    assert [item["event"] for item in objects] == [
        "gathered", "stage_started", "host_started", "operation_done", "host_ended", "stage_ended", "note",
        "host_failed",
    ]  # fmt: skip
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", item["time"]) for item in objects)
    assert {key: objects[-1][key] for key in ("host", "stage", "resource", "expected", "found", "todo")} == {
        "host": "cp2",
        "stage": "etcd",
        "resource": FAILED.resource,
        "expected": FAILED.expected,
        "found": FAILED.found,
        "todo": FAILED.todo,
    }


def test_the_closing_table_has_all_columns_the_logs_end_and_what_to_do() -> None:
    text = failure_table([FAILED], width=200)
    assert re.search(r"host +┃ stage +┃ resource +┃ expected +┃ found", text)
    row = next(line for line in text.splitlines() if "cp2" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "cp2", "etcd", FAILED.resource, FAILED.expected, FAILED.found,
    ]  # fmt: skip
    details = failure_details([FAILED])
    assert details[0] == f"cp2, etcd: {FAILED.resource}"
    assert details[1:-1] == [f"  | line {number}" for number in range(10, 30)]
    assert details[-1] == f"  do: {FAILED.todo}"
    assert all(line in text for line in details)


def test_a_run_that_fails_everywhere_on_a_thousand_hosts_fits_on_a_screen() -> None:
    hosts = tuple(f"n{number:04}" for number in range(1000))
    shown: list[str] = []
    view = Lines(shown.append)
    failures = [
        replace(FAILED, stage="host", host=host, found="no space" if host > "n0001" else host) for host in hosts
    ]
    view.event(StageStarted(stage="host", title="Hosts", hosts=hosts))
    for host, failure in zip(hosts, failures, strict=True):
        view.event(HostStarted(stage="host", host=host, operations=3))
        view.event(failure)
        view.event(HostEnded(stage="host", host=host, seconds=1.0))
    table = failure_table(failures, width=120)
    assert shown[0] == "Hosts: 1000 hosts (n0000–n0999)"
    assert len(shown) + len(table.splitlines()) < 60
    told = " ".join(re.sub(r"[│┃]", " ", table).split())
    assert "n0000: n0000" in told
    assert "n0002: no space" in told
    assert "the same on n0001–n0999" in told


def test_no_cell_of_the_table_is_higher_than_three_lines() -> None:
    command = "/opt/kprov/bin/kubectl wait --for=condition=Ready " + " ".join(f"node/w{n}" for n in range(60))
    table = failure_table([replace(FAILED, expected=command, found=command)], width=120)
    rows = [line for line in table.splitlines() if line.startswith("│")]
    assert 1 <= len(rows) <= 3
    assert "…" in table


def test_a_summary_says_what_changed_and_what_it_cost() -> None:
    hub = Hub([], Redactor())
    for event in RUN:
        hub.emit(event)
    assert summary_lines(None, hub.tally, 90.0, TRAFFIC) == [
        "changed: cp1",
        "stages:  host 1 min 15 s",
        "took:    1 min 30 s; 2 connections, 5 commands, 3.3 MiB sent, 900 B received",
    ]
    values = summary_values(None, hub.tally, 90.0, TRAFFIC)
    assert values == {
        "changed": ["cp1"],
        "restarted": [],
        "failed": ["cp2"],
        "operations": 1,
        "stages": {"host": 75.0},
        "seconds": 90.0,
        "connections": 2,
        "execs": 5,
        "bytes_sent": 3_500_000,
        "bytes_received": 900,
    }


def test_a_host_has_changed_when_something_that_may_change_it_was_done_however_it_ended() -> None:
    hub = Hub([], Redactor())
    hub.emit(HostStarted(stage="addons", host="cp2", operations=2))
    hub.emit(replace(FAILED, stage="addons", fatal=False))
    assert changed_hosts(hub.tally) == ()
    hub.emit(OperationDone(stage="addons", host="cp2", number=1, title="add-on one"))
    assert changed_hosts(hub.tally) == ("cp2",)
    hub.emit(HostStarted(stage="etcd", host="cp1", operations=3))
    hub.emit(OperationDone(stage="etcd", host="cp1", number=1, title="file /etc/x"))
    hub.emit(replace(FAILED, host="cp1"))
    assert changed_hosts(hub.tally) == ("cp1", "cp2"), "its gate failed: it has the new files"
    assert summary_lines(None, hub.tally, 1, TRAFFIC)[0] == "changed: cp1, cp2"


def test_what_only_looks_or_waits_changes_nothing_and_touches_nothing() -> None:
    """As a drain that is refused before a node is cordoned, or the wait for nodes."""
    hub = Hub([], Redactor())
    for stage in ("drain", "ready"):
        hub.emit(HostStarted(stage=stage, host="cp1", operations=3, changes=False))
        hub.emit(OperationDone(stage=stage, host="cp1", number=1, title="nodes"))
    hub.emit(HostEnded(stage="ready", host="cp1", seconds=1))
    hub.emit(replace(FAILED, stage="drain", host="cp1"))
    assert changed_hosts(hub.tally) == ()
    assert not hub.tally.touched
    assert summary_lines(None, hub.tally, 1, TRAFFIC)[0] == "nothing was changed"
    hub.emit(HostStarted(stage="drain", host="cp1", operations=2))
    assert hub.tally.touched, "a connection that is lost now may have changed something"


@pytest.mark.parametrize(
    "text",
    [
        "sudo said hunter22",
        "-----BEGIN EC PRIVATE KEY-----\nhunter22\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter22 and cut off",
        "client-key-data: aHVudGVyMjI=",
        '{"token": "hunter22"}',
    ],
)
def test_no_view_ever_gets_a_secret(text: str) -> None:
    shown: list[str] = []
    redactor = Redactor()
    redactor.learn("hunter22")
    hub = Hub([Lines(shown.append, verbose=True), JsonLines(shown.append)], redactor)
    hub.emit(HostFailed(stage="a", host="b", resource=text, expected=text, found=text, log=text, todo=text))
    hub.note(text)
    assert shown
    assert not any("hunter22" in line or "aHVudGVyMjI" in line for line in shown)
    assert any("***" in line for line in shown)
