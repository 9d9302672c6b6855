"""How `up` and `down` end: 0 when all went well, 1 when nothing was touched, 3 when a part was done before it failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kprov.cli.apply import ended
from kprov.cli.exits import DONE, FAILED, PARTLY
from kprov.cli.work import Work
from kprov.report.hub import Hub
from kprov.report.redact import Redactor
from kprov.transport.base import Counters
from kprov.values.events import Event, HostEnded, HostFailed, HostStarted, OperationDone

LOOKED = HostStarted(stage="drain", host="w1", operations=2, changes=False)
BEGUN = HostStarted(stage="node", host="w1", operations=4)
FILE = OperationDone(stage="node", host="w1", number=1, title="file /etc/x")
WELL = HostEnded(stage="node", host="w1", seconds=1)
GATE = HostFailed(
    stage="node",
    host="w1",
    resource="unit kubelet.service",
    expected="http 10248 /healthz within 60 s",
    found="invalid flag --nope",
    log="invalid flag --nope",
    todo="fix what the log names, then run the same command again",
    now="1 previous file put back; kubelet.service runs again as before, and answered",
)


def end(*events: Event) -> tuple[int, list[str]]:
    hub, said = Hub([], Redactor()), list[str]()
    for event in events:
        hub.emit(event)
    work: Any = SimpleNamespace(
        hub=SimpleNamespace(tally=hub.tally, close=lambda: None),
        workspace=SimpleNamespace(transport=SimpleNamespace(counters=Counters())),
        given=SimpleNamespace(json=False),
        say=said.extend,
    )
    return ended(cast(Work, work), None, 1.0), said


def test_what_went_well_is_0() -> None:
    code, said = end(BEGUN, FILE, WELL)
    assert (code, said[0]) == (DONE, "changed: w1")


def test_a_refusal_before_anything_was_touched_is_1_and_says_so() -> None:
    code, said = end(LOOKED, GATE)
    assert (code, said[0]) == (FAILED, "nothing was changed")


def test_a_host_that_went_back_is_3_and_counts_as_changed(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = end(BEGUN, FILE, GATE)
    assert (code, said[0]) == (PARTLY, "changed: w1")
    shown = capsys.readouterr().out
    for part in ("invalid flag --nope", "now: 1 previous file put back", "do: fix what the log names"):
        assert part in shown
