"""The store of the add-on logging as its users reach it: LogsQL and the search page, through `kprov open logs`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import httpx
from lab_cluster import LabCluster
from opened_page import tunnel


@dataclass(frozen=True)
class Store:
    """An open search page; it asks for user and password."""

    url: str
    user: str
    password: str = field(repr=False)

    def rows(self, query: str, limit: int = 1000) -> list[dict[str, str]]:
        """What a LogsQL query finds. A store that is away fails an assertion, so that `until` asks again."""
        address = urlsplit(self.url)._replace(path="/select/logsql/query", fragment="").geturl()
        try:
            answer = httpx.post(
                address, data={"query": query, "limit": limit}, auth=(self.user, self.password), timeout=20
            )
        except httpx.HTTPError as error:
            raise AssertionError(str(error)) from error
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def insert(self, *rows: Mapping[str, str]) -> None:
        """Writes lines as whoever has the password may: their `_time` is what it says."""
        address = urlsplit(self.url)._replace(path="/insert/jsonline", fragment="").geturl()
        body = "".join(f"{json.dumps(row)}\n" for row in rows)
        answer = httpx.post(address, content=body, auth=(self.user, self.password), timeout=20)
        assert answer.status_code == 200, answer.text

    def count(self, query: str) -> int:
        return int(self.rows(f"{query} | stats count() n")[0]["n"])

    def numbered(self, query: str, before: str) -> tuple[int, int]:
        """How many lines with a number after some text there are, and how many different numbers."""
        (row,) = self.rows(f'{query} | extract "{before}<n> " | stats count() total, count_uniq(n) different')
        return int(row["total"]), int(row["different"])

    def search(self, query: str) -> str:
        """The address of the search page with a query in it."""
        asked = urlencode({"query": query, "g0.range_input": "30m", "g0.relative_time": "last_30_minutes"})
        return f"{self.url.partition('#')[0]}#/?{asked}"


@contextmanager
def opened(cluster: LabCluster) -> Iterator[Store]:
    with tunnel(cluster, "logs") as there:
        yield Store(url=there.url, user=there.said["user"], password=there.said["password"])
