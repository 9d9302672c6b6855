"""The lanes of `kprov probe`: a thread for each place that is asked, which counts what a client there would meet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kprov.plan import probe_objects as made
from kprov.plan.probe_judge import Lane, Row, Written, lost_writes, row, unseen
from kprov.run.probe_ground import APPLY, MAPS, PATCH, Ground, map_of, path
from kprov.tunnel.client import CNAME, A, Client, Said, look_up

_PAUSE = 0.1  # seconds between two attempts of a request
_KNOWN = 30.0  # seconds that a pod gets to learn of a change: it may have to connect again
_HEARING = 1.0  # seconds that the news may take
_SETTLING = 15.0  # seconds that a watch gets to tell of the last writes


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """rate: requests a second of each kind. patience: seconds that a client asks again. most: seconds, after which
    nothing is asked any more.
    """

    rate: int = 10
    patience: float = 2.0
    most: float = 7200.0


def asked(
    lane: Lane,
    attempt: Callable[[], Said],
    patience: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Said, Lane]:
    """Ask until it goes well, or no more after `patience` seconds from the end of the first failure; what was counted."""
    failed: float | None = None
    attempts = 0
    while True:
        start = clock()
        said = attempt()
        end = clock()
        attempts += 1
        failed = end if failed is None else failed
        lane = lane.heard(start, end, said.why)
        if not said.why or end - failed >= patience:
            return said, lane.ended(attempts, well=not said.why)
        pause(_PAUSE)


class InTurn:
    """A client that knows several servers: it asks its first one, and after a failure the next, as a load balancer does."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = clients
        self._turn = 0

    def first(self) -> None:
        self._turn = 0

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Said:
        client = self._clients[self._turn % len(self._clients)]
        self._turn += 1
        return client.ask(method, path, body, kind)


