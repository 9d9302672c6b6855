"""`kprov down` over hosts that exist only here: who must answer, what is backed up first, and what is handed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from test_backup_runs import Site
from test_backup_runs import content as content
from test_backup_runs import site as site

from kprov.run import down as run_down
from kprov.run.workspace import Options, Workspace
from kprov.transport.fake import FakeTransport
from kprov.values.errors import PreflightError, TransportError

SILENT = TransportError("no route", where="it")


@dataclass
class Taken:
    """What was handed on to be taken down."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def down(self, *_: object, **given: Any) -> tuple[()]:
        self.calls.append(given)
        return ()

    @property
    def names(self) -> list[str]:
        [given] = self.calls
        return sorted(given["names"])


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    made = Taken()
    monkeypatch.setattr(run_down, "take_down", made.down)
    return made


def leaving(site: Site, *names: str, backup: bool = True, **transport: Any) -> Workspace:
    options = Options(limit=frozenset(names) or None, backup=backup)
    return site.workspace(options=options, **transport)


def test_hosts_that_leave_must_answer_and_those_that_stay_need_not(site: Site, taken: Taken) -> None:
    with pytest.raises(TransportError, match="no route"):
        run_down.down(leaving(site, "w1", unreachable={"w1": SILENT}))
    with pytest.raises(PreflightError, match="2 hosts are unreachable"):
        run_down.down(leaving(site, unreachable={"w1": SILENT, "cp2": SILENT}))
    assert taken.calls == []
    run_down.down(leaving(site, "w1", unreachable={"cp2": SILENT}))
    assert taken.names == ["w1"]


def test_a_member_of_etcd_leaves_after_a_backup_and_others_without(site: Site, taken: Taken) -> None:
    run_down.down(leaving(site, "cp3"))
    assert [note.split(": ")[0] for note in site.notes] == ["backup before cp3 leaves etcd"]
    assert taken.calls[0]["farewells"]
    site.told.clear()
    run_down.down(leaving(site, "w1"))
    run_down.down(leaving(site, "cp3", backup=False))
    run_down.down(leaving(site))
    assert site.notes == []
    assert taken.calls[-1]["farewells"] == (), "nobody stays who is to be told"


def test_nothing_is_locked_or_handed_on_where_nothing_is(site: Site, taken: Taken) -> None:
    for machine in site.hosts.machines.values():
        machine.records.clear()
    workspace = leaving(site)
    run_down.down(workspace)
    assert taken.calls == []
    assert isinstance(workspace.transport, FakeTransport)
    assert not any("run.lock" in call.command for call in workspace.transport.calls)


def test_each_run_has_a_generation_of_its_own(site: Site, taken: Taken) -> None:
    for _ in range(2):
        run_down.down(leaving(site))
    first, second = (given["generation"] for given in taken.calls)
    assert len(first) == len(second) == 16
    assert first != second
