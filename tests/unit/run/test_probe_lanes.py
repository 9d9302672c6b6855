"""How the probe asks: again after a failure, at the next server, and on from where a watch ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from kprov.plan.probe_judge import Lane
from kprov.run.probe_lanes import InTurn, Watch, asked
from kprov.tunnel.client import Client, Said

WELL, BROKEN = Said(body="x"), Said(why="refused")


class Clock:
    """Each attempt takes a second, each pause what it says."""

    def __init__(self, *answers: Said) -> None:
        self.answers = list(answers)
        self.now = 0.0

    def attempt(self) -> Said:
        self.now += 1
        return self.answers.pop(0)

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def asked(self, patience: float) -> tuple[Said, Lane]:
        return asked(Lane(), self.attempt, patience, lambda: self.now, self.pause)


def test_a_request_that_goes_well_is_asked_once() -> None:
    said, lane = Clock(WELL).asked(2)
    assert said == WELL
    assert (lane.requests, lane.retries, lane.failures, lane.gap) == (1, 0, 0, 0)


def test_it_is_asked_again_while_patience_lasts() -> None:
    said, lane = Clock(BROKEN, BROKEN, WELL).asked(2)
    assert said == WELL
    assert (lane.requests, lane.retries, lane.failures) == (1, 2, 0)
    assert round(lane.gap, 1) == 3.2


def test_it_fails_when_no_retry_went_well_in_time() -> None:
    said, lane = Clock(*[BROKEN] * 9).asked(2)
    assert said == BROKEN
    assert (lane.requests, lane.retries, lane.failures) == (1, 2, 1)


def test_without_patience_nothing_is_asked_again() -> None:
    _, lane = Clock(BROKEN).asked(0)
    assert (lane.requests, lane.retries, lane.failures) == (1, 0, 1)


class Server:
    def __init__(self, name: str, *answers: Sequence[Said]) -> None:
        self.name = name
        self.answers = list(answers)
        self.paths: list[str] = []

    def ask(self, *_: Any) -> Said:
        return Said(body=self.name if self.name in "ab" else {"metadata": {"resourceVersion": self.name}})

    def lines(self, path: str) -> Iterator[Said]:
        self.paths.append(path)
        yield from self.answers.pop(0)


def clients(*servers: Server) -> list[Client]:
    return [cast(Client, server) for server in servers]


def test_after_a_failure_the_next_server_is_asked_and_the_first_one_the_next_time() -> None:
    turn = InTurn(clients(Server("a"), Server("b")))
    assert [turn.ask("GET", "/").body for _ in range(3)] == ["a", "b", "a"]
    turn.first()
    assert turn.ask("GET", "/").body == "a"


def event(revision: int) -> Said:
    return Said(body={"type": "MODIFIED", "object": {"metadata": {"resourceVersion": str(revision)}}})


def test_a_watch_goes_on_at_the_next_server_after_what_it_was_told() -> None:
    one = Server("a", [Said(), event(6), event(8)])
    two = Server("b", [Said(why="HTTP 503")], [Said(), event(9), Said(why="the connection broke"), event(10)])
    watch = Watch(clients(one, two, two), 5)
    assert watch.begin().why == ""
    assert list(watch.revisions()) == [6, 8]
    assert watch.begin().why == "HTTP 503"
    assert watch.begin().why == ""
    assert list(watch.revisions()) == [9]
    assert [path.rpartition("=")[2] for path in (*one.paths, *two.paths)] == ["5", "8", "8"]


def test_where_a_server_does_not_know_what_came_in_between_all_is_listed() -> None:
    one = Server("20", [Said(), event(6), Said(body={"type": "ERROR"})], [Said(), event(21)])
    watch = Watch(clients(one), 5)
    watch.begin()
    assert list(watch.revisions()) == [6]
    assert watch.since == 5
    watch.begin()
    assert watch.since == 20, "what came before is in the list"
    assert list(watch.revisions()) == [21]
    assert [path.rpartition("=")[2] for path in one.paths] == ["5", "20"]