class Watch:
    """Of the probe's ConfigMaps: each attempt asks another API server for what came after the last that was told.

    A server that began after that does not know what came in between: there all is listed, as every client does it then.
    since: the revision from which on each one must be told.
    """

    def __init__(self, clients: Sequence[Client], since: int) -> None:
        self._clients = clients
        self._turn = 0
        self.since = self._told = since
        self._expired = False
        self._lines: Iterator[Said] = iter(())

    def begin(self) -> Said:
        client = self._clients[self._turn % len(self._clients)]
        self._turn += 1
        if self._expired:
            said = client.ask("GET", MAPS)
            if said.why:
                return said
            self.since = self._told = int(said.body["metadata"]["resourceVersion"])
            self._expired = False
        self._lines = client.lines(f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={self._told}")
        return next(self._lines)

    def revisions(self) -> Iterator[int]:
        """Yield the revision of each event until the watch ends."""
        for said in self._lines:
            if said.why:
                return
            if said.body.get("type") == "ERROR":
                self._expired = True
                return
            self._told = int(said.body["object"]["metadata"]["resourceVersion"])
            yield self._told


class Lanes:
    """All of them. begin, then end, then rows."""

    def __init__(self, ground: Ground, bounds: Bounds) -> None:
        self._ground, self._bounds = ground, bounds
        self._lanes: dict[str, dict[str, Lane]] = {}  # kind → place → lane
        self._written = {
            name: Written(first=one.version, count=0, last=one.revision) for name, one in ground.stored().items()
        }
        self._revisions: list[int] = []  # that were acknowledged
        self._seen: set[int] = set()  # that the watch told
        self._stop = threading.Event()
        self._quiet = threading.Event()  # nothing more is written
        self._threads: list[threading.Thread] = []
        self._ends = self._ended = 0.0
        self._watch = Watch([ground.client(port) for port in ground.api.values()], ground.since)

    def begin(self) -> None:
        """Start asking."""
        self._ends = time.monotonic() + self._bounds.most
        rate = self._bounds.rate
        servers = list(self._ground.api.values())
        for number, place in enumerate(self._ground.api):
            self._run(partial(self._maps, "api", place, servers[number:] + servers[:number], len(servers) / rate))
        for place, port in self._ground.proxies.items():
            self._run(partial(self._maps, "proxy", place, [port], len(self._ground.proxies) / rate))
        self._run(partial(self._web, self._ground.web, 1 / rate))
        self._run(partial(self._names, self._ground.names, 1 / rate))
        self._run(partial(self._token, next(iter(self._ground.names.values()))))
        self._watching = threading.Thread(target=self._listen, name="probe", daemon=True)
        self._watching.start()

    def end(self) -> None:
        """Ask nothing more, and let what is asked end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_KNOWN + 10)
        self._ended = time.monotonic()
        self._quiet.set()
        self._watching.join(_KNOWN)

    def rows(self) -> tuple[Row, ...]:
        """Read back what was written, and say what was counted. Raises TransportError."""
        stored = self._ground.stored()
        lost = {name: lost_writes(one, stored.get(name)) for name, one in self._written.items()}
        found = []
        for kind, lanes in self._lanes.items():
            missing = 0
            if kind in ("api write", "proxy write"):
                missing = sum(lost.get(map_of(place), 0) for place in lanes)
            elif kind == "watch":
                missing = unseen(self._revisions, frozenset(self._seen), self._watch.since)
            found.append(row(kind, lanes, missing))
        return tuple(sorted(found, key=lambda one: one.kind))

    def _run(self, lane: Callable[[], None]) -> None:
        thread = threading.Thread(target=lane, name="probe", daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def _going(self) -> bool:
        return not self._stop.is_set() and time.monotonic() < self._ends

    def _request(self, kind: str, place: str, attempt: Callable[[], Said], patience: float) -> Said:
        lanes = self._lanes.setdefault(kind, {})
        said, lanes[place] = asked(lanes.get(place, Lane()), attempt, patience)
        return said

    def _maps(self, kind: str, place: str, ports: Sequence[int], interval: float) -> None:
        """Write a number into a ConfigMap, read it back, and so on. ports: of one server, then those asked again."""
        asked, name, number = InTurn([self._ground.client(port) for port in ports]), map_of(place), 0
        patience = self._bounds.patience
        while self._going:
            began, number = time.monotonic(), number + 1
            body = {"data": {"n": str(number)}}
            patch = partial(asked.ask, "PATCH", f"{MAPS}/{name}", body, "application/merge-patch+json")
            said = self._request(f"{kind} write", place, patch, patience)
            if not said.why:
                self._acknowledged(name, int(said.body["metadata"]["resourceVersion"]))
            asked.first()
            self._request(f"{kind} read", place, partial(asked.ask, "GET", f"{MAPS}/{name}"), patience)
            asked.first()
            self._stop.wait(max(0.0, interval - (time.monotonic() - began)))

    def _acknowledged(self, name: str, revision: int) -> None:
        known = self._written[name]
        self._written[name] = Written(first=known.first, count=known.count + 1, last=revision)
        self._revisions.append(revision)

    def _web(self, ports: Mapping[str, int], interval: float) -> None:
        number = 0
        while self._going:
            name = list(ports)[number % len(ports)]
            client = Client(ports[name])  # a connection each, as most clients of a Service make them
            self._request("service", f"from {name}", partial(client.ask, "GET", "/health"), 0)
            client.close()
            number += 1
            self._stop.wait(interval)

    def _names(self, ports: Mapping[str, int], interval: float) -> None:
        number = 0
        while self._going:
            name = list(ports)[number % len(ports)]
            self._request("names", f"from {name}", partial(look_up, ports[name], self._ground.asked, A), 0)
            number += 1
            self._stop.wait(interval)

    def _token(self, port: int) -> None:
        """Change what only the API tells, and see that the pods learn of it: with their tokens."""
        clients, number = [self._ground.client(one) for one in self._ground.api.values()], 0
        where = path(made.told(0)) + APPLY
        while self._going:
            number += 1
            item = made.told(number)
            told = (one.ask("PATCH", where, item, PATCH) for one in clients)
            if all(said.why for said in told):
                self._stop.wait(_PAUSE)  # nobody was told anything: what fails here is counted elsewhere
                continue
            self._request("token", "pods", partial(_knows, port, made.label(number)), _KNOWN)
            self._stop.wait(1)

    def _listen(self) -> None:
        """Hear of every write, from one API server after the other when a watch ends."""
        watch = self._watch
        while not self._quiet.is_set() or not self._caught_up():
            self._request("watch", "any API server", watch.begin, self._bounds.patience)
            for revision in watch.revisions():
                self._seen.add(revision)
                if self._quiet.is_set() and self._caught_up():
                    return
            if self._quiet.is_set() and time.monotonic() - self._ended > _SETTLING:
                return
            time.sleep(_PAUSE)

    def _caught_up(self) -> bool:
        return all(
            one.last in self._seen or one.last <= self._watch.since for one in self._written.values() if one.count
        )


def _knows(port: int, label: str) -> Said:
    """Ask until a pod knows, for as long as one that hears of it at once may take."""
    ends = time.monotonic() + _HEARING
    while True:
        said = look_up(port, made.told_name(), CNAME)
        if said.why or bytes([len(label)]) + label.encode() in said.body:
            return said
        if time.monotonic() > ends:
            return Said(why="a pod does not know yet")
        time.sleep(_PAUSE)
