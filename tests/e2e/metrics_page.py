"""The page of the add-on monitoring, asked as a user's programs and browser ask it: through `kprov open`."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab_cluster import LabCluster
from opened_page import tunnel


@dataclass(frozen=True)
class Page:
    """An open page; it asks for user and password."""

    url: str
    user: str
    password: str = field(repr=False)

    def get(self, path: str, **query: str) -> Any:
        """What the store answers to an API call."""
        address = urllib.parse.urljoin(self.url, path) + "?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(self._request(address), timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def _request(self, address: str, body: bytes | None = None) -> urllib.request.Request:
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return urllib.request.Request(address, data=body, headers={"Authorization": f"Basic {login}"})  # noqa: S310

    def post(self, lines: Iterable[str]) -> int:
        """Writes samples in Prometheus' text format, with times in milliseconds; returns the status of the answer."""
        address = urllib.parse.urljoin(self.url, "/api/v1/import/prometheus")
        body = "".join(f"{line}\n" for line in lines).encode()
        try:
            with urllib.request.urlopen(self._request(address, body), timeout=30) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def query(self, expression: str, time: float | None = None) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each series, of the newest samples or of those at a time."""
        at = {"latency_offset": "1ms"} if time is None else {"time": f"{time:.3f}"}
        found = self.get("/api/v1/query", query=expression, nocache="1", **at)["data"]["result"]
        return [(row["metric"], float(row["value"][1])) for row in found]

    def address(self, route: str) -> str:
        """Where a browser finds a part of the page."""
        return urllib.parse.urljoin(self.url, f"/vmui/#/{route}")


@contextmanager
def opened(cluster: LabCluster) -> Iterator[Page]:
    with tunnel(cluster, "metrics") as there:
        yield Page(url=there.url, user=there.said["user"], password=there.said["password"])
