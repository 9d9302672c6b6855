"""What `kprov probe` counts, and what it says of it: attempts in, rows and a verdict out. Pure; it asks nobody.

A request is asked again when an attempt fails, as clients do; it fails when its patience is over. A gap is the time from
the beginning of the first attempt that failed to the end of the next that did not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One row of requests to one place, one after the other. Times are seconds of one clock.

    broken: when the first attempt began that failed and was followed by no other, None while all is well. why: of the
    attempt that began the longest gap.
    """

    requests: int = 0
    retries: int = 0
    failures: int = 0
    broken: float | None = None
    gap: float = 0.0
    why: str = ""
    began: str = ""

    def heard(self, start: float, end: float, why: str = "") -> Lane:
        """Return the lane after an attempt. why: of one that failed; empty for one that went well."""
        if why:
            first = self.broken is None
            lane = replace(self, broken=start if first else self.broken, began=why if first else self.began)
            return lane._lasting(end)
        return replace(self._lasting(end), broken=None, began="")

    def ended(self, attempts: int, *, well: bool) -> Lane:
        """Return the lane after a request that took so many attempts."""
        return replace(
            self,
            requests=self.requests + 1,
            retries=self.retries + max(0, attempts - 1),
            failures=self.failures + (not well),
        )

    def _lasting(self, end: float) -> Lane:
        if self.broken is None or end - self.broken <= self.gap:
            return self
        return replace(self, gap=end - self.broken, why=self.began)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is said of one kind of request. gap: seconds, the longest of any lane; where: of that lane."""

    kind: str
    requests: int
    retries: int
    failures: int
    gap: float
    lost: int
    where: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What etcd says of a key: how often it was written since it was made, and the revision of the last time."""

    version: int
    revision: int


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was acknowledged of a ConfigMap: how many writes after the first, and the resourceVersion of the last."""

    first: int
    count: int
    last: int


def row(kind: str, lanes: Mapping[str, Lane], lost: int = 0) -> Row:
    """Return the row of a kind. lanes: by place. lost: what was acknowledged, and is not there."""
    where = max(lanes, key=lambda place: lanes[place].gap, default="")
    worst = lanes.get(where, Lane())
    return Row(
        kind=kind,
        requests=sum(lane.requests for lane in lanes.values()),
        retries=sum(lane.retries for lane in lanes.values()),
        failures=sum(lane.failures for lane in lanes.values()),
        gap=worst.gap,
        lost=lost,
        where=where if worst.gap else "",
        why=worst.why,
    )


def lost_writes(written: Written, stored: Stored | None) -> int:
    """Return how many acknowledged writes etcd does not have; stored: None where it has no such key."""
    if stored is None:
        return written.count
    missing = max(0, written.first + written.count - stored.version)
    return missing or int(stored.revision < written.last)


def unseen(written: Iterable[int], seen: frozenset[int], since: int) -> int:
    """Return how many acknowledged revisions a watch that began after `since` did not tell of."""
    return sum(1 for revision in written if revision > since and revision not in seen)


def faults(rows: Sequence[Row]) -> list[str]:
    """Return why an operation does not pass, in sentences; empty where it passes."""
    found = []
    for one in rows:
        if one.lost:
            found.append(f"{one.kind}: {one.lost} of {one.requests} were acknowledged and are lost")
        if one.failures:
            found.append(
                f"{one.kind}: {one.failures} of {one.requests} requests failed, the longest gap {one.gap:.1f} s"
            )
        if not one.requests:
            found.append(f"{one.kind}: nothing was asked, so that nothing is known")
    return found


def table(rows: Sequence[Row]) -> list[Sequence[str]]:
    """Return the rows as words, with a head."""
    head = ("KIND", "REQUESTS", "RETRIES", "FAILURES", "LONGEST GAP", "LOST", "WHERE")
    return [head, *(_cells(one) for one in rows)]


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table of a page."""
    lines = [f"| {' | '.join(cells)} |" for cells in ([word.lower() for word in table([])[0]], *map(_cells, rows))]
    return "\n".join([lines[0], "| --- | --- | --- | --- | --- | --- | --- |", *lines[1:]]) + "\n"


def values(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Return the rows for programs."""
    return [
        {
            "kind": one.kind,
            "requests": one.requests,
            "retries": one.retries,
            "failures": one.failures,
            "longest_gap_seconds": round(one.gap, 3),
            "lost": one.lost,
            "where": one.where,
            "why": one.why,
        }
        for one in rows
    ]


def _cells(one: Row) -> Sequence[str]:
    gap = f"{one.gap:.2f} s" if one.gap else "-"
    where = f"{one.where}: {one.why}" if one.why else one.where or "-"
    return (one.kind, str(one.requests), str(one.retries), str(one.failures), gap, str(one.lost), where)
