"""`kprov certs rotate` from its first phase to its last: stopped, waiting, taken back, refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_cost import content as content  # the fixture: what binaries and images consist of
from test_living_cluster import Site
from test_living_cluster import site as site
from test_rotation_runs import store, workspace

import kprov.cli.rotation as command
from kprov.artifacts.progress import Silent
from kprov.cli.exits import CHANGES, DONE, PARTLY
from kprov.cli.options import Given
from kprov.cli.rotation import Asked
from kprov.cli.work import Work
from kprov.plan.rotation import Waiting
from kprov.report.hub import Hub
from kprov.report.redact import Redactor
from kprov.state.issued import Issued, add_issued
from kprov.state.store import Store
from kprov.values.errors import KprovError
from kprov.values.events import Event, Note
from kprov.values.rotation import KINDS

NOW = datetime.now(UTC)
ASKED = Asked(kinds=KINDS, back=False, now=False, wait=False, restart_pods=False, yes=True, stop_after=None)


class Told(Silent):
    """A view that keeps what is noted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def event(self, event: Event) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)

    def close(self) -> None:
        return


class Cluster:
    """What the command asks the cluster itself, which is not there: what it waits for, and what was done."""

    def __init__(self) -> None:
        self.wait = Waiting()
        self.done: list[str] = []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(command, "wait_for", lambda _: made.wait)
    monkeypatch.setattr(command, "restart", lambda *_, **__: ())
    monkeypatch.setattr(command, "forget", lambda _: made.done.append("forget"))
    return made


def run(site: Site, asked: Asked, told: Told | None = None) -> int:
    folder = site.folder / "state"
    hub = Hub([told] if told else [], Redactor())
    made = replace(workspace(site), emit=hub.emit)
    assert made.store.path == folder
    return command.carry_out(Work(given=Given(inventory=Path("i.yaml")), workspace=made, hub=hub), asked)


def test_one_command_goes_all_the_way(site: Site, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    before = store(site).fingerprints()
    assert run(site, ASKED) == DONE
    assert store(site).rotation is None
    assert not set(before.values()) & set(store(site).fingerprints().values())
    assert cluster.done == ["forget"]
    assert "replaced; the old one is accepted nowhere" in capsys.readouterr().out


def test_it_stops_where_it_was_told_to_and_goes_on_without_a_name(site: Site, cluster: Cluster) -> None:
    assert run(site, replace(ASKED, kinds=("etcd",), stop_after="trust")) == DONE
    assert str(store(site).rotation).startswith("rotation of the etcd CA: phase trust, on all hosts")
    assert run(site, replace(ASKED, kinds=(), stop_after="issue")) == DONE
    assert "phase issue" in str(store(site).rotation)
    assert run(site, replace(ASKED, kinds=())) == DONE
    assert store(site).rotation is None
    assert cluster.done == [], "the etcd CA is in nothing that API servers add to"


def test_it_waits_for_pods_unless_it_is_told_not_to(site: Site, cluster: Cluster) -> None:
    cluster.wait = Waiting(until=NOW + timedelta(minutes=5), blocked=("Secret ci/old holds a token",), notes=("known",))
    told = Told()
    assert run(site, ASKED, told) == PARTLY
    assert "phase trust" in str(store(site).rotation)
    assert [text for text in told.texts if "may begin in" in text]
    assert {"known", "Secret ci/old holds a token"} <= set(told.texts)
    assert run(site, replace(ASKED, kinds=(), now=True)) == DONE
    assert store(site).rotation is None


def test_it_waits_here_where_that_is_said_and_asks_again(
    site: Site, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.wait = Waiting(until=NOW + timedelta(days=1))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        cluster.wait = Waiting() if len(slept) > 1 else cluster.wait

    monkeypatch.setattr(command.time, "sleep", sleep)
    assert run(site, replace(ASKED, kinds=("kubernetes",), wait=True)) == DONE
    assert len(slept) == 2
    assert store(site).rotation is None


def test_what_has_to_be_done_first_is_not_waited_for(site: Site, cluster: Cluster) -> None:
    cluster.wait = Waiting(until=NOW + timedelta(days=1), blocked=("Secret ci/old holds a token",))
    assert run(site, replace(ASKED, kinds=("service-account",), wait=True)) == PARTLY


def test_it_is_taken_back_to_nothing(site: Site, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    before = store(site).trust()
    run(site, replace(ASKED, stop_after="issue"))
    assert run(site, replace(ASKED, kinds=(), back=True)) == DONE
    assert replace(store(site).trust(), encrypted_by="") == replace(before, encrypted_by="")
    assert "nothing of the rotation is left" in capsys.readouterr().out


def test_who_has_an_old_kubeconfig_is_named(site: Site, cluster: Cluster) -> None:
    rows = (("anna", 30, -2), ("kubernetes-admin", 30, -2), ("past", -1, -2), ("bea", 30, -2), ("bea", 60, 1))
    for user, ends, since in rows:
        made = NOW + timedelta(days=since)
        end = NOW + timedelta(days=ends)
        add_issued(store(site).path, Issued(user=user, groups=(), made=made, ends=end, by="me", serial="1"))
    told = Told()
    run(site, replace(ASKED, kinds=("kubernetes",), now=True), told)
    assert [text for text in told.texts if "must fetch" in text] == [
        "anna must fetch a new kubeconfig: `kprov kubeconfig INVENTORY --user anna`",
        "kubernetes-admin must fetch a new kubeconfig: `kprov kubeconfig INVENTORY`",
    ]


def test_it_can_be_looked_at_first(site: Site, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    text = store(site).text()
    work = Work(given=Given(inventory=Path("i.yaml")), workspace=workspace(site), hub=Hub([], Redactor()))
    assert command.preview(work, ASKED) == CHANGES
    assert "phase trust" in capsys.readouterr().out
    assert store(site).text() == text


def test_a_cluster_that_was_never_made_has_nothing_to_replace(site: Site, tmp_path: Path) -> None:
    empty = replace(workspace(site), store=Store.open(tmp_path / "none", "lives"))
    work = Work(given=Given(inventory=Path("i.yaml")), workspace=empty, hub=Hub([], Redactor()))
    with pytest.raises(KprovError, match="there is no cluster"):
        command.carry_out(work, ASKED)
